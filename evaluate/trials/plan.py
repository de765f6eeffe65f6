"""What a bench will do: for every trial what is left of it, for every variant whether it can be tried at all, and the
features that they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import indent

import numpy as np

from ...cache.store import FeatureStore
from ...configs.device import resolve_device
from ...configs.schema import Settings
from ...errors import OutputExistsError, WeldcacheError
from ...progress import say
from ...train.data.feature_pool import FeaturePool
from ...train.data.feature_reader import Rows
from ...train.data.resident import fits_memory
from ...wording import format_size, homes_hidden
from .overwriting import is_overwritten
from .trial import Trial
from .trial_start import Step, TrialRequest, next_step, request_of


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be done.

    Attributes:
        requests: by variant what it asks of the store; only those that can be tried.
        steps: the trials of those variants in their order, with what is left of each.
        failures: by variant why it cannot be tried, in one line.
    """

    requests: Mapping[str, TrialRequest]
    steps: Sequence[tuple[Trial, Step]]
    failures: Mapping[str, str]

    @property
    def num_done(self) -> int:
        """Trials of which nothing is left."""
        return sum(step == "done" for _, step in self.steps)

    def train_rows(self) -> Rows:
        """Rows of the normals that some variant trains on."""
        return _union([request.train for request in self.requests.values()])


def make_plan(trials: Sequence[Trial], store: FeatureStore, *, split: str, overwrite: bool) -> Plan:
    """Look at the store for every variant, and at what is there of every trial; nothing is written.

    `overwrite`: every trial is trained again, but for those that an interrupted overwriting has made already.

    Raises:
        OutputExistsError: if trials are there already that ask for something else; the message names them all.
    """
    requests: dict[str, TrialRequest] = {}
    failures: dict[str, str] = {}
    for variant, settings in {trial.variant: trial.settings for trial in trials}.items():
        try:
            requests[variant] = request_of(settings, store, split=split)
        except WeldcacheError as error:
            failures[variant] = one_line(error)
    steps: list[tuple[Trial, Step]] = []
    refusals = []
    for trial in trials:
        if trial.variant in requests:
            request = requests[trial.variant]
            try:
                steps.append((trial, _step(trial, request, store, split=split, overwrite=overwrite)))
            except OutputExistsError as error:
                refusals.append(str(error))
    if refusals:
        listed = indent("\n".join(refusals), "  ")
        raise OutputExistsError(
            f"What is there already is not what is asked for:\n{listed}\n"
            "Give the list another name or set another runs.folder, or replace the trials with --overwrite."
        )
    return Plan(requests, steps, failures)


def _step(trial: Trial, request: TrialRequest, store: FeatureStore, *, split: str, overwrite: bool) -> Step:
    again = overwrite and not is_overwritten(trial.run)
    try:
        return next_step(trial, request, store, split=split, overwrite=again)
    except WeldcacheError:
        if overwrite:  # the list was changed since the interruption
            return "train"
        raise


def load_shared_features(plan: Plan, store: FeatureStore, *, settings: Settings) -> FeaturePool | None:
    """Load every array that some trial still needs, once; None where all together do not fit, or none is needed."""
    needed = [plan.requests[trial.variant] for trial, step in plan.steps if step != "done"]
    if not needed or settings.train.loading == "streamed":
        return None
    device = resolve_device(settings.train.device, setting="train.device")
    # A variant may do without what another one asks for, so each array is loaded as if rows may lack it.
    requests = {wanted.name: replace(wanted, optional=True) for request in needed for wanted in request.requests}
    rows = _in_order_of_use(needed)
    pool = FeaturePool(store, rows, device=device)
    num_bytes = pool.num_bytes(list(requests.values()))
    size = f"{format_size(num_bytes)} of features"
    if not fits_memory(num_bytes, device=device):
        say(f"{size} do not fit the memory of {device} together: each trial loads or streams its own.")
        return None
    pool.source(rows, list(requests.values()))
    say(f"{size} stay on {device}; {len(needed)} trials share them.")
    return pool


def one_line(error: Exception) -> str:
    """What went wrong, as a table has room for."""
    text = homes_hidden(" ".join(str(error).split()))
    return text if isinstance(error, WeldcacheError) else f"{type(error).__name__}: {text} (a fault of weldcache)"


def _in_order_of_use(requests: Sequence[TrialRequest]) -> Rows:
    """Splits one after another, each row once, so that batches in order need no gathering."""
    splits = zip(*((request.train, request.validation, request.scored) for request in requests), strict=True)
    rows = np.concatenate([_union(parts) for parts in splits])
    _, first = np.unique(rows, return_index=True)
    return rows[np.sort(first)]


def _union(parts: Sequence[Rows]) -> Rows:
    return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *parts]))
