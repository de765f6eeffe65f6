"""The trials of a sweep on the disk: which were tried, who tries which, what is next. Only here Optuna is known.

Optuna's journal is one file of lines that only grows, and several processes share it. It has no sign of life: so each
trial carries its owner, and one whose owner has died is put back, to be tried by whoever comes next, in the same run
and from its last checkpoint. A trial counts once, however often it was put back.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import psutil
from optuna.importance import get_param_importances
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState
from typing_extensions import TypedDict

from ...cache.provenance import differences, differences_told
from ...documents import Json
from ...errors import OutputExistsError, StoreError
from ...train.tasks import Direction
from ...wording import lined_up
from .space import Choice, FloatRange, IntRange, Parameter, SweepRequest, drawn, grid

JOURNAL = "journal.log"
_MOST_ATTEMPTS = 5  # owners that may die of a trial before it is what they die of
_STUDY = "sweep"
_ASKS = "asks_for"

State = Literal["complete", "pruned", "failed", "running", "waiting"]
_STATES: Mapping[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


class Owner(TypedDict):
    """A process: numbers of processes are used again, but not with the same time of birth."""

    host: str
    pid: int
    born: float


@dataclass(frozen=True)
class Tried:
    """A trial as the journal knows it.

    Attributes:
        run: the name of its run; "" where nobody has taken it on yet.
        value: of a complete one, what it is judged by.
        course: that figure by epoch, as far as it was told.
        epochs: that were trained, of one that is complete.
        reason: why it failed.
    """

    number: int
    run: str
    state: State
    values: Mapping[str, Any]
    value: float | None
    course: Mapping[int, float]
    seconds: float | None
    epochs: int | None
    reason: str


@dataclass(frozen=True, eq=False)
class Claim:
    """A trial that this process has taken on."""

    run: str
    values: Mapping[str, Any]
    trial: optuna.Trial


class _Lock:
    """One process at a time; the lock ends with the process, so that a kill leaves none behind."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        self._file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        assert self._file is not None
        os.close(self._file)
        self._file = None


