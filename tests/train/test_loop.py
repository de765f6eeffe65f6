"""The training loop on a recipe that has nothing to do with welds: a line through points."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from weldcache.errors import TrainingError
from weldcache.train.data.batches import Order
from weldcache.train.loop import EpochResult, stop_reason, train_epochs
from weldcache.train.recipes.recipe import Trained
from weldcache.train.settings import TrainSettings
from weldcache.train.state import TrainingState, new_state
from weldcache.train.types import Batch, Encodings, FeatureRequest, Losses, Needs, Prediction, Shapes
from weldcache.train.validation import ValidationResult

NUM_POINTS = 21


class LineRecipe:
    """Fit y = 3 x; the generator jitters x, dropout draws from the global generator."""

    def needs(self) -> Needs:
        return Needs((FeatureRequest("point", "x"),), targets=("y",))

    def build(self, shapes: Shapes) -> nn.Module:
        return nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.1), nn.Linear(8, 1))

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return "Draw points."

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        pass

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        assert not batch.targets, "targets are nothing to look at"
        x = batch.features["point/x"]
        if generator is not None:
            x = x + 0.01 * torch.randn(x.shape, generator=generator)
        return {"y": model(x).float()}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        error = encodings["y"] - targets["y"]
        squared = (error**2).mean()
        return Losses(2 * squared, {"squared": squared}, {"error": error})

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        return Prediction(encodings["y"].squeeze(1))


LINE = LineRecipe()


class WithoutDropout(LineRecipe):
    """Whose draws may differ where a graph is compiled."""

    def build(self, shapes: Shapes) -> nn.Module:
        return nn.Sequential(nn.Linear(1, 8), nn.Linear(8, 1))


@dataclass
class Points:
    """Points in memory; `taken` notes the batches that were asked for."""

    x: Tensor = field(default_factory=lambda: torch.linspace(-1, 1, NUM_POINTS).unsqueeze(1))
    taken: list[list[int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def device(self) -> torch.device:
        return self.x.device

    def batches(self, order: Order, *, arrays: Collection[str] | None = None) -> Iterator[Batch]:
        for samples in order:
            self.taken.append(samples.tolist())
            yield Batch({"point/x": self.x[samples]}, targets={"y": 3 * self.x[samples]})


Monitor = Callable[[int], tuple[float, float | None]]
"""Loss and AUROC that validation finds after the n-th epoch."""


def validation(monitor: Monitor) -> Callable[[nn.Module], ValidationResult]:
    calls = iter(range(1, 1000))

    def validate(model: nn.Module) -> ValidationResult:
        loss, auroc = monitor(next(calls))
        return ValidationResult({"val_loss": loss, "val_auroc": auroc}, spread={"error_std": 0.5})

    return validate


def settings(**changes: object) -> TrainSettings:
    few = {"epochs": 5, "batch_size": 5, "lr": 0.05, "warmup_epochs": 1, "warmup_lr": 0.01, "min_lr": 0.0}
    return TrainSettings.model_validate(few | changes)


def fresh_state(chosen: TrainSettings, *, recipe: Trained = LINE) -> TrainingState:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return new_state(recipe.build({}), settings=chosen)


def improving(epoch: int) -> tuple[float, float | None]:
    return 1 / epoch, 1 - 0.5 / epoch


def run(
    chosen: TrainSettings, *, monitor: Monitor = improving, points: Points | None = None, recipe: Trained = LINE
) -> tuple[TrainingState, list[EpochResult]]:
    state = fresh_state(chosen, recipe=recipe)
    results = train_epochs(
        recipe,
        state=state,
        samples=points or Points(),
        validate=validation(monitor),
        settings=chosen,
        on_batch=lambda count: None,
    )
    return state, list(results)


def test_rows_tell_the_story_of_the_run() -> None:
    state, results = run(settings(epochs=30))
    rows = [result.metrics for result in results]
    assert [row["epoch"] for row in rows] == list(range(1, 31))
    assert [row["step"] for row in rows] == [4 * epoch for epoch in range(1, 31)]  # 21 points, the last one left out
    assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]
    assert all(row["loss"] == pytest.approx(2 * row["loss_squared"]) for row in rows)
    assert rows[-1]["lr"] == pytest.approx(0.0, abs=1e-12)
    assert all(math.isfinite(value) and value > 0 for row in rows for name, value in row.items() if name != "lr")
    assert state.best is not None and state.best.metrics == rows[-1]
    assert stop_reason(state, settings=settings(epochs=30)) == "epochs"


def test_every_epoch_has_an_order_of_its_own_and_the_seed_decides_it() -> None:
    def orders(seed: int) -> list[list[int]]:
        points = Points()
        run(settings(seed=seed, epochs=2), points=points)
        return points.taken

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)
    first, second = orders(1)[:4], orders(1)[4:]
    assert first != second


def test_same_seed_same_weights_to_the_last_bit() -> None:
    weights = [torch.cat([p.flatten() for p in run(settings(seed=seed))[0].model.parameters()]) for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_callers_random_numbers_are_not_disturbed() -> None:
    chosen = settings()
    state = fresh_state(chosen)
    before = torch.get_rng_state()
    for _ in train_epochs(
        LineRecipe(),
        state=state,
        samples=Points(),
        validate=validation(improving),
        settings=chosen,
        on_batch=lambda count: None,
    ):
        assert torch.equal(torch.get_rng_state(), before)


def test_averaged_weights_follow_the_raw_ones_and_are_what_is_validated() -> None:
    chosen = settings(epochs=1, ema_decay=0.5)
    state, judged = fresh_state(chosen), []

    def validate(model: nn.Module) -> ValidationResult:
        judged.append(model)
        return ValidationResult({"val_loss": 1.0, "val_auroc": 0.5}, spread={"error_std": 0.5})

    list(
        train_epochs(
            LineRecipe(),
            state=state,
            samples=Points(),
            validate=validate,
            settings=chosen,
            on_batch=lambda count: None,
        )
    )
    assert judged == [state.averaged]
    assert not torch.equal(next(state.averaged.parameters()), next(state.model.parameters()))


def test_stops_when_validation_no_longer_gets_better() -> None:
    aurocs = [0.5, 0.7, 0.8, 0.8, 0.75, 0.79, 0.99]
    chosen = settings(epochs=50, patience=3)
    state, results = run(chosen, monitor=lambda epoch: (1.0, aurocs[epoch - 1]))
    assert [result.improved for result in results] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]  # an equal one is no better
    assert state.best is not None and (state.best.epoch, state.best.value) == (3, 0.8)
    assert stop_reason(state, settings=chosen) == "patience"


def test_monitors_the_loss_where_there_are_no_defects() -> None:
    losses = [0.5, 0.3, 0.4, 0.2, 0.3]
    state, results = run(settings(monitor="val_loss"), monitor=lambda epoch: (losses[epoch - 1], None))
    assert [result.improved for result in results] == [True, True, False, True, False]
    assert state.best is not None and state.best.value == 0.2
    assert all(result.metrics["val_auroc"] is None for result in results)


def test_the_gradient_is_clipped_and_its_norm_is_logged_before() -> None:
    state, results = run(settings(epochs=1, batch_size=21, gradient_clip=1e-3))
    norm = torch.stack([p.grad.norm() for p in state.model.parameters() if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)
    assert results[0].metrics["gradient_norm"] > 0.1


def test_a_loss_that_is_not_finite_names_epoch_and_step() -> None:
    class Exploding(LineRecipe):
        calls = 0

        def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
            self.calls += 1
            losses = super().loss(model, encodings, targets)
            factor = math.nan if self.calls == 7 else 1
            return Losses(losses.total * factor, {name: loss * factor for name, loss in losses.terms.items()})

    with pytest.raises(TrainingError, match=r"Epoch 2, step 7: total is nan, squared is nan, gradient_norm is nan"):
        run(settings(), recipe=Exploding())


def test_a_validation_loss_that_is_not_finite_names_the_epoch() -> None:
    with pytest.raises(TrainingError, match=r"validation loss is inf after epoch 3"):
        run(settings(), monitor=lambda epoch: (math.inf if epoch == 3 else 1.0, 0.5))


def test_fewer_samples_than_a_batch_are_one_batch() -> None:
    points = Points()
    run(settings(epochs=1, batch_size=64), points=points)
    assert [sorted(batch) for batch in points.taken] == [list(range(NUM_POINTS))]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler, when it is loaded
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_modules_train_to_the_same_losses(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Traced as for any backend; that of the test runs the graph as it is, since a C++ compiler takes a minute."""
    compiled, compile_module = [], nn.Module.compile

    def traced(module: nn.Module, *, mode: str) -> None:
        compiled.append(mode)
        compile_module(module, backend="aot_eager")

    monkeypatch.setattr(nn.Module, "compile", traced)
    _, results = run(settings(epochs=2, compile=mode), recipe=WithoutDropout())
    _, eager = run(settings(epochs=2), recipe=WithoutDropout())
    assert compiled == [mode] * 4  # the layers of the model, and those of its average
    for mine, theirs in zip(results, eager, strict=True):
        assert mine.metrics["loss"] == pytest.approx(theirs.metrics["loss"], rel=1e-6)


