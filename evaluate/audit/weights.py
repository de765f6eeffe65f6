"""Whether a training by gradient reached all that it was to train, and its average let go of where it began.

The start is built again from the run's seed, and the first steps are looked at: losses and gradients alone, nothing is
changed.
"""

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from ...cache.store import FeatureStore
from ...train.data.batches import shuffled_batches
from ...train.data.features import FeatureReader
from ...train.data.streamed import StreamedFeatures
from ...train.pipeline import measure
from ...train.randomness import Purpose, derived_generator, derived_seed, seeded_global_rng
from ...train.recipes.recipe import Trained
from ...train.runs.trained_run import TrainedRun
from ...train.state import decay_at
from ...train.types import Batch
from ...wording import count_of
from .check import AuditCheck, Tell, few

_STEPS = 4  # that are looked at; an augmentation may leave something out of one
_MOST_OF_THE_START = 0.05  # that an average may hold
_MANY = 0.05  # of all values that are to be trained
_MOVED = 0.05  # standard deviation by which values are moved, to see what the loss hangs on
_HANGS = 1e-4  # of the loss; rounding is a hundred times less

_REACH_THEM = (
    "See that they are used between input and loss, and do not begin where their gradient is zero; or do not count "
    "them as trained."
)
_BEGIN_ELSEWHERE = (
    "Begin elsewhere than where the gradient is 0, as at the angle of a vector without length or behind a factor of 0, "
    "and see that nothing cuts the gradient (detach, no_grad)."
)
_FREE_THE_LOSS = "See that the loss takes the targets that it is given."
_LET_GO = "Train longer, or warm the decay of the average up; and judge the raw weights beside the averaged ones."
_CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Training:
    """A run that was trained by gradient, and the store that it was trained on."""

    run: TrainedRun
    recipe: Trained
    store: FeatureStore

    @cached_property
    def _samples(self) -> StreamedFeatures:
        needs = self.recipe.needs()
        reader = FeatureReader(self.store, needs.features, needs.targets)
        return StreamedFeatures(reader, self.run.training_rows(self.store), _CPU)

    @cached_property
    def start(self) -> nn.Module:
        """The module as it was before the first step."""
        with seeded_global_rng(derived_seed(self.run.settings.train.seed, Purpose.WEIGHTS), device=_CPU):
            model = self.recipe.build(self.run.shapes(self.store))
        measure(self.recipe, model, self._samples, store=self.store)
        return model

    def batches(self) -> Iterator[Batch]:
        """Those of the first steps, as training had them; of an epoch with fewer, the same again."""
        settings, samples = self.run.settings.train, self._samples
        order = derived_generator(settings.seed, Purpose.ORDER, epoch=1, device=_CPU)
        chosen = list(shuffled_batches(len(samples), batch_size=settings.batch_size, generator=order))
        yield from samples.batches((chosen * _STEPS)[:_STEPS])

    @cached_property
    def unreached(self) -> Sequence[str]:
        """Names of the parameters that are to be trained and have no gradient in any of a few steps."""
        model, settings = copy.deepcopy(self.start), self.run.settings.train
        trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        without = set(trained)
        # Steps are taken: what lies behind a layer that begins at zero has a gradient from the second on.
        optimizer = torch.optim.AdamW(trained.values(), lr=settings.lr, betas=settings.betas, weight_decay=0.0)
        with seeded_global_rng(derived_seed(settings.seed, Purpose.DROPOUT, epoch=1), device=_CPU):
            for batch in self.batches():
                (loss,) = self.losses(model, batch, batch.targets)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                without -= {name for name in without if (grad := trained[name].grad) is not None and grad.any()}
        return sorted(without)

    def losses(self, model: nn.Module, batch: Batch, *targets: Mapping[str, Tensor]) -> list[Tensor]:
        """The loss of a batch with each of several targets, nothing else being different."""
        noise = derived_generator(self.run.settings.train.seed, Purpose.LOSS, epoch=1, device=_CPU)
        encodings = self.recipe.encode(model.train(), batch.inputs(), noise)
        return [self.recipe.loss(model, encodings, each).total for each in targets]