class SweepStudy:
    """The trials of one sweep, shared with other processes."""

    def __init__(
        self, folder: Path, request: SweepRequest, *, direction: Direction, warmup: int, epochs: int, seed: int
    ) -> None:
        """Open the journal in `folder`, or begin one.

        Args:
            folder: of the sweep, which has to be there.
            request: what is tried.
            direction: which values are better.
            warmup: epochs before which no trial is ended.
            epochs: that a trial has at most.
            seed: of what is drawn.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._request = request
        self._sign = 1 if direction == "max" else -1
        self._seed = seed
        self._mine: set[int] = set()
        self._claims = _Lock(folder / ".claims.lock")
        self._journal = folder / JOURNAL
        with self._alone():
            _drop_half_a_line(self._journal)
            lock: Any = _Lock(folder / ".journal.lock")  # what the backend asks of a lock has no public name
            self._storage = JournalStorage(JournalFileBackend(str(self._journal), lock_obj=lock))
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=_STUDY,
                direction="maximize" if direction == "max" else "minimize",
                pruner=_pruner(request, warmup=warmup, epochs=epochs),
                load_if_exists=True,
            )

    def require_same(self, asks_for: Mapping[str, Json]) -> None:
        """Note what all trials ask for beside what is drawn; those that are there have to ask for the same.

        Raises:
            OutputExistsError: if they do not; the message names the differences.
        """
        before = self._study.user_attrs.get(_ASKS)
        if before is None:
            self._study.set_user_attr(_ASKS, json.loads(json.dumps(asks_for)))
            return
        if found := differences(before, json.loads(json.dumps(asks_for))):
            told = lined_up(differences_told(found, mine="there", theirs="now"))
            raise OutputExistsError(
                f"{self._journal.parent} holds trials of another sweep:\n{told}\nGive this one another name with "
                "--name, or move that folder away."
            )

    def claim(self) -> Claim | None:
        """Take on what waits, or draw anew while there are fewer trials than asked for; None where nothing is left."""
        with self._alone():
            self._put_back_abandoned()
            if self._request.sampler == "grid":
                self._enqueue_grid()
            counted = _counted(self._frozen())
            waiting = any(trial.state == TrialState.WAITING for trial in counted)
            if not waiting and (len(counted) >= self._request.trials or self._request.sampler == "grid"):
                return None
            # What is drawn follows from the seed and from how many trials there are, and not from who draws.
            state = np.random.SeedSequence([self._seed, len(counted)]).generate_state(1)
            self._study.sampler = _sampler(self._request, seed=int(state[0]))
            trial = self._study.ask()
            trial.set_user_attr("owner", dict(_this_process()))
            run = trial.user_attrs.get("run") or _new_name(counted)
            trial.set_user_attr("run", run)
            values = drawn(self._request.space, partial(_suggested, trial))
            self._mine.add(trial.number)
            return Claim(run, values, trial)

    def report(self, claim: Claim, *, epoch: int, value: float) -> bool:
        """Note a figure after an epoch; true if the trial is not worth going on with."""
        if self._request.pruner == "none":
            return False
        claim.trial.report(value, epoch)
        return claim.trial.should_prune()

    def complete(self, claim: Claim, *, value: float, seconds: float, epochs: int) -> None:
        claim.trial.set_user_attr("seconds", seconds)
        claim.trial.set_user_attr("epochs", epochs)
        self._study.tell(claim.trial, value)
        self._mine.discard(claim.trial.number)

    def prune(self, claim: Claim) -> None:
        self._study.tell(claim.trial, state=TrialState.PRUNED)
        self._mine.discard(claim.trial.number)

    def fail(self, claim: Claim, *, reason: str) -> None:
        claim.trial.set_user_attr("reason", reason)
        self._study.tell(claim.trial, state=TrialState.FAIL)
        self._mine.discard(claim.trial.number)

    def give_back(self, claim: Claim) -> None:
        """Leave a trial, unless it has ended, to whoever comes next, as an interruption does."""
        with self._alone():
            self._mine.discard(claim.trial.number)
            frozen = next(trial for trial in self._frozen() if trial.number == claim.trial.number)
            if frozen.state == TrialState.RUNNING:
                self._put_back(frozen, attempts=frozen.user_attrs.get("attempts", 1))

    def tried(self) -> list[Tried]:
        """Every trial that counts, in order."""
        return [_told(trial, self._request) for trial in _counted(self._frozen())]

    def others(self) -> list[Owner]:
        """Who else is at work on trials of this sweep."""
        owners = [trial.user_attrs.get("owner") for trial in self._frozen() if trial.state == TrialState.RUNNING]
        return [owner for owner in owners if owner is not None and owner != _this_process() and _lives(owner)]

    def best(self) -> Tried | None:
        """The best of the complete trials, the first of equals."""
        complete = [trial for trial in self.tried() if trial.value is not None]
        return max(complete, key=lambda trial: (self._sign * (trial.value or 0.0), -trial.number), default=None)

    def importances(self) -> Mapping[str, float]:
        """The share of each parameter in how far the complete trials differ, by PED-ANOVA; nothing where few are."""
        complete = [trial for trial in self.tried() if trial.value is not None]
        if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
            return {}
        try:
            return dict(get_param_importances(self._study))
        except (ValueError, RuntimeError):  # it asks for more than some spaces have, such as parameters with a range
            return {}

    def _frozen(self) -> Sequence[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._claims.acquire()
        try:
            yield
        finally:
            self._claims.release()

    def _enqueue_grid(self) -> None:
        """As many points of the grid as trials are asked for, each once."""
        points = grid(self._request)[: self._request.trials]
        for values in points[len(_counted(self._frozen())) :]:
            self._study.enqueue_trial({key: _encoded(self._request.space[key], each) for key, each in values.items()})

    def _put_back_abandoned(self) -> None:
        """Trials whose owner has died; those of this process that it knows nothing of are of a former interruption."""
        trials = self._frozen()
        followed = {trial.user_attrs.get("instead_of") for trial in trials}
        for trial in trials:
            if trial.state != TrialState.RUNNING or trial.number in self._mine:
                continue
            owner = trial.user_attrs.get("owner")
            if owner is not None and owner != _this_process() and _lives(owner):
                continue
            attempts = trial.user_attrs.get("attempts", 1)
            if attempts >= _MOST_ATTEMPTS:
                self._note(trial, reason=f"{attempts} processes died while they tried it")
            elif trial.number not in followed:
                self._put_back(trial, attempts=attempts + 1)
                continue
            self._study.tell(trial.number, state=TrialState.FAIL)

    def _put_back(self, trial: FrozenTrial, *, attempts: int) -> None:
        told = {"instead_of": trial.number, "attempts": attempts, "run": trial.user_attrs.get("run")}
        known = {name: value for name, value in told.items() if value is not None}
        self._study.enqueue_trial(trial.params, user_attrs=known)
        # Last: whoever is killed before leaves a trial that is found again, and is followed already.
        self._study.tell(trial.number, state=TrialState.FAIL)

    def _note(self, trial: FrozenTrial, **told: Json) -> None:
        study = self._storage.get_study_id_from_name(_STUDY)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(study, trial.number)
        for name, value in told.items():
            self._storage.set_trial_user_attr(trial_id, name, value)


def _drop_half_a_line(journal: Path) -> None:
    """What a machine wrote last when its power went; a line that is not whole makes the journal unreadable."""
    if not journal.exists():
        return
    content = journal.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)
    try:
        for line in content.split(b"\n")[:-1]:
            json.loads(line)
    except ValueError:
        raise StoreError(
            f"{journal} is damaged: a line of it is no JSON. Restore it from a copy, or give the sweep another --name."
        ) from None


def _counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Those that no other one was put in place of."""
    followed = {trial.user_attrs.get("instead_of") for trial in trials}
    return [trial for trial in trials if trial.number not in followed]


