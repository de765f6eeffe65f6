"""`weldcache eval`: stage three."""

from typing import Annotated, Literal

import typer

from .completion import runs
from .options import (
    AsJson,
    Cache,
    Config,
    Device,
    Maps,
    RunName,
    Set,
    Verbose,
    command_line,
    one_run,
    overrides,
    print_json,
)


def evaluate(
    name: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The same as --run.", show_default=False, autocompletion=runs)
    ] = None,
    config: Config = None,
    cache: Cache = None,
    run: RunName = None,
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
    show: Annotated[bool, typer.Option("--open", help="Show report.html in the browser.")] = False,
    fail_under: Annotated[
        float | None,
        typer.Option(
            "--fail-under",
            min=0,
            max=1,
            metavar="AUROC",
            help="Exit status 3 if the AUROC is below.",
            show_default=False,
        ),
    ] = None,
    fail_over: Annotated[
        float | None,
        typer.Option(
            "--fail-over",
            min=0,
            max=1,
            metavar="FPR",
            help="Exit status 3 if a larger share of the normals raises an alarm at the run's threshold.",
            show_default=False,
        ),
    ] = None,
    verbose: Verbose = False,
    device: Device = None,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Judge a run: of a detector AUROC with its interval, every defect, a threshold that saw no test label, the
    controls, and what the model does without each modality; of a classifier accuracy, macro F1 and every class.

    Writes `report.html` (one file, offline), `report.json`, `scores_<split>.csv` and, where pyarrow is installed,
    `samples_<split>.parquet` into the run's folder (`report_val.html` and so on for another split than test). Exit
    status 3 if the run is worse than `--fail-under` or `--fail-over` allow.
    """
    from ..evaluate.bounds import Bounds
    from ..evaluate.pipeline import evaluate as run_evaluate
    from ..settings import load_settings

    shown = [] if media is None else [f"evaluate.media={media}"]
    resolved = load_settings(config, overrides=[*overrides(settings, cache_path=cache, train_device=device), *shown])
    named = cache is not None or any(setting.startswith("cache.path=") for setting in settings or [])
    evaluation = run_evaluate(
        resolved,
        run_name=one_run(name, run),
        split=split,
        cache=resolved.cache.path if named else None,
        command=command_line(),
        figures=figures,
        maps=maps,
        details=verbose,
    )
    if as_json:
        print_json(evaluation.report)
    else:
        from ..tables import print_tables

        print_tables([evaluation.summary])
        typer.echo(f"Report: {evaluation.report_path}")
    if show:
        typer.launch(evaluation.report_path.as_uri())
    Bounds(fail_under, fail_over).require(evaluation.report)
