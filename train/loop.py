"""The training loop: epochs of steps over batches, with averaging, validation and early stopping.

It knows a recipe, something that batches come from and something that validates; no files, no data set. Each epoch
comes out as a row for the log, and whoever iterates decides what to keep.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from ..errors import TrainingError
from .data.batches import BatchSource, Order, balanced_batches, paired_batches, shuffled_batches
from .randomness import Purpose, derived_generator, derived_seed, seeded_global_rng
from .recipes.recipe import Remembers, Trained
from .runs.log import MetricRow
from .scoring import arithmetic, encode_all
from .settings import TrainSettings
from .state import Best, Schedule, StopReason, TrainingState, decay_at, schedule_for, update_average
from .tasks import LOSS, make_task, monitor_of
from .types import Batch
from .validation import Validate, ValidationResult

GRADIENT_NORM = "gradient_norm"


@dataclass(frozen=True)
class EpochResult:
    """A finished epoch: its row of the log, and whether it is the best so far."""

    metrics: MetricRow
    improved: bool


def stop_reason(state: TrainingState, *, settings: TrainSettings) -> StopReason | None:
    """Why training is over; None while it is not."""
    if state.epoch >= settings.epochs:
        return "epochs"
    if state.best is not None and state.epoch - state.best.epoch >= settings.patience:
        return "patience"
    return None


def train_epochs(
    recipe: Trained,
    *,
    state: TrainingState,
    samples: BatchSource,
    validate: Validate,
    settings: TrainSettings,
    on_batch: Callable[[int], None],
    balance: Int64[Tensor, " samples"] | None = None,
) -> Iterator[EpochResult]:
    """Train from `state` on until `stop_reason`, changing it in place; `on_batch` is told each batch's size.

    With a label of each sample to `balance`, an epoch draws the samples so that all labels are as frequent.

    All randomness of an epoch follows from the seed and the epoch's number, and torch's global generators are as
    before after each epoch.

    Raises:
        TrainingError: if a loss or gradient is not finite; the message names the epoch and the step.
    """
    schedule = schedule_for(settings, num_samples=len(samples))
    while stop_reason(state, settings=settings) is None:
        started, seed = time.monotonic(), derived_seed(settings.seed, Purpose.DROPOUT, epoch=state.epoch + 1)
        with seeded_global_rng(seed, device=samples.device):
            steps = _train_epoch(
                recipe,
                state=state,
                samples=samples,
                schedule=schedule,
                settings=settings,
                on_batch=on_batch,
                balance=balance,
            )
        means = means_of(steps, state=state)  # which waits for the device
        trained = time.monotonic() - started
        if isinstance(recipe, Remembers):
            _remember(recipe, state, samples=samples, settings=settings)
        yield epoch_done(
            state,
            means,
            validate(state.averaged),
            settings=settings,
            lr=schedule.at(state.step - 1),
            seconds=time.monotonic() - started,
            samples_per_second=len(samples) / trained,
        )


def _train_epoch(
    recipe: Trained,
    *,
    state: TrainingState,
    samples: BatchSource,
    schedule: Schedule,
    settings: TrainSettings,
    on_batch: Callable[[int], None],
    balance: Int64[Tensor, " samples"] | None,
) -> list[Mapping[str, Tensor]]:
    """One pass over the samples; the losses stay on the device, so that no step waits for them."""
    epoch = state.epoch + 1
    noise = derived_generator(settings.seed, Purpose.LOSS, epoch=epoch, device=samples.device)
    steps = []
    state.model.train()
    batches = order_of_epoch(len(samples), epoch=epoch, settings=settings, balance=balance)
    for chosen, batch in zip(batches, samples.batches(batches), strict=True):
        for group in state.optimizer.param_groups:
            group["lr"] = schedule.at(state.step)
        if settings.compile == "reduce-overhead":  # the last step's encodings may be overwritten
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        steps.append(_train_step(recipe, state, batch=batch, noise=noise, settings=settings))
        decay = decay_at(state.step, decay=settings.ema_decay)
        update_average(state.averaged, state.model, decay=decay)
        state.step += 1
        on_batch(len(chosen))
    return steps


def order_of_epoch(
    num_samples: int, *, epoch: int, settings: TrainSettings, balance: Int64[Tensor, " samples"] | None
) -> Order:
    """The batches of an epoch, which follow from the seed and its number."""
    generator = derived_generator(settings.seed, Purpose.ORDER, epoch=epoch, device=torch.device("cpu"))
    if balance is None:
        return shuffled_batches(num_samples, batch_size=settings.batch_size, generator=generator)
    batches = paired_batches if settings.sampling == "paired" else balanced_batches
    return batches(balance, batch_size=settings.batch_size, generator=generator)


def _remember(recipe: Remembers, state: TrainingState, *, samples: BatchSource, settings: TrainSettings) -> None:
    """Show the recipe all samples as both models encode them now: a checkpoint holds both."""
    for model in (state.model.eval(), state.averaged):
        encodings, targets = encode_all(
            recipe, model, samples, batch_size=settings.batch_size, precision=settings.precision
        )
        recipe.remember(model, encodings, targets)


def _train_step(
    recipe: Trained, state: TrainingState, *, batch: Batch, noise: torch.Generator, settings: TrainSettings
) -> Mapping[str, Tensor]:
    with arithmetic(noise.device, settings.precision):
        encodings = recipe.encode(state.model, batch.inputs(), noise)
    losses = recipe.loss(state.model, encodings, batch.targets)
    state.optimizer.zero_grad()
    state.scaler.scale(losses.total).backward()  # type: ignore[no-untyped-call]
    state.scaler.unscale_(state.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), settings.gradient_clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    terms = {"total": losses.total, **losses.terms}
    return {name: loss.detach() for name, loss in terms.items()} | {GRADIENT_NORM: norm}


def means_of(steps: Sequence[Mapping[str, Tensor]], *, state: TrainingState) -> dict[str, float]:
    """Mean of each loss over the steps of the epoch that `state` has just gone through.

    Raises:
        TrainingError: if one is not finite; the message names the epoch and the step.
    """
    epoch, first_step = state.epoch + 1, state.step - len(steps) + 1
    history = {name: torch.stack([step[name] for step in steps]).cpu().double() for name in steps[0]}
    norms = history[GRADIENT_NORM]
    if state.scaler.is_enabled() and norms.isfinite().any():
        # Steps whose gradients overflow are left out, and the scale is lowered until they do not.
        history[GRADIENT_NORM] = norms.where(norms.isfinite(), norms[norms.isfinite()].mean())
    for position in range(len(steps)):
        broken = [
            f"{name} is {values[position]}" for name, values in history.items() if not values[position].isfinite()
        ]
        if broken:
            raise TrainingError(
                f"Epoch {epoch}, step {first_step + position}: {', '.join(broken)}. Lower train.lr or "
                "train.gradient_clip; if it is the first step, look at the features."
            )
    return {name: float(values.mean()) for name, values in history.items()}


def epoch_done(
    state: TrainingState,
    means: Mapping[str, float],
    result: ValidationResult,
    *,
    settings: TrainSettings,
    lr: float,
    seconds: float,
    samples_per_second: float,
) -> EpochResult:
    """Count an epoch, and note it if it is the best so far.

    Raises:
        TrainingError: if the validation loss is not finite.
    """
    loss = result.figures[LOSS]
    if loss is None or not math.isfinite(loss):
        raise TrainingError(f"The validation loss is {loss} after epoch {state.epoch + 1}; lower train.lr.")
    state.epoch += 1
    row = _row(state, means=means, result=result, lr=lr)
    metrics = {**row, "seconds": seconds, "samples_per_second": samples_per_second}
    return EpochResult(metrics, improved=_note_best(state, metrics, settings=settings))


def _row(
    state: TrainingState, *, means: Mapping[str, float], result: ValidationResult, lr: float
) -> dict[str, float | int | None]:
    terms = {f"loss_{name}": value for name, value in means.items() if name not in ("total", GRADIENT_NORM)}
    return {
        "epoch": state.epoch,
        "step": state.step,
        "loss": means["total"],
        **terms,
        **result.figures,
        "lr": lr,
        GRADIENT_NORM: means[GRADIENT_NORM],
        **result.spread,
    }


def _note_best(state: TrainingState, metrics: MetricRow, *, settings: TrainSettings) -> bool:
    monitor = monitor_of(settings)
    value, higher = metrics[monitor], make_task(settings).monitors()[monitor] == "max"
    assert value is not None, f"{monitor} is undefined on these validation samples"
    better_than = state.best.value if state.best is not None else None
    improved = better_than is None or (value > better_than if higher else value < better_than)
    if improved:
        state.best = Best(epoch=state.epoch, value=value, metrics=metrics)
    return improved
