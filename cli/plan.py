"""`weldcache plan`: what stage one would cost."""

from typing import Annotated

import typer

from .options import AsJson, Cache, Config, Data, Refresh, Set, Split, Verbose, overrides, print_json


def plan(
    config: Config = None,
    data: Data = None,
    cache: Cache = None,
    split: Split = "all",
    refresh: Refresh = False,
    settings: Set = None,
    no_probe: Annotated[
        bool, typer.Option("--no-probe", help="Measure no speeds: rows and bytes alone, in no time.")
    ] = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Say what `extract` would do and cost, without doing it: rows, bytes, free disk, FLOPs, time, bottleneck.

    A few samples are read, encoded and written for a moment, to measure this machine. The store is not changed; what
    `extract` would refuse is refused.

    --json prints one object. `store`, `workers`, `group_size`; `samples`: asked, to_do, with_masks (that show where
    their defects are); `rows`: by feature set and split; `rows_without_files`: how many of these can only be reported;
    `bytes`: arrays (by name), features, on_disk, free; `enough_disk`. Measured, null without that: `flops` (a sample,
    by modality), `flops_per_second`, `seconds_per_sample` (decode and backbones by modality, disk by feature set) and
    `expected`: seconds = startup_seconds + run_seconds, side_seconds (of each side alone), shared_cores_seconds (of all
    sides' work divided by the cores), bottleneck.
    """
    from ..extract.estimation.estimate import estimate
    from ..extract.estimation.told import estimate_tables, to_json
    from ..settings import load_settings
    from ..tables import print_tables

    resolved = load_settings(config, overrides=overrides(settings, data_root=data, cache_path=cache))
    expected = estimate(resolved, split=split, measure=not no_probe, refresh=refresh)
    if as_json:
        print_json(to_json(expected))
        return
    print_tables(estimate_tables(expected, details=verbose))
