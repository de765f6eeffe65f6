"""The story of `weldcache audit`: what evidence there is, what every check makes of it, and a verdict.

data set or store: who the samples are -> store: what is kept of them -> run: how it was trained, what it answers
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...cache.splits import OFFICIAL
from ...cache.store import FeatureStore
from ...errors import FingerprintError, NotFoundError
from ...extract.verification.verify import verification_of
from ...findings import Check, Finding
from ...progress import said_once
from ...settings import Settings
from ...train.recipes.recipe import Trained
from ...train.runs.names import find_run
from ...train.runs.trained_run import TrainedRun, load_run
from ...train.runs.verification import verify_run
from ...wording import count_of
from ..scoring import scorer_of
from .check import Group, answers
from .curves import CURVE_CHECKS
from .epochs import Epochs, epochs_of_run
from .features import STORE_CHECKS, Stored
from .giveaways import GIVEAWAY_CHECKS
from .judgement import RESULT_CHECKS, Result
from .listing import Listing, listed, listing_of_data, listing_of_store
from .outcome import Audit
from .parts import PART_CHECKS
from .weights import TRAINING_CHECKS, Training

_TRAIN_AGAIN = "Audit the run on the store that it was trained on (--cache), or train again."


@dataclass(frozen=True)
class Request:
    """How far an audit goes.

    Attributes:
        run: name of the run; None: the newest finished one, where there is one.
        part: the part of the split that the run is judged on.
        live: how many samples are computed again and compared with the store.
        seed: which these are.
        sources: whether files of the data set are hashed again.
        anchors: by figure what is known to be reached.
    """

    run: str | None = None
    part: str = "test"
    live: int = 0
    seed: int = 0
    sources: bool = True
    anchors: Mapping[str, float] = field(default_factory=dict)


@said_once()
def audit(settings: Settings, request: Request | None = None) -> Audit:
    """Look at all that the settings name: the data set, the store, and a run.

    Raises:
        NotFoundError: if there is neither data set nor store, or not the run that is asked for.
        StoreError: if the store cannot be opened.
        TrainingError: if the run cannot be read.
    """
    asked, missing = request or Request(), list[str]()
    data, store = _data(settings, missing), _store(settings, missing)
    listing = _listing(data, store)
    if listing is None:
        raise NotFoundError(f"There is nothing to audit. {' '.join(missing)}")
    run = None if store is None else _run(settings, asked, missing)
    looked_at = [f"{listing.where}: {count_of(len(listing.index), listing.noun)}"]
    checks = [*answers([*PART_CHECKS, *GIVEAWAY_CHECKS], listing)]
    if store is not None:
        read = None if run is None else run.recipe.needs().feature_sets
        checks += [*answers(STORE_CHECKS, Stored(store, read=read)), *_verified(store, settings, asked)]
    if run is not None and store is not None:
        looked_at.append(f"{run.folder.path}: {run.manifest['recipe']}, judged on {asked.part}")
        checks += _of_run(run, settings, asked)
    return Audit(looked_at, missing, checks)


def _verified(store: FeatureStore, settings: Settings, asked: Request) -> Iterator[tuple[Group, Check]]:
    """What `weldcache verify` finds: bytes, values, what made them, the data set as it is now, live features."""
    found = verification_of(store, settings, live=asked.live, seed=asked.seed, sources=asked.sources)
    yield from (("cache", check) for check in found.checks)


def _of_run(run: TrainedRun, settings: Settings, asked: Request) -> Iterator[tuple[Group, Check]]:
    yield "training", replace(verify_run(run.folder, folder=run.folder.path.parent), name="run files")
    epochs = epochs_of_run(
        run.folder.name,
        run.metrics,
        anchors=asked.anchors,
        monitors=run.task.monitors(),
        counts=run.manifest["counts"],
    )
    yield from answers([check for check in CURVE_CHECKS if check.group == "training"], epochs)
    try:
        scorer = scorer_of(run, cache=settings.cache.path, device=settings.train.device)
    except (FingerprintError, NotFoundError) as error:
        stale = Finding("fingerprint", "error", str(error), _TRAIN_AGAIN)
        yield "cache", Check("fingerprint", "what the run was trained on, and what the store holds", [stale])
        return
    yield "cache", Check("fingerprint", "what the run was trained on, and what the store holds")
    if isinstance(run.recipe, Trained):
        yield from answers(TRAINING_CHECKS, Training(run, run.recipe, scorer.store))
    yield from answers(RESULT_CHECKS, Result(scorer, asked.part, settings.evaluate, asked.anchors))


def _run(settings: Settings, asked: Request, missing: list[str]) -> TrainedRun | None:
    try:
        return load_run(find_run(settings.runs.folder, asked.run).path)
    except NotFoundError as error:
        if asked.run is not None:
            raise
        missing.append(f"No run: {error}")
        return None


def audit_log(epochs: Epochs) -> Audit:
    """Look at the log of a training alone, whoever wrote it."""
    return Audit([f"{epochs.where}: {count_of(epochs.num, 'epoch')}"], (), [*answers(CURVE_CHECKS, epochs)])


def _data(settings: Settings, missing: list[str]) -> Listing | None:
    try:
        return listing_of_data(settings, listed(settings))
    except NotFoundError as error:
        missing.append(f"No data set: {error}")
        return None


def _store(settings: Settings, missing: list[str]) -> FeatureStore | None:
    try:
        store = FeatureStore.open(settings.cache.path)
    except NotFoundError as error:
        missing.append(f"No store: {error}")
        return None
    asked = settings.train.split
    return store.divided_by(asked) if asked != OFFICIAL and asked in store.splits() else store


def _listing(data: Listing | None, store: FeatureStore | None) -> Listing | None:
    """By the store's index, which trainings go by, where there is one; the data set itself is read, too."""
    if store is None:
        return data
    kept = listing_of_store(store)
    return kept if data is None else replace(kept, readings=data.readings, pictures=_pictures(data, kept))


def _pictures(data: Listing, kept: Listing) -> Sequence[Sequence[Path]]:
    found = dict(zip(data.index.keys.tolist(), data.pictures, strict=True))
    return [found.get(key, ()) for key in kept.index.keys.tolist()]
