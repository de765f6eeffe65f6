"""`weldcache extract`: stage one."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import Cache, Config, Set, overrides


def extract(
    config: Config = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Data set; the same as --set data.root=PATH.", show_default=False),
    ] = None,
    cache: Cache = None,
    split: Annotated[Literal["train", "val", "test", "all"], typer.Option(help="Welds to extract.")] = "all",
    settings: Set = None,
) -> None:
    """Put every weld through the frozen backbones once, into the feature store.

    Only what is missing is computed: interrupt it, kill it, run it again. A store that was made with other backbones
    or preprocessing is refused, with each difference named. A file that is missing or cannot be decoded is reported
    at the end with its weld; it never becomes a silent zero.
    """
    from ..configs.load import load_settings
    from ..extract.pipeline import describe_summary
    from ..extract.pipeline import extract as run_extract

    resolved = load_settings(config, overrides=overrides(settings, data_root=data, cache_path=cache))
    typer.echo(describe_summary(run_extract(resolved, split=split)))