def _parameters(training: Training, tell: Tell) -> str:
    """What has no gradient in any of a few steps, and what is where it began after all of them."""
    began = dict(training.start.named_parameters())
    trained = {name: value for name, value in began.items() if value.requires_grad}
    ended = dict(training.run.model("raw", device=_CPU, shapes=training.run.shapes(training.store)).named_parameters())
    unmoved = [name for name in sorted(trained) if torch.equal(ended[name].detach(), began[name].detach())]
    total = sum(value.numel() for value in trained.values())
    for names, told in ((training.unreached, f"have no gradient in {_STEPS} steps"), (unmoved, "are where they began")):
        number = sum(trained[name].numel() for name in names)
        if names:
            share = number / total
            evidence = f"{number:,} of {total:,} values to train ({share:.2%}) {told}: {few(names)}"
            tell("error" if share > _MANY else "note", evidence, _REACH_THEM)
    return f"{count_of(len(trained), 'parameter')} in {_STEPS} steps and after training"


@torch.no_grad()
def _move(parameters: Iterable[nn.Parameter]) -> None:
    """Add a little that is drawn by chance, the same each time."""
    generator = torch.Generator().manual_seed(0)
    for parameter in parameters:
        parameter.add_(_MOVED * torch.randn(parameter.shape, generator=generator))


def _beginning(training: Training, tell: Tell) -> str:
    """What no gradient reaches, though the loss hangs on it: it was meant to be learned, and stays where it is.

    All such are moved, and then each is put back alone, so that two factors of 0 are found, too.
    """
    if not training.unreached:
        return "every parameter has a gradient"
    model, (batch, *_) = copy.deepcopy(training.start), training.batches()

    def loss_of_batch() -> float:
        # The same chances each time, those of the first step.
        with seeded_global_rng(derived_seed(training.run.settings.train.seed, Purpose.DROPOUT, epoch=1), device=_CPU):
            return float(training.losses(model, batch, batch.targets)[0])

    with torch.no_grad():
        values = {name: value for name, value in model.named_parameters() if name in training.unreached}
        _move(values.values())
        moved, hang = loss_of_batch(), []
        for name, value in values.items():
            there = value.clone()
            value.copy_(training.start.get_parameter(name))
            if abs(loss_of_batch() - moved) > _HANGS * abs(moved):
                hang.append(name)
            value.copy_(there)
    if hang:
        number = sum(values[name].numel() for name in hang)
        evidence = (
            f"{count_of(number, 'value')} that the loss hangs on have a gradient of exactly 0: {few(sorted(hang))}"
        )
        tell("error", evidence, _BEGIN_ELSEWHERE)
    return f"whether the loss hangs on {count_of(len(values), 'parameter')} without a gradient"


def _labels_matter(training: Training, tell: Tell) -> str:
    """A loss that is the same whatever the labels are learns nothing of them."""
    if not training.recipe.needs().targets:
        return "not looked at: the recipe learns from no target"
    # Not at the start itself: a last layer of zeros gives every sample the same answer.
    model = copy.deepcopy(training.start)
    _move(model.parameters())
    for batch in training.batches():
        permuted = {name: target.roll(1, dims=0) for name, target in batch.targets.items()}
        if all(torch.equal(permuted[name], target) for name, target in batch.targets.items()):
            continue
        with torch.no_grad():
            told, shuffled = training.losses(model, batch, batch.targets, permuted)
        if torch.equal(told, shuffled):
            tell("error", f"the loss is {float(told):.6g} with labels given to other samples, too", _FREE_THE_LOSS)
        return "the loss of a batch, and with its labels given to other samples"
    return "not looked at: the first batches hold one label each"


def _average(training: Training, tell: Tell) -> str:
    """How much of the start the average held at the best epoch, by the decay of every update."""
    step = int(training.run.best().metrics.get("step") or 0)
    decay = training.run.settings.train.ema_decay
    held = math.prod(decay_at(update, decay=decay) for update in range(step))
    if held > _MOST_OF_THE_START:
        tell("error", f"after {count_of(step, 'step')} the average holds {held:.0%} of its random start", _LET_GO)
    return f"the average of {count_of(step, 'step')}"


TRAINING_CHECKS: Sequence[AuditCheck[Training]] = (
    AuditCheck("parameters", "training", _parameters, in_report="where small"),
    AuditCheck("beginning", "training", _beginning, in_report="where small"),
    AuditCheck("labels matter", "training", _labels_matter, in_report="where small"),
    AuditCheck("average", "training", _average),
)
