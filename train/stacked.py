"""The loop for several trainings at once, which differ only in numbers: each step is one pass through all models.

Each keeps its own weights, moments of AdamW, learning rate, clipping, moving average, draws and early stopping, and
gives what it would give alone, but for rounding: sums of a stacked pass run in another order. Whoever stops leaves the
stack, and the others go on.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import TrainingError
from .data.batches import BatchSource, Order
from .loop import GRADIENT_NORM, EpochResult, epoch_done, means_of, order_of_epoch, stop_reason
from .nn.stack import AxisOrders, Chance, Stack, flattened
from .randomness import Purpose, derived_generator
from .recipes.recipe import Stackable
from .settings import TrainSettings
from .state import Schedule, TrainingState, decay_at, schedule_for
from .types import Batch, mapped
from .validation import Validator

_EPSILON = 1e-8  # of AdamW, torch's own
_CLIPPING_EPSILON = 1e-6  # of clip_grad_norm_


class StackingError(Exception):
    """These modules cannot be trained as one; nothing was changed."""


@dataclass(frozen=True, eq=False)
class Member:
    """One of the trainings, as far as it is its own."""

    settings: TrainSettings
    state: TrainingState
    validate: Validator


@dataclass(frozen=True)
class EpochOfOne:
    """What an epoch gave a member, by its place; or why its training broke."""

    place: int
    epoch: EpochResult | TrainingError


class StackedTraining:
    """Trainings on the same samples; `drop` ends one that is not worth going on with."""

    def __init__(
        self,
        recipe: Stackable,
        members: Sequence[Member],
        samples: BatchSource,
        *,
        balance: Int64[Tensor, " samples"] | None,
    ) -> None:
        """`recipe` is that of the first member: the others' differ from it in `varied` numbers alone."""
        self._recipe = recipe
        self._members = members
        self._samples = samples
        self._balance = balance
        self._left = {place for place in range(len(members)) if _goes_on(members[place])}

    def goes_on(self, place: int) -> bool:
        """Whether there are epochs to come for the member."""
        return place in self._left

    def drop(self, place: int) -> None:
        self._left.discard(place)

    def epochs(self) -> Iterator[EpochOfOne]:
        """Train until every member has stopped, broken or was dropped; states are changed in place.

        Raises:
            StackingError: if the modules cannot be stacked, before anything is changed.
        """
        while self._left:
            places = sorted(self._left)
            stepper = _Stepper(self._recipe, [self._members[place] for place in places])
            while sorted(self._left) == places:  # else those who are left are stacked anew
                yield from self._epoch(stepper, places)

    def _epoch(self, stepper: "_Stepper", places: Sequence[int]) -> Iterator[EpochOfOne]:
        started = time.monotonic()
        steps = stepper.train_epoch(self._samples, balance=self._balance)
        trained = time.monotonic() - started
        stepper.sync()
        encodings, targets = stepper.encode_validation()
        share = (time.monotonic() - started) / len(places)
        for row, place in enumerate(places):
            began, member = time.monotonic(), self._members[place]
            state, settings = member.state, member.settings
            try:
                done = epoch_done(
                    state,
                    means_of([{name: value[row] for name, value in step.items()} for step in steps], state=state),
                    member.validate.judge(
                        state.averaged, {name: each[row] for name, each in encodings.items()}, targets
                    ),
                    settings=settings,
                    lr=schedule_for(settings, num_samples=len(self._samples)).at(state.step - 1),
                    seconds=share + time.monotonic() - began,
                    samples_per_second=len(places) * len(self._samples) / trained,
                )
            except TrainingError as error:
                self.drop(place)
                yield EpochOfOne(place, error)
            else:
                if not _goes_on(member):
                    self.drop(place)
                yield EpochOfOne(place, done)


def _goes_on(member: Member) -> bool:
    return stop_reason(member.state, settings=member.settings) is None


