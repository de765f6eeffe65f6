"""`weldcache audit`: mistakes that software can catch."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .completion import runs
from .options import AsJson, Cache, Config, Data, Set, overrides, print_json


def audit(
    config: Config = None,
    data: Data = None,
    cache: Cache = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run",
            help="Name of the run; without, the newest finished one.",
            show_default=False,
            autocompletion=runs,
        ),
    ] = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Samples to judge the run on.")] = "test",
    live: Annotated[
        int, typer.Option("--live", min=0, metavar="K", help="Recompute K random samples and compare.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which samples --live takes.")] = 0,
    no_sources: Annotated[bool, typer.Option("--no-sources", help="Hash no file of the data set again.")] = False,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log", metavar="FILE", help="Audit a log of epochs alone, of any program: CSV, JSON, JSON lines, text."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="ROLE=NAME", help="Which column of the log is loss, val_accuracy, ..."),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option("--pattern", metavar="REGEX", help="How epochs stand in a text; named groups are the roles."),
    ] = None,
    base_rate: Annotated[
        str | None,
        typer.Option("--base-rate", metavar="SHARES", help="Of the log: share of positives, or of each class."),
    ] = None,
    anchor: Annotated[
        list[str] | None,
        typer.Option("--anchor", metavar="FIGURE=VALUE", help="What is known to be reached, such as auroc=0.91."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every check and what it looked at.")] = False,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Look for mistakes that make results wrong in silence: in data and splits, in features, in training, in results.

    Looks at whatever there is, a data set alone, a store, a run; or with `--log` at the training of another program.
    Each finding names its evidence and what to do; docs/audit.md explains every check. Exit status 1 if one of them is
    severe, an error; warnings and notes are not.
    """
    from ..evaluate.audit.audit import Request, audit_log
    from ..evaluate.audit.audit import audit as run_audit
    from ..evaluate.audit.epochs import parse_anchors, parse_assignments, parse_shares, read_epochs
    from ..evaluate.audit.outcome import audit_tables
    from ..settings import load_settings
    from ..tables import print_tables

    columns, anchors = parse_assignments(column or [], option="--column"), parse_anchors(anchor or [])
    if log is not None:
        shares = parse_shares(base_rate)
        audited = audit_log(read_epochs(log, columns=columns, pattern=pattern, shares=shares, anchors=anchors))
    else:
        request = Request(run=run, part=split, live=live, seed=seed, sources=not no_sources, anchors=anchors)
        resolved = load_settings(config, overrides=overrides(settings, data_root=data, cache_path=cache))
        audited = run_audit(resolved, request)
    if as_json:
        print_json(audited.to_json())
    else:
        print_tables(audit_tables(audited, details=verbose))
    raise typer.Exit(0 if audited.trustworthy else 1)
