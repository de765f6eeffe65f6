"""`weldcache eval`: stage three."""

import json
from typing import Annotated, Literal

import typer

from .options import AsJson, Cache, Config, Maps, Set, command_line, overrides


def evaluate(
    config: Config = None,
    cache: Cache = None,
    run: Annotated[
        str | None,
        typer.Option("--run", help="Name of the run; latest: the newest finished one.", show_default="latest"),
    ] = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Samples to judge it on.")] = "test",
    media: Annotated[
        Literal["none", "thumbnails", "full"] | None,
        typer.Option(
            help="What of the samples' files the report shows; the same as --set evaluate.media=...", show_default=False
        ),
    ] = None,
    figures: Annotated[
        Literal["png", "svg"] | None,
        typer.Option(
            help="Write the report's figures as files too, into figures_<split> in the run's folder.",
            show_default=False,
        ),
    ] = None,
    maps: Maps = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every table of what is told here.")] = False,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Judge a run: of a detector AUROC with its interval, every defect, a threshold that saw no test label, the
    controls, and what the model does without each modality; of a classifier accuracy, macro F1 and every class.

    Writes `report.html` (one file, offline), `report.json`, `scores_<split>.csv` and, where pyarrow is installed,
    `samples_<split>.parquet` into the run's folder (`report_val.html` and so on for another split than test).
    """
    from ..evaluate.pipeline import evaluate as run_evaluate
    from ..settings import load_settings

    shown = [] if media is None else [f"evaluate.media={media}"]
    resolved = load_settings(config, overrides=[*overrides(settings, cache_path=cache), *shown])
    named = cache is not None or any(setting.startswith("cache.path=") for setting in settings or [])
    evaluation = run_evaluate(
        resolved,
        run_name=run,
        split=split,
        cache=resolved.cache.path if named else None,
        command=command_line(),
        figures=figures,
        maps=maps,
        details=verbose,
    )
    if as_json:
        typer.echo(json.dumps(evaluation.report, indent=2))
        return
    from ..tables import print_tables

    print_tables([evaluation.summary])
    typer.echo(f"Report: {evaluation.report_path}")
