"""`weldcache recommend`: what to begin with on a data set whose test nobody has labelled."""

from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson, Cache, Config, Set, overrides, print_json


def recommend(
    config: Config = None,
    cache: Cache = None,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="Where the settings are written.")] = Path(
        "recommended.yaml"
    ),
    validation_defects: Annotated[
        bool,
        typer.Option(
            "--validation-defects", help="The defects of validation have labels that may be looked at: judge by these."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace that file.")] = False,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Pick a detector for a new data set without a label of test: the shortest bench there is.

    Detectors that the store can feed are fitted to the normals of train and compared on those of validation, against
    pseudo-defects made of these. Says how sure it is, and writes settings for `weldcache train --config FILE`.
    """
    from ..evaluate.trials.recommend import recommend as pick
    from ..evaluate.trials.recommendation import recommendation_table, write_settings
    from ..settings import load_settings

    found = pick(
        load_settings(config, overrides=overrides(settings, cache_path=cache)), validation_defects=validation_defects
    )
    write_settings(found, to, overwrite=overwrite)
    if as_json:
        print_json(found.as_json())
    else:
        from ..tables import print_tables

        print_tables([recommendation_table(found)])
        typer.echo(f"Settings: {to}. Fit it with `weldcache train --config {to}`.")
