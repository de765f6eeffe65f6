"""`weldcache fuse`: late fusion of trained runs."""

from typing import Annotated, Literal

import typer

from .completion import runs
from .options import AsJson, Cache, Config, Set, command_line, overrides, print_json


def fuse(
    members: Annotated[
        list[str], typer.Argument(metavar="RUN RUN...", help="Names of two or more finished runs.", autocompletion=runs)
    ],
    config: Config = None,
    cache: Cache = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Name of the fused run.", show_default="late_fusion-001, -002, ...")
    ] = None,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            metavar="equal|fit|NUMBERS",
            help="How much each run counts: alike; as separates validation best; or as given, such as 0.37,0.63.",
        ),
    ] = "equal",
    combine: Annotated[
        Literal["mean", "min", "max", "product", "svm"],
        typer.Option(
            "--combine",
            help="How scores become one: their weighted mean; min: all have to find a sample strange; max: one alone; "
            "product: of distances, each over its mean on normals; svm: how far outside a one-class support vector "
            "machine around normals' scores.",
        ),
    ] = "mean",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run of that name.")] = False,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Fuse the scores of trained runs into one run.

    Each run's scores are put in units of their spread on the validation normals, and become one. The result is a run
    like any other, with all weights in it: judge it with `weldcache eval`.
    """
    from ..evaluate.pipeline import fuse_and_calibrate, run_document
    from ..settings import load_settings
    from ..train.combination import parse_weighting
    from ..train.fusion import describe_fusion

    fused = fuse_and_calibrate(
        load_settings(config, overrides=overrides(settings, cache_path=cache)),
        members=members,
        weighting=parse_weighting(weights),
        combine=combine,
        run_name=run,
        overwrite=overwrite,
        command=command_line(),
    )
    if as_json:
        print_json(run_document(fused.run))
    else:
        typer.echo(describe_fusion(fused))
