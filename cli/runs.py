"""`weldcache runs`: what was trained, with what, how well, and what of it can be spared."""

from typing import Annotated

import typer

from .completion import runs as run_names
from .options import AsJson, Config, Set, print_json

app = typer.Typer(
    no_args_is_help=True, help="List, show, verify and prune runs; `weldcache compare` holds some against each other."
)

Nested = Annotated[bool, typer.Option("--all", help="Also those one folder deeper, such as a bench's.")]


@app.command("list")
def list_runs(nested: Nested = False, config: Config = None, settings: Set = None, as_json: AsJson = False) -> None:
    """List the runs, the newest last: how far, how good on validation and test, how long, how large."""
    from ..evaluate.judge import headline_of
    from ..settings import load_settings
    from ..train.runs.catalogue import list_runs as list_entries

    folder = load_settings(config, overrides=settings or []).runs.folder
    entries = list_entries(folder, nested=nested, headlines=headline_of)
    if as_json:
        document = {"folder": str(folder), "runs": [entry.as_json() for entry in entries]}
        print_json(document)
        return
    from ..tables import print_tables
    from ..train.runs.tables import run_list

    print_tables(run_list(entries, folder=folder))


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A run; latest: the newest finished one.", autocompletion=run_names)
    ] = "latest",
    config: Config = None,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Show a run: what it was trained on, what it reached, the settings that are not a preset's, its files."""
    from ..evaluate.judge import headline_of
    from ..settings import load_settings
    from ..train.runs.catalogue import describe_run_folder
    from ..train.runs.names import find_run

    folder = load_settings(config, overrides=settings or []).runs.folder
    details = describe_run_folder(find_run(folder, name), folder=folder, headlines=headline_of)
    if as_json:
        print_json(details.as_json())
        return
    from ..tables import print_tables
    from ..train.runs.tables import run_page

    print_tables(run_page(details))


@app.command()
def verify(
    name: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="A run.", show_default="all, those of lists too", autocompletion=run_names),
    ] = None,
    config: Config = None,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Check that runs are what was written: every file against its checksum, each with the others of its run.

    Finds what was damaged, edited, exchanged or lost. Exit status 1 if anything is wrong.
    """
    from ..settings import load_settings
    from ..train.runs.names import find_run
    from ..train.runs.verification import as_json as json_of
    from ..train.runs.verification import verification_lines, verify_run, verify_runs
    from ..wording import visible

    folder = load_settings(config, overrides=settings or []).runs.folder
    found = list(verify_runs(folder)) if name is None else [verify_run(find_run(folder, name), folder=folder)]
    if as_json:
        document = {"folder": str(folder), "runs": [json_of(check) for check in found]}
        print_json(document)
    else:
        for line in (line for check in found for line in verification_lines(check)):
            typer.echo(visible(line))
    raise typer.Exit(0 if all(check.passed for check in found) else 1)


@app.command()
def prune(
    keep_best: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Of the finished runs on the same features, remove all but the N best by validation.",
            show_default=False,
        ),
    ] = None,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Remove runs that are not finished.")] = False,
    nested: Nested = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be removed.")] = False,
    config: Config = None,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Remove what can be spared: the optimiser's state of finished runs, and runs that are asked for.

    Without `--yes` nothing is changed. What another process writes to, what is damaged, has no checksums or is no run
    is left alone.
    """
    from ..settings import load_settings
    from ..train.runs.pruning import carry_out, plan_pruning, pruning_document

    folder = load_settings(config, overrides=settings or []).runs.folder
    plan = plan_pruning(folder, nested=nested, keep_best=keep_best, unfinished=unfinished)
    outcome = carry_out(plan) if yes else plan
    if as_json:
        print_json(pruning_document(outcome, done=yes))
        return
    from ..tables import print_tables
    from ..train.runs.tables import removal_tables

    print_tables(removal_tables(outcome, done=yes))
