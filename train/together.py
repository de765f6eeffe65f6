"""Several trainings as one, where they differ only in numbers: each becomes the run that it would become alone.

Which recipes can be trained so, `Stackable` says, and which of several settings go together, `groups`.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ..configs.device import resolve_device
from ..errors import TrainingError
from ..settings import Settings
from .data.resident import FeaturePool
from .display import ShowTraining
from .loop import EpochResult
from .pipeline import Prepared, keeping, measure, prepare
from .recipes.recipe import Stackable, make_recipe
from .runs.checkpoint import deciding_settings
from .runs.checkpointer import resume
from .runs.start import held_run
from .stacked import Member, StackedTraining, StackingError
from .state import new_state

_OF_EACH = frozenset(
    {"lr", "betas", "weight_decay", "warmup_epochs", "warmup_lr", "min_lr", "gradient_clip", "ema_decay"}
    | {"epochs", "patience", "seed"}
)
"""What of the section `train` trainings may differ in that go together."""


@dataclass(frozen=True)
class Together:
    """One of the trainings: its settings, the name of its run, and what it is shown with."""

    settings: Settings
    run_name: str
    show: ShowTraining


def groups(settings: Sequence[Settings]) -> list[list[int]]:
    """The places of those that can be trained together; whoever can with nobody is alone."""
    found: dict[str, list[int]] = {}
    for place, each in enumerate(settings):
        found.setdefault(_shape(each) or f"alone {place}", []).append(place)
    return list(found.values())


def _shape(settings: Settings) -> str | None:
    """What trainings that go together have in common; None of one that goes with nobody."""
    recipe, train = make_recipe(settings.recipe), settings.train
    if not isinstance(recipe, Stackable) or recipe.varied is None:
        return None
    if train.precision != "float32" or train.compile != "off":
        return None
    told = deciding_settings(settings)
    told["train"] = {name: value for name, value in told["train"].items() if name not in _OF_EACH}
    for key in recipe.varied:
        *sections, name = key.split(".")
        section = told["recipe"]
        for inner in sections:
            section = section[inner]
        section[name] = section[name] > 0  # what is off is not computed, and draws nothing
    return json.dumps(told, sort_keys=True)


def train_together(trainings: Sequence[Together], *, command: str, pool: FeaturePool | None) -> list[Exception | None]:
    """Train several settings of one group on the same features; of each the error that ended it, None where none did.

    What a display raises at the end of an epoch ends its own training alone, which is left unfinished. Unfinished runs
    of the same names and settings are gone on with.

    Raises:
        StackingError: if the modules cannot be trained as one; nothing is left of new runs then.
        KeyboardInterrupt: on Ctrl-C; the same trainings go on from their last checkpoints.
        WeldcacheError: whatever `prepare` raises.
    """
    ready = [
        prepare(each.settings, run_name=each.run_name, overwrite=False, command=command, pool=pool)
        for each in trainings
    ]
    recipe = ready[0].recipe
    outcomes: list[Exception | None] = [None] * len(ready)
    assert isinstance(recipe, Stackable)
    with ExitStack() as everything:
        opened = [_Opened(one, each.show, everything) for one, each in zip(ready, trainings, strict=True)]
        training = StackedTraining(recipe, [each.member for each in opened], ready[0].samples, balance=ready[0].balance)
        try:
            for done in training.epochs():
                outcomes[done.place] = error = opened[done.place].take(done.epoch)
                if error is not None:
                    training.drop(done.place)
                elif not training.goes_on(done.place):
                    opened[done.place].finish()
        except StackingError as error:
            for each in opened:
                each.fail(error)
            raise
    return outcomes


class _Opened:
    """A training whose run is held, and what keeps its epochs."""

    def __init__(self, ready: Prepared, show: ShowTraining, everything: ExitStack) -> None:
        settings = ready.settings
        assert isinstance(ready.recipe, Stackable)
        measure(ready.recipe, ready.model, ready.samples, store=ready.store)
        device = resolve_device(settings.train.device, setting="train.device")
        state = new_state(ready.model.to(device), settings=settings.train)
        self._contexts = everything.enter_context(ExitStack())
        self._run = self._contexts.enter_context(held_run(ready.start, settings=settings, manifest=ready.manifest))
        resume(state, run=self._run)
        self._kept = self._contexts.enter_context(keeping(self._run, state, ready, show=show))
        self.member = Member(settings.train, state, ready.validator)

    def take(self, epoch: EpochResult | TrainingError) -> Exception | None:
        """Keep an epoch; what ends the training, if it does."""
        if isinstance(epoch, TrainingError):
            return self.fail(epoch)
        try:
            self._kept.epoch_done(epoch)
        except Exception as error:
            return self.fail(error)
        return None

    def finish(self) -> None:
        self._contexts.close()

    def fail(self, error: Exception) -> Exception:
        """Let go of the run as it is, or remove it where nothing of it could be gone on with."""
        self._contexts.__exit__(type(error), error, error.__traceback__)
        if self._run.exists and not self._run.last_path.exists():
            self._run.remove()
        return error
