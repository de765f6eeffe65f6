"""`weldcache extract`: stage one."""

from typing import Annotated

import typer

from .options import Cache, Config, Data, Set, Split, overrides


def extract(
    config: Config = None,
    data: Data = None,
    cache: Cache = None,
    split: Split = "all",
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="Compute again what other files or weights were used for, and only that."),
    ] = False,
    settings: Set = None,
) -> None:
    """Put every weld through the frozen backbones once, into the feature store.

    Only what is missing is computed: interrupt it, kill it, run it again; ask for another block or backbone, and only
    that is added. What other weights, preprocessing or files were used for is refused, with each difference named,
    unless `--refresh` computes it again. A file that is missing or cannot be decoded is reported at the end with its
    weld; it never becomes a silent zero. `weldcache plan` tells beforehand what a run will cost.
    """
    from ..configs.load import load_settings
    from ..errors import WeldcacheError
    from ..extract.pipeline import describe_summary
    from ..extract.pipeline import extract as run_extract

    resolved = load_settings(config, overrides=overrides(settings, data_root=data, cache_path=cache))
    summary = run_extract(resolved, split=split, refresh=refresh)
    typer.echo(describe_summary(summary))
    if summary.num_failed:
        raise WeldcacheError(
            f"{summary.num_failed} welds did not get through every backbone; they are named above. All others are "
            "safe; run the same command again to try these."
        )
