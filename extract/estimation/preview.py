"""What an extraction would do and cost, found out without doing it: `weldcache plan`, and how `extract` begins."""

from dataclasses import replace
from pathlib import Path

from ...cache.store import FeatureStore
from ...configs.device import resolve_device
from ...configs.schema import Settings
from ...errors import OutputExistsError
from ...progress import say
from ...wording import listed
from ..batching import CPU_GROUP_SIZE
from ..features.load import num_workers
from ..plan import ExtractPlan
from ..reconcile import stale_rows
from ..request import Request, make_request
from .estimate import Estimate, estimate
from .group_size import choose_group_size, known_group_size
from .probe import probe


def preview(settings: Settings, *, split: str = "all", measure: bool = True, refresh: bool = False) -> Estimate:
    """What `extract` would cost; changes nothing and makes nothing but the demo backbones, where these are asked for.

    Raises:
        NotFoundError: if there is no data set, it has no such split, or nothing of it is there.
        FingerprintError: if the store was made from something else, as `extract` would.
        OutputExistsError: if something else is where the store would be.
    """
    request = make_request(settings, split=split, needs_files=True)
    store = _existing_store(settings.cache.path)
    if store is not None:
        request = replace(request, stale=stale_rows(store, request, refresh=refresh))
    return plan_and_estimate(store, request, settings, measure=measure)[1]


def plan_and_estimate(
    store: FeatureStore | None, request: Request, settings: Settings, *, measure: bool = True, least_groups: int = 1
) -> tuple[ExtractPlan, Estimate]:
    """Cut what `store` lacks into groups, and find out what they cost: in time too, where `measure` allows it and there
    are as many groups as make measuring worth its seconds.

    Raises:
        BackboneError: if a backbone's weights are not whole.
        WeldcacheError: if the device does not hold one weld, or decode processes cannot start.
        StoreError: if the disk refuses to be written to.
    """
    if request.without_normals:
        say(
            f"There is no normal weld in {listed(request.without_normals)}, and `weldcache train` needs some. Give "
            "them that SPLIT in the manifest; where there is none, put them into several sessions (folders)."
        )
    if measure:
        group_size = choose_group_size(store, request, settings)
    else:
        group_size = known_group_size(store, settings) or CPU_GROUP_SIZE
    plan = request.plan(store, group_size=group_size)
    workers = num_workers(settings.extract)
    measured = None
    if measure and len(plan.groups) >= least_groups:
        device = resolve_device(settings.extract.device, setting="extract.device")
        measured = probe(
            request, plan, group_size=group_size, workers=workers, device=device, store_path=settings.cache.path
        )
    expected = estimate(request, plan, measured, group_size=group_size, workers=workers, store_path=settings.cache.path)
    return plan, expected


def _existing_store(path: Path) -> FeatureStore | None:
    if not path.exists():
        return None
    if not (path / "zarr.json").exists():
        raise OutputExistsError(f"{path} exists already and is not a complete feature store; move it away.")
    return FeatureStore.open(path)
