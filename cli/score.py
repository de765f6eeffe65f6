"""`weldcache score`: new samples."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import AsJson, Config, Device, Maps, RunName, Set, overrides, print_json

_ALARMED = 3  # the exit status


def score(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="Files, folders or a table of new samples, as the run's data set has them."
        ),
    ],
    run: RunName = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File for the scores; else they go to stdout.", show_default=False)
    ] = None,
    form: Annotated[
        Literal["csv", "jsonl"] | None,
        typer.Option("--format", help="csv or jsonl (a JSON object a line).", show_default="as --out ends, else csv"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace --out if it is there.")] = False,
    maps: Maps = None,
    fail_on_alarm: Annotated[
        bool, typer.Option("--fail-on-alarm", help=f"Exit status {_ALARMED} if some sample raises an alarm.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on: score what comes to the one folder that is named, until Ctrl-C.")
    ] = False,
    every: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two looks, with --watch.")] = 2.0,
    patience: Annotated[
        float,
        typer.Option("--patience", min=0, help="Seconds until a sample that lacks something is scored, with --watch."),
    ] = 60.0,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            help="File that remembers what was scored, with --watch.",
            show_default=".scored_by_RUN.jsonl in the folder",
        ),
    ] = None,
    device: Device = None,
    config: Config = None,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Score samples that are in no store and have no label, by a run and its backbones alone.

    Each sample is a line: its score, whether it raises an alarm by the run's own threshold, how much every modality
    adds, and why it could not be scored or what it lacks. Scores are those that `weldcache eval` gives the same files.
    Preprocessing and backbones are the run's; what would make other features here is refused. Exit status: 0 all were
    scored, 1 some could not be, 2 what was named cannot be used, 3 an alarm, with --fail-on-alarm.
    """
    from ..errors import SettingsError, WeldcacheError
    from ..evaluate.new.lines import sample_document
    from ..evaluate.new.score import Watching, score_to
    from ..evaluate.new.scorer import ScoredSample
    from ..settings import load_settings
    from ..train.runs.names import find_run
    from ..train.runs.trained_run import load_run
    from ..wording import count_of

    if as_json and out is None and (watch or form):
        raise SettingsError("--json prints one object in the end: with --watch or --format, name a file by --out.")
    samples: list[ScoredSample] = []
    changes = overrides(settings, train_device=device, extract_device=device)
    trained = load_run(find_run(load_settings(config, overrides=changes).runs.folder, run).path)
    asked = load_settings(config, overrides=changes, base=trained.settings)
    watching = Watching(every, patience, state) if watch else None
    tally = score_to(
        samples.append if as_json and out is None else out,
        trained,
        paths,
        settings=asked,
        form=form,
        overwrite=overwrite,
        maps=maps,
        watching=watching,
        fail_on_alarm=fail_on_alarm,
    )
    if as_json:
        where = {
            "out": None if out is None else str(out),
            "samples": [sample_document(each) for each in samples] if out is None else None,
        }
        print_json({"run": trained.folder.name, **tally.document(), **where})
    if fail_on_alarm and tally.num_alarms:
        raise typer.Exit(_ALARMED)
    if tally.num_failed and not watch:
        raise WeldcacheError(f"{count_of(tally.num_failed, tally.noun)} could not be scored; each line says why.")