def test_half_precision_that_never_takes_a_step_is_an_error() -> None:
    """Single steps with an infinite gradient are how float16 finds its scale; nothing else is no training."""

    class Overflowing(LineRecipe):
        def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
            total = super().loss(model, encodings, targets).total
            return Losses(total + 0 * (total - total).sqrt())

    with pytest.raises(TrainingError, match=r"gradient_norm is (nan|inf)"):
        run(settings(precision="float16"), recipe=Overflowing())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_too_and_comes_back_to_the_same_bits(precision: str) -> None:
    """Weights and losses stay float32; float16's scale starts high, and steps that overflow are left out."""
    chosen = settings(epochs=30, precision=precision)
    (state, results), (again, _) = run(chosen), run(chosen)
    assert results[-1].metrics["loss"] < 0.1 * results[0].metrics["loss"]
    assert all(math.isfinite(result.metrics["gradient_norm"]) for result in results)
    assert {parameter.dtype for parameter in state.model.parameters()} == {torch.float32}
    assert state.scaler.is_enabled() == (precision == "float16")
    exact, _ = run(settings(epochs=30))
    for mine, theirs, float32 in zip(*(each.model.parameters() for each in (state, again, exact)), strict=True):
        assert torch.equal(mine, theirs)
        assert not torch.equal(mine, float32)


class Remembering(LineRecipe):
    """Keeps what both models make of all points, after each epoch."""

    def __init__(self) -> None:
        self.kept: list[tuple[nn.Module, Tensor, Tensor]] = []

    def remember(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> None:
        assert not model.training and not encodings["y"].requires_grad
        self.kept.append((model, encodings["y"], targets["y"]))


def test_a_recipe_that_remembers_is_shown_all_rows_by_both_models_before_validation() -> None:
    recipe, points, chosen = Remembering(), Points(), settings(epochs=2)
    state, seen = fresh_state(chosen, recipe=recipe), []

    def validate(model: nn.Module) -> ValidationResult:
        seen.append(len(recipe.kept))
        return ValidationResult({"val_loss": 1.0, "val_auroc": 0.5}, spread={})

    found = train_epochs(
        recipe, state=state, samples=points, validate=validate, settings=chosen, on_batch=lambda size: None
    )
    assert len(list(found)) == 2 and seen == [2, 4]
    assert [model for model, *_ in recipe.kept] == [state.model, state.averaged] * 2
    model, made, targets = recipe.kept[-1]
    assert torch.equal(targets, 3 * points.x)
    torch.testing.assert_close(made, model(points.x))
