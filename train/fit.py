"""Fitting: a recipe goes through the training rows once or a few times and is done, so its run appears finished or not
at all.

There is no optimiser, no average of weights and no epoch to interrupt: who interrupts it leaves nothing behind, and the
same command begins anew. What was fitted stands where other runs keep their averaged weights, and there are no others.
"""

import math
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Self

import torch
from torch import Tensor, nn

from ..errors import SettingsError
from ..progress import Progress
from ..settings import Settings
from ..wording import listed
from .data.batches import BatchSource, parts_in_order
from .data.kept import kept_where_it_fits
from .loggers.logger import LoggedRun, open_loggers
from .randomness import Purpose, derived_generator
from .recipes.recipe import Fitted, figures_of
from .runs.checkpoint import module_tensors
from .runs.checkpointer import best_checkpoint, write_finished
from .runs.folder import RunFolder
from .runs.start import RunStart
from .runs.trained_run import Weights
from .settings import RECIPES
from .state import OF_GRADIENT, Best, StopReason
from .tasks import monitor_of
from .types import Batch
from .validation import Validate

FITTED: Final = "fitted"  # why a training is over that has no epochs
OF_FITTING = f"{FITTED}/"  # begins the names of figures that a fitted recipe tells of itself

_OF_GRADIENT = {f"train.{name}" for name in OF_GRADIENT | {"checkpoint_seconds"}}


def unread(settings: Settings, asked: Collection[str]) -> list[str]:
    """Which of these settings, given by their dotted names, are for learning by gradient, and the recipe is fitted.

    Raises:
        SettingsError: if the recipe cannot be imported.
    """
    found = [key for key in dict.fromkeys(asked) if key in _OF_GRADIENT]
    if not found:
        return []
    code = RECIPES.code(settings.recipe.name)
    return found if isinstance(code, type) and issubclass(code, Fitted) else []


def require_read(settings: Settings, asked: Collection[str]) -> None:
    """Refuse what was asked for, by dotted names, and is read nowhere.

    What a preset or a file says is not asked for: it is written for whatever recipe is chosen, and `weldcache config
    show` writes all there is.

    Raises:
        SettingsError: the message names all of it.
    """
    if found := unread(settings, asked):
        raise SettingsError(
            f"The recipe {settings.recipe.name} does not read {listed(found, last='or')}: it is fitted, without a "
            "gradient, epochs or checkpoints. Leave that out, or choose a recipe that learns by gradient "
            "with --set recipe.name=..."
        )


def fit(recipe: Fitted, model: nn.Module, samples: BatchSource, *, seed: int, title: str, noun: str) -> None:
    """Show the recipe all samples, part by part; progress under `title` goes to stderr, in samples, called `noun`, that
    are read: as often as the recipe goes through them."""
    cpu = torch.device("cpu")  # where a seed draws the same whatever the features' device
    generator = derived_generator(seed, Purpose.WEIGHTS, epoch=0, device=cpu)
    with Progress(title, total=0, unit=f"{noun}s read") as progress:
        recipe.fit(model, _Counted(samples, progress), generator)


@dataclass(frozen=True)
class _Counted:
    """All samples in parts, in the same order whenever they are gone through, and every time on the bar."""

    samples: BatchSource
    progress: Progress
    arrays: Collection[str] | None = None

    def __iter__(self) -> Iterator[Batch]:
        self.progress.extend(len(self.samples))
        for batch in self.samples.batches(parts_in_order(len(self.samples)), arrays=self.arrays):
            yield batch
            self.progress.advance(len(batch))

    def only(self, arrays: Collection[str]) -> Self:
        return replace(self, arrays=arrays)

    def kept(self) -> Self:
        return replace(self, samples=kept_where_it_fits(self.samples))


def fit_run(
    recipe: Fitted,
    model: nn.Module,
    samples: BatchSource,
    validate: Validate,
    *,
    start: RunStart,
    settings: Settings,
    manifest: dict[str, object],
    noun: str,
) -> tuple[RunFolder, Best]:
    """Fit `model`, which is on its device, and write the run that was decided on, with validation's figures.

    Raises:
        OutputExistsError: if another process has taken the run's name meanwhile.
        TrainingError, SettingsError: as the recipe's `fit`; nothing is written then.
    """
    began = time.monotonic()
    fit(recipe, model, samples, seed=settings.train.seed, title=f"fit {start.run.name}", noun=noun)
    speed = len(samples) / (time.monotonic() - began)
    told = {f"{OF_FITTING}{name}": figure for name, figure in figures_of(recipe, model).items()}
    return finish_run(
        {"averaged": model.eval()},
        validate,
        start=start,
        settings=settings,
        manifest=manifest,
        stopped=FITTED,
        began=began,
        told={**told, "samples_per_second": speed},
    )


def finish_run(
    models: Mapping[Weights, nn.Module],
    validate: Validate,
    *,
    start: RunStart,
    settings: Settings,
    manifest: Mapping[str, object],
    stopped: StopReason,
    began: float,
    told: Mapping[str, float] = MappingProxyType({}),
) -> tuple[RunFolder, Best]:
    """Write the run that was decided on, of models by weights that have no epochs, with validation's figures.

    `began` is when the work on them did, by `time.monotonic`; `told` is of the work, for the row of the log.

    Raises:
        OutputExistsError: if another process has taken the run's name meanwhile.
    """
    result = validate(models["averaged"])
    # A fusion, one of whose members has no loss, has one that is not a number.
    figures = {name: None if value is None or math.isnan(value) else value for name, value in result.figures.items()}
    seconds = time.monotonic() - began
    metrics = {"epoch": 1, "step": 0, **figures, **result.spread, "seconds": seconds, **told}
    best = Best(epoch=1, value=figures.get(monitor_of(settings.train)), metrics=metrics)
    tensors: dict[str, Tensor] = {}
    for weights, model in models.items():
        tensors |= module_tensors(model, prefix=weights)
    run = write_finished(
        start.run,
        numbered=start.numbered,
        settings=settings,
        manifest=manifest,
        best=best_checkpoint(best, tensors),
        stopped=stopped,
    )
    logged = LoggedRun(folder=run, settings=settings, manifest=run.manifest(), history=[], best=None)
    with open_loggers(settings.train.loggers, logged) as loggers:
        loggers.epoch_done(metrics, improved=best.value is not None)
    return run, best