class _Stepper:
    """Members' models in a stack, with AdamW and the moving average of each."""

    def __init__(self, recipe: Stackable, members: Sequence[Member]) -> None:
        self._recipe = recipe
        self._members = members
        states = [member.state for member in members]
        self._stack = Stack([state.model for state in states])
        self._averaged = torch.stack([flattened(state.averaged.parameters()) for state in states])
        self._moments = {name: torch.stack([_moment(state, name) for state in states]) for name in _MOMENTS}
        # 1 for what has had a gradient: AdamW leaves alone, undecayed, what never had one.
        self._learns = torch.stack([_moment(state, "step") for state in states]).sign()
        self._orders: dict[int, AxisOrders] = {}  # by size of the batch

    def train_epoch(
        self, samples: BatchSource, *, balance: Int64[Tensor, " samples"] | None
    ) -> list[Mapping[str, Tensor]]:
        """One pass over the samples: of each step the losses of all members."""
        members, device = self._members, samples.device
        chances = [
            Chance(
                derived_generator(member.settings.seed, Purpose.LOSS, epoch=member.state.epoch + 1, device=device),
                derived_generator(member.settings.seed, Purpose.DROPOUT, epoch=member.state.epoch + 1, device=device),
            )
            for member in members
        ]
        schedules = [schedule_for(member.settings, num_samples=len(samples)) for member in members]
        orders = [
            order_of_epoch(len(samples), epoch=each.state.epoch + 1, settings=each.settings, balance=balance)
            for each in members
        ]
        shared = all(_same(orders[0], order) for order in orders[1:])
        steps = []
        for batch in _batches(samples, orders[:1] if shared else orders):
            steps.append(self._step(batch, chances, schedules, shared=shared))
        return steps

    def _step(
        self, batch: Batch, chances: Sequence[Chance], schedules: Sequence[Schedule], *, shared: bool
    ) -> Mapping[str, Tensor]:
        inputs = (dict(batch.features), dict(batch.present), dict(batch.targets))
        leaves = self._stack.leaves(self._stack.flat)
        try:
            with self._stack.drawing(chances, self._orders_of(inputs, shared=shared)) as stand_in:
                losses = self._stack(partial(self._losses, stand_in), leaves, *inputs, shared=shared, training=True)
        except (RuntimeError, NotImplementedError, TypeError) as error:
            if any(member.state.step for member in self._members):
                raise
            raise StackingError(str(error)) from error
        trained = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
        found = torch.autograd.grad(losses["total"].sum(), list(trained.values()), allow_unused=True)
        norm = self._update(dict(zip(trained, found, strict=True)), schedules)
        return {name: value.detach() for name, value in losses.items()} | {GRADIENT_NORM: norm}

    def _orders_of(self, inputs: Sequence[Mapping[str, Tensor]], *, shared: bool) -> AxisOrders:
        """What one member alone shows of a batch of this size."""
        one = [each if shared else {name: tensor[0] for name, tensor in each.items()} for each in inputs]
        size = len(next(iter(one[0].values())))
        if size not in self._orders:
            alone = partial(self._losses, torch.Generator(self._stack.flat.device))
            self._orders[size] = self._stack.watch(alone, *one)
        return self._orders[size]

    def _losses(
        self,
        generator: torch.Generator,
        model: torch.nn.Module,
        features: Mapping[str, Tensor],
        present: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        encodings = self._recipe.encode(model, Batch(features, present), generator)
        losses = self._recipe.loss(model, encodings, targets)
        return {"total": losses.total, **losses.terms}

    @torch.no_grad()
    def _update(self, found: Mapping[str, Tensor | None], schedules: Sequence[Schedule]) -> Float[Tensor, " stacked"]:
        """A step of AdamW, of the moving average and of the counts, each member by its own settings; norms before
        clipping."""
        flat, (first, second) = self._stack.flat, self._moments.values()
        gradients = self._stack.flattened(found)
        self._learns = torch.maximum(self._learns, self._stack.spread_out(found))
        states, settings = [each.state for each in self._members], [each.settings for each in self._members]

        def each(values: Sequence[float]) -> Float[Tensor, "stacked 1"]:
            return torch.tensor(values, dtype=torch.float64).to(flat).unsqueeze(1)

        norm: Tensor = torch.linalg.vector_norm(gradients, dim=1)
        clipping = (each([one.gradient_clip for one in settings]) / (norm.unsqueeze(1) + _CLIPPING_EPSILON)).clamp(
            max=1
        )
        gradients *= clipping
        rates = [schedule.at(state.step) for schedule, state in zip(schedules, states, strict=True)]
        decays = each([rate * one.weight_decay for rate, one in zip(rates, settings, strict=True)])
        flat.mul_(1 - decays * self._learns)
        first.lerp_(gradients, each([1 - one.betas[0] for one in settings]))
        second.mul_(each([one.betas[1] for one in settings]))
        second.addcmul_(gradients, gradients * each([1 - one.betas[1] for one in settings]))
        left = [
            [1 - beta ** (state.step + 1) for beta in one.betas] for one, state in zip(settings, states, strict=True)
        ]
        spread = second.sqrt().div_(each([bias**0.5 for _, bias in left])).add_(_EPSILON)
        flat.sub_(first / spread * each([rate / bias for rate, (bias, _) in zip(rates, left, strict=True)]))
        kept = [decay_at(state.step, decay=one.ema_decay) for one, state in zip(settings, states, strict=True)]
        self._averaged.lerp_(flat, each([1 - decay for decay in kept]))
        for state in states:
            state.step += 1
        return norm

    @torch.no_grad()
    def sync(self) -> None:
        """Bring the members' own models and optimisers to where the stack is."""
        for row, member in enumerate(self._members):
            state = member.state
            for flat, model in ((self._stack.flat, state.model), (self._averaged, state.averaged)):
                for part, parameter in zip(torch.split(flat[row], self._stack.sizes), model.parameters(), strict=True):
                    parameter.copy_(part.view_as(parameter))
            parts = [self._learns[row], *(self._moments[name][row] for name in _MOMENTS)]
            split = zip(
                *(torch.split(part, self._stack.sizes) for part in parts), state.model.parameters(), strict=True
            )
            for learns, first, second, parameter in split:
                if parameter.requires_grad and learns[0] > 0:
                    values = (
                        torch.tensor(float(state.step)),
                        first.view_as(parameter).clone(),
                        second.view_as(parameter).clone(),
                    )
                    state.optimizer.state[parameter] = dict(zip(("step", *_MOMENTS), values, strict=True))

    @torch.no_grad()
    def encode_validation(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What the averaged models make of all validation samples, (stacked, samples, ...), and their targets."""
        leaves = self._stack.leaves(self._averaged)
        encodings, targets = [], []

        def encode(
            model: torch.nn.Module, features: Mapping[str, Tensor], present: Mapping[str, Tensor]
        ) -> Mapping[str, Tensor]:
            return dict(self._recipe.encode(model, Batch(features, present), None))

        for batch in self._members[0].validate.passes():
            found = self._stack(encode, leaves, dict(batch.features), dict(batch.present), shared=True, training=False)
            encodings.append({name: each.detach() for name, each in found.items()})
            targets.append({name: each.clone() for name, each in batch.targets.items()})
        return (
            {name: torch.cat([part[name] for part in encodings], dim=1) for name in encodings[0]},
            {name: torch.cat([part[name] for part in targets]) for name in targets[0]},
        )


_MOMENTS = ("exp_avg", "exp_avg_sq")


def _moment(state: TrainingState, name: str) -> Float[Tensor, " parameters"]:
    """What AdamW keeps of each number of the parameters; zeros where it keeps nothing yet."""
    return flattened(
        torch.zeros_like(parameter) + state.optimizer.state.get(parameter, {}).get(name, 0.0)
        for parameter in state.model.parameters()
    )


def _same(one: Order, other: Order) -> bool:
    return all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def _batches(samples: BatchSource, orders: Sequence[Order]) -> Iterator[Batch]:
    """The batches of an order; of several, those of all of them stacked."""
    if len(orders) == 1:
        yield from samples.batches(orders[0])
        return
    # One after another: a batch's memory may be that of the next of the same source.
    for chosen in zip(*orders, strict=True):
        parts = [mapped(torch.clone, next(iter(samples.batches([each])))) for each in chosen]
        yield mapped(lambda *tensors: torch.stack(tensors), *parts)
