"""What is asked of an extraction, and the store made ready for it by the one process that holds it then."""

import time
from dataclasses import dataclass
from pathlib import Path

from ..atomic import locked_folder, remove_partial
from ..cache.store import FeatureStore
from ..documents import fingerprint
from ..errors import OutputExistsError, disk_errors
from ..progress import say
from ..settings import Settings
from ..wording import count_of, listed
from .engines.engine import EngineName
from .engines.joining import SharedJob
from .engines.spans import cut_spans
from .estimation.estimate import plan_and_estimate, require_disk_space
from .estimation.told import describe
from .plan import ExtractPlan
from .reconcile import reconcile
from .request import Request, make_request

_WORTH_MEASURING = 4  # groups to do; the speeds are measured in the time that one or two take


@dataclass(frozen=True)
class Asked:
    """What is asked of an extraction, whoever works on it; see `pipeline.extract`."""

    settings: Settings
    request: Request
    refresh: bool
    relabel: bool

    @property
    def folder(self) -> Path:
        """Where the store is or will be, which is not in a bucket."""
        assert isinstance(self.settings.cache.path, Path)
        return self.settings.cache.path

    @property
    def listing(self) -> str:
        """What is made of which samples, as a fingerprint: equal for all who cut the same groups."""
        index = self.request.index
        return fingerprint(
            {
                "made": self.request.manifest(),
                "keys": index.keys.tolist(),
                "parts": index.parts.tolist(),
                "splits": list(self.request.splits),
            }
        )


def ask(settings: Settings, *, split: str, refresh: bool, relabel: bool) -> Asked:
    """Look at the data set and at the backbones' descriptions; raises as `make_request`."""
    return Asked(settings, make_request(settings, split=split, needs_files=True), refresh, relabel)


def opened_store(asked: Asked) -> FeatureStore:
    """The store in the folder, which the caller holds."""
    remove_partial(asked.folder / "zarr.json")  # of one that was killed while it replaced the store's description
    return FeatureStore.open(asked.folder)


def prepare(store: FeatureStore, asked: Asked) -> tuple[Request, ExtractPlan]:
    """Bring the store, which the caller holds, and the request together; tell what is to be done.

    Raises:
        FingerprintError: if the store was made from something else; the message names each difference.
        StoreError: if the disk is too small.
    """
    request = asked.request.as_held(store.index)
    with disk_errors(store.folder):
        reconcile(store, request, refresh=asked.refresh, relabel=asked.relabel)
    return request, _plan(store, request, asked.settings)


def prepare_job(asked: Asked, *, engine: EngineName, workers: int, identity: str) -> SharedJob:
    """As `prepare`, for several workers, none of whom is at work yet; raises BusyError if the store is in use."""
    require_store(asked)
    with locked_folder(asked.folder):
        store = opened_store(asked)
        request, plan = prepare(store, asked)
    return job_of(plan, store, request, asked, engine=engine, workers=workers, identity=identity)


def job_of(
    plan: ExtractPlan,
    store: FeatureStore,
    request: Request,
    asked: Asked,
    *,
    engine: EngineName,
    workers: int,
    identity: str,
) -> SharedJob:
    """What is told of an extraction that was prepared, to all who work on it."""
    return SharedJob(
        identity=identity,
        listing=asked.listing,
        engine=engine,
        num_workers=workers,
        noun=request.noun,
        num_rows=plan.num_rows,
        num_done=plan.num_rows - plan.num_todo,
        num_spans=len(cut_spans(len(request.cut(store.batching["group_size"])), workers=workers)),
        started=time.time(),
    )


def require_store(asked: Asked) -> None:
    """Make the store, empty, unless it is there."""
    path = asked.folder
    if (path / "zarr.json").exists():
        return
    try:
        with disk_errors(path):
            FeatureStore.create(path, index=asked.request.index)
    except OutputExistsError:
        # Another process may have made it meanwhile: then the lock on it says who goes on.
        if not (path / "zarr.json").exists():
            raise


def _plan(store: FeatureStore, request: Request, settings: Settings) -> ExtractPlan:
    """Cut what is missing into groups, and say what it will cost."""
    plan, expected = plan_and_estimate(store, request, settings, least_groups=_WORTH_MEASURING)
    with disk_errors(store.folder):
        store.set_noun(request.noun)
        store.set_batching({"group_size": expected.group_size})
    if store.random_backbones:
        random, trained = store.made_with_random_weights
        which = f"Those of {listed(random)}" if trained else "These"
        say(
            f"{which} are random-weight demo backbones: they show that everything works, not what a trained one can do."
        )
    if not plan.jobs:
        say(f"{store.path}: all of {count_of(plan.num_rows, request.noun)} is done.")
        return plan
    for line in describe(expected):
        say(line)
    require_disk_space(expected)
    return plan