def _new_name(counted: Sequence[FrozenTrial]) -> str:
    """The first that no trial has."""
    taken = {trial.user_attrs.get("run") for trial in counted}
    return next(name for number in range(len(taken) + 1) if (name := f"trial-{number:04d}") not in taken)


def _told(trial: FrozenTrial, request: SweepRequest) -> Tried:
    told = trial.user_attrs
    return Tried(
        number=trial.number,
        run=told.get("run", ""),
        state=_STATES[trial.state],
        values={key: _decoded(request.space[key], value) for key, value in trial.params.items()},
        value=trial.value if trial.state == TrialState.COMPLETE else None,
        course=trial.intermediate_values,
        seconds=told.get("seconds"),
        epochs=told.get("epochs"),
        reason=told.get("reason", ""),
    )


def _this_process() -> Owner:
    return Owner(host=socket.gethostname(), pid=os.getpid(), born=psutil.Process().create_time())


def _lives(owner: Owner) -> bool:
    """Whether a process is there; of another machine's it is not known, and taken for granted."""
    if owner["host"] != socket.gethostname():
        return True
    try:
        process = psutil.Process(owner["pid"])
        return process.create_time() == owner["born"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _encoded(parameter: Parameter, value: Any) -> Any:
    """A choice as text: Optuna keeps no lists."""
    return json.dumps(value) if isinstance(parameter, Choice) else value


def _decoded(parameter: Parameter, value: Any) -> Any:
    return json.loads(value) if isinstance(parameter, Choice) else value


def _suggested(trial: optuna.Trial, key: str, parameter: Parameter) -> Any:
    match parameter:
        case FloatRange():
            return trial.suggest_float(key, parameter.low, parameter.high, log=parameter.log, step=parameter.step)
        case IntRange():
            return trial.suggest_int(key, parameter.low, parameter.high, log=parameter.log, step=parameter.step)
        case Choice():
            chosen = trial.suggest_categorical(key, [_encoded(parameter, value) for value in parameter.values])
            return _decoded(parameter, chosen)


def _sampler(request: SweepRequest, *, seed: int) -> optuna.samplers.BaseSampler:
    if request.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def _pruner(request: SweepRequest, *, warmup: int, epochs: int) -> optuna.pruners.BasePruner:
    if request.pruner == "median":
        return optuna.pruners.MedianPruner(n_warmup_steps=warmup)
    if request.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=max(1, warmup), max_resource=epochs)
    return optuna.pruners.NopPruner()
