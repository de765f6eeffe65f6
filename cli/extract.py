"""`weldcache extract`: stage one."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import Address, AsJson, Cache, Config, Data, Device, Refresh, Set, Split, overrides, print_json


def extract(
    config: Config = None,
    data: Data = None,
    cache: Cache = None,
    split: Split = "all",
    refresh: Refresh = False,
    relabel: Annotated[
        bool,
        typer.Option("--relabel", help="Take over what the data set says now of a sample's split, class or group."),
    ] = False,
    engine: Annotated[
        Literal["local", "rank", "ray"],
        typer.Option(
            "--engine",
            help="Who works on it: processes of this machine; this one as a rank among others (torchrun, Slurm, "
            "Kubernetes); actors of a Ray cluster.",
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            help="How many, each with backbones of its own.",
            show_default="1, of ray one a GPU, of ranks what started them says",
        ),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option("--gpus", metavar="N", help="GPUs that the workers share.", show_default="all"),
    ] = None,
    address: Address = None,
    status: Annotated[
        bool,
        typer.Option("--status", help="Tell how far an extraction by several workers is, and who is at what."),
    ] = False,
    device: Device = None,
    settings: Set = None,
    as_json: AsJson = False,
) -> None:
    """Put every sample through the frozen backbones once, into the feature store.

    Only what is missing is computed: interrupt it, kill it, run it again; ask for another block or backbone, and only
    that is added. What other weights, preprocessing or files were used for is refused, with each difference named,
    unless `--refresh` computes it again; so is another split or class, unless `--relabel` takes it over, for which
    nothing is computed. A sample that the data set lists no more is left out of everything until it does. A file that
    is missing or cannot be decoded is reported at the end with its sample; it never becomes a silent zero. `weldcache
    plan` tells beforehand what a run will cost.

    Several workers share a data set, on one machine or many, and the store ends up as if one had done it. One that is
    killed costs what it was at: another one goes on with it, or any later run.
    """
    from ..configs.place import BucketUrl
    from ..errors import SettingsError, WeldcacheError
    from ..extract.engines.engine import Engine
    from ..extract.pipeline import extract as run_extract
    from ..extract.summary import describe_summary
    from ..settings import load_settings
    from ..wording import count_of, listed

    resolved = load_settings(
        config, overrides=overrides(settings, data_root=data, cache_path=cache, extract_device=device)
    )
    if status:
        if isinstance(resolved.cache.path, BucketUrl):
            raise SettingsError(
                f"--status reads what workers write beside a store in a folder, and {resolved.cache.path} is in a "
                "bucket. The command that hands out the spans, or each rank, tells how far it is."
            )
        _show_status(resolved.cache.path, as_json=as_json)
        return
    who = Engine(engine, workers, gpus, address)
    summary = run_extract(resolved, split=split, refresh=refresh, relabel=relabel, engine=who)
    if as_json:
        print_json(summary.as_json())
    else:
        typer.echo(describe_summary(summary))
    if summary.num_failed:
        raise WeldcacheError(
            f"{count_of(summary.num_failed, summary.noun)} could not be finished: a backbone failed, or memory ran "
            "out, as told above. All others are safe; run the same command again to try these."
        )
    if summary.unusable:
        raise WeldcacheError(
            f"Not one {summary.noun} has {listed(summary.unusable)}, although files are there: see above why. "
            "Training would go on without it. What is complete is safe; mend the reason and run the same command again."
        )


def _show_status(store_path: Path, *, as_json: bool) -> None:
    from ..extract.engines.status import extraction_status, status_document, status_tables
    from ..tables import print_tables

    status = extraction_status(store_path)
    if as_json:
        print_json(status_document(status))
    else:
        print_tables(status_tables(status))
