"""The trials of a sweep: which were tried, who tries which, what is next.

Optuna is known here and in `storage.py` alone. Several processes share the trials, on one machine or many. Each carries
its owner, and one whose owner has died is put back, to be tried by whoever comes next, in the same run and from its
last checkpoint. A trial counts once, however often it was put back: an owner that was taken for dead and comes back
finds that its trial is another's.
"""

import json
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState

from ...cache.provenance import differences, differences_told
from ...documents import Json
from ...errors import OutputExistsError
from ...owners import Owner, this_process
from ...train.tasks import Direction
from ...wording import lined_up
from .request import SweepRequest
from .signs_of_life import Heart, Onlooker
from .space import Choice, FloatRange, IntRange, Parameter, drawn, grid
from .storage import TrialStorage

_MOST_ATTEMPTS = 5  # owners that may die of a trial before it is what they die of
_ASKS = "asks_for"
_FOLDER = "folder"  # of the runs: what a file in it says, too

State = Literal["complete", "pruned", "failed", "running", "waiting"]
_STATES: Mapping[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True)
class Tried:
    """A trial as it is kept.

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


class SweepStudy:
    """The trials of one sweep, shared with other processes."""

    def __init__(
        self, folder: Path, request: SweepRequest, *, direction: Direction, warmup: int, epochs: int, seed: int
    ) -> None:
        """Open the trials of the sweep whose runs are in `folder`, or begin them.

        Args:
            folder: of the sweep, which has to be there.
            request: what is tried, and where that is kept.
            direction: which values are better.
            warmup: epochs before which no trial is ended.
            epochs: that a trial has at most.
            seed: of what is drawn.

        Raises:
            SettingsError, StoreError, StudyUnreachableError: as `TrialStorage`.
            OutputExistsError: if the database knows a sweep of that name whose runs are in another folder.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._request = request
        self._sign = 1 if direction == "max" else -1
        self._seed = seed
        self._folder = folder
        self._claims: dict[int, Claim] = {}  # of this process, by number
        self._lost: set[int] = set()  # of these, that others have taken over
        self._heart, self._onlooker = Heart(self._beat), Onlooker()
        self._storage = TrialStorage(folder, request.storage, name=request.name)
        with self._alone():
            self._study = optuna.create_study(
                storage=self._storage.kept,
                study_name=self._storage.study,
                direction="maximize" if direction == "max" else "minimize",
                pruner=_pruner(request, warmup=warmup, epochs=epochs),
                load_if_exists=True,
            )
            if request.storage is not None:
                self._require_folder()

    def _require_folder(self) -> None:
        """Runs are looked for in one folder, whoever trains them: every machine has to see the same."""
        path, known = self._folder / ".study", self._study.user_attrs.get(_FOLDER)
        if known is None:
            known = uuid.uuid4().hex
            path.write_text(known)
            self._study.set_user_attr(_FOLDER, known)
        elif not path.is_file() or path.read_text() != known:
            raise OutputExistsError(
                f"{self._storage.place} keeps a sweep {self._request.name} whose runs are in another folder than "
                f"{self._folder}. All machines of a sweep share the folder of runs (runs.folder); if this is another "
                "sweep, give it another --name."
            )

    def require_same(self, asks_for: Mapping[str, Json]) -> None:
        """Note what all trials ask for beside what is drawn; those that are there have to ask for the same.

        Raises:
            OutputExistsError: if they do not; the message names the differences.
        """
        with self._alone():
            before = self._study.user_attrs.get(_ASKS)
            if before is None:
                self._study.set_user_attr(_ASKS, json.loads(json.dumps(asks_for)))
                return
        if found := differences(before, json.loads(json.dumps(asks_for))):
            told = lined_up(differences_told(found, mine="there", theirs="now"))
            raise OutputExistsError(
                f"{self._folder} holds trials of another sweep:\n{told}\nGive this one another name with "
                "--name, or move that folder away."
            )

    def claim(self) -> Claim | None:
        """Take on what waits, or draw anew while there are fewer trials than asked for; None where nothing is left."""
        with self._alone():
            self._put_back_abandoned()
            if self._request.sampler == "grid":
                self._enqueue_grid()
            trials = self._frozen()
            counted = _counted(trials)
            waiting = next((trial for trial in trials if trial.state == TrialState.WAITING), None)
            if waiting is None and (len(counted) >= self._request.trials or self._request.sampler == "grid"):
                return None
            # What is drawn follows from the seed and from which trial it is, and not from who draws, or how often: one
            # that was put back before all was drawn gets what it would have had.
            place = len(counted) if waiting is None else _place(trials, waiting)
            state = np.random.SeedSequence([self._seed, place]).generate_state(1)
            self._study.sampler = _sampler(self._request, seed=int(state[0]))
            trial = self._study.ask()
            trial.set_user_attr("owner", dict(this_process()))
            run = trial.user_attrs.get("run") or _new_name(counted)
            trial.set_user_attr("run", run)
            values = drawn(self._request.space, partial(_suggested, trial))
            claim = self._claims[trial.number] = Claim(run, values, trial)
            self._heart.start(trial.number)
            return claim

    def report(self, claim: Claim, *, epoch: int, value: float) -> bool:
        """Note a figure after an epoch; true if the trial is not worth going on with."""
        if self._request.pruner == "none":
            return False
        with self._storage.reached():
            try:
                claim.trial.report(value, epoch)
            except UpdateFinishedTrialError:
                self._lost.add(claim.trial.number)
                return False
            return claim.trial.should_prune()

    def is_lost(self, claim: Claim) -> bool:
        """Whether this process was taken for dead, as far as it knows, and another one has the trial by now."""
        return claim.trial.number in self._lost

    def complete(self, claim: Claim, *, value: float, seconds: float, epochs: int) -> bool:
        """End a trial with its value; false, as of the others, if it is another's by now, and nothing counts."""
        return self._end(claim, TrialState.COMPLETE, value=value, seconds=seconds, epochs=epochs)

    def prune(self, claim: Claim) -> bool:
        return self._end(claim, TrialState.PRUNED)

    def fail(self, claim: Claim, *, reason: str) -> bool:
        return self._end(claim, TrialState.FAIL, reason=reason)

    def _end(self, claim: Claim, state: TrialState, *, value: float | None = None, **told: Json) -> bool:
        with self._alone():
            is_ours = self._now(claim).state == TrialState.RUNNING
            if is_ours:
                for name, each in told.items():
                    claim.trial.set_user_attr(name, each)
                self._study.tell(claim.trial, values=value, state=state)
        self._let_go(claim)
        return is_ours

    def give_back(self, claim: Claim) -> None:
        """Leave a trial, unless it has ended, to whoever comes next, as an interruption does."""
        self._let_go(claim)
        with self._alone():
            if (frozen := self._now(claim)).state == TrialState.RUNNING:
                self._put_back(frozen, attempts=frozen.user_attrs.get("attempts", 1))

    def give_back_of(self, owners: Collection[Owner]) -> None:
        """The same of all trials of processes that were ended on purpose."""
        with self._alone():
            for frozen in self._frozen():
                if frozen.state == TrialState.RUNNING and frozen.user_attrs.get("owner") in owners:
                    self._put_back(frozen, attempts=frozen.user_attrs.get("attempts", 1))

    def _let_go(self, claim: Claim) -> None:
        self._heart.stop(claim.trial.number)
        self._claims.pop(claim.trial.number, None)
        self._lost.discard(claim.trial.number)

    def _now(self, claim: Claim) -> FrozenTrial:
        return next(trial for trial in self._frozen() if trial.number == claim.trial.number)

    def _beat(self, number: int, count: int) -> None:
        """Note a sign of life of a trial; runs in a thread of its own."""
        if (claim := self._claims.get(number)) is not None:
            try:
                claim.trial.set_user_attr("beats", count)
            except UpdateFinishedTrialError:
                self._lost.add(number)

    def tried(self) -> list[Tried]:
        """Every trial that counts, in order."""
        return [_told(trial, self._request) for trial in _counted(self._frozen())]

    def others(self) -> list[Owner]:
        """Who else has taken on trials that have not ended, dead or alive."""
        owners = [trial.user_attrs.get("owner") for trial in self._frozen() if trial.state == TrialState.RUNNING]
        return [owner for owner in owners if owner is not None and owner != this_process()]

    def best(self) -> Tried | None:
        """The best of the complete trials, the first of equals."""
        return self.best_of(self.tried())

    def best_of(self, tried: Sequence[Tried]) -> Tried | None:
        """As `best`, of trials that were read before: another reading may know of better ones."""
        complete = [trial for trial in tried if trial.value is not None]
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

    @contextmanager
    def judging_alone(self) -> Iterator[None]:
        """Of several commands that have seen the last trial end, one judges the best, and the others find it judged."""
        with self._storage.alone("judging"):
            yield

    def _frozen(self) -> Sequence[FrozenTrial]:
        with self._storage.reached():
            return self._study.get_trials(deepcopy=False)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._storage.alone("claims"), self._storage.reached():
            yield

    def _enqueue_grid(self) -> None:
        """As many points of the grid as trials are asked for, each once."""
        points = grid(self._request.space, origin=self._request.origin)[: self._request.trials]
        for values in points[len(_counted(self._frozen())) :]:
            self._study.enqueue_trial({key: _encoded(self._request.space[key], each) for key, each in values.items()})

    def _put_back_abandoned(self) -> None:
        """Trials whose owner has died; those of this process that it knows nothing of are of a former interruption."""
        trials = self._frozen()
        followed = {trial.user_attrs.get("instead_of") for trial in trials}
        for trial in trials:
            if trial.state != TrialState.RUNNING or trial.number in self._claims:
                continue
            owner, beats = trial.user_attrs.get("owner"), trial.user_attrs.get("beats", 0)
            if owner not in (None, this_process()) and self._onlooker.lives(owner, trial=trial.number, beats=beats):
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
        for name, value in told.items():
            self._storage.kept.set_trial_user_attr(trial._trial_id, name, value)


def _counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that no other one was put in place of."""
    followed = {trial.user_attrs.get("instead_of") for trial in trials}
    return [trial for trial in trials if trial.number not in followed]


def _place(trials: Sequence[FrozenTrial], trial: FrozenTrial) -> int:
    """Of how many trials one was begun before, those that were put in place of others left out."""
    by_number = {each.number: each for each in trials}
    while (before := trial.user_attrs.get("instead_of")) is not None:
        trial = by_number[before]
    return sum("instead_of" not in each.user_attrs and each.number < trial.number for each in trials)


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
