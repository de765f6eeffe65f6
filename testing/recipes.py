"""What every recipe holds, ours and an installed package's: subclass `RecipeContract` and say how yours is made.

class TestMyRecipe(RecipeContract):
    shapes = {"video/embedding": (16,)}

    def recipe(self) -> MyRecipe:
        return MyRecipe(MySettings())

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        ...
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ..train.data.resident import ResidentFeatures
from ..train.loop import train_epochs
from ..train.recipes.recipe import Fitted, Recipe, Remembers, Stackable, Trained
from ..train.runs.checkpoint import (
    AVERAGED,
    Checkpoint,
    load_module,
    module_tensors,
    read_checkpoint,
    write_checkpoint,
)
from ..train.settings import TrainSettings
from ..train.stacked import Member, StackedTraining
from ..train.state import new_state
from ..train.tasks import AnomalyTask
from ..train.types import Batch, Encodings, Prediction, Shapes
from ..train.validation import Validator

_NUM_TRAIN, _NUM_TEST = 64, 24
_STACKED = 1e-3  # the relative difference of trainings as one that docs/sweeps.md states


class RecipeContract(ABC):
    """The tests; `shapes` are those of a row's arrays and of the constants."""

    shapes: ClassVar[Shapes]
    constants: ClassVar[Mapping[str, Tensor]] = {}
    steps = 60  # of AdamW, for a recipe that learns by gradient
    lr = 1e-2

    @abstractmethod
    def recipe(self) -> Recipe:
        """The recipe, always with the same settings."""

    @abstractmethod
    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        """Normal rows, or `unusual` ones that the recipe can tell from them, in the types of a store."""

    def stacked(self) -> Sequence[Recipe]:
        """Two recipes that are trained as one, if any are: with what is `varied` apart, where that is anything."""
        return self.recipe(), self.recipe()

    def learned(self, recipe: Recipe) -> nn.Module:
        """A new module that has learned from normal rows, in evaluation mode."""
        rows, generator = self.rows(_NUM_TRAIN, seed=0), torch.Generator().manual_seed(0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if isinstance(recipe, Fitted):
                model = recipe.build(self.shapes)
                recipe.fit(model, list(_parts(rows)), generator)
                return model.eval()
            assert isinstance(recipe, Trained)
            model = self._measured(recipe, rows)
            optimizer = torch.optim.AdamW(model.train().parameters(), lr=self.lr)
            for _ in range(self.steps):
                loss = recipe.loss(model, recipe.encode(model, rows.inputs(), generator), rows.targets)
                optimizer.zero_grad()
                loss.total.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            model.eval()
            if isinstance(recipe, Remembers):
                recipe.remember(model, _encoded(recipe, model, rows), rows.targets)
            return model

    def _measured(self, recipe: Trained, rows: Batch) -> nn.Module:
        """A new module that has learned nothing yet."""
        model = recipe.build(self.shapes)
        recipe.measure(model, (part.only(recipe.needs().measures) for part in _parts(rows)), self.constants)
        return model

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> nn.Module:
        """One that has learned, for all tests of the class, which do not change it."""
        contract = cls()
        return contract.learned(contract.recipe())

    def test_it_learns_by_gradient_or_is_fitted(self) -> None:
        recipe = self.recipe()
        assert isinstance(recipe, Recipe)
        assert isinstance(recipe, Trained) != isinstance(recipe, Fitted)

    def test_what_it_needs_fits_together(self) -> None:
        needs = self.recipe().needs()
        names = [request.name for request in needs.features]
        assert len(set(names)) == len(names) > 0
        assert set(needs.measures) <= {*names, *needs.targets}
        assert {name for sets in needs.modalities.values() for name in sets} <= set(needs.feature_sets)
        required = {request.name for request in needs.features if not request.where_held}
        assert required | set(needs.constants) <= set(self.shapes)

    def test_it_has_advice_on_whatever_is_missing(self) -> None:
        recipe = self.recipe()
        assert recipe.advice(recipe.needs().names, held=[]).strip()

    def test_it_looks_at_nothing_but_what_it_needs(self, model: nn.Module) -> None:
        recipe, rows = self.recipe(), self.rows(5, seed=1)
        needs = recipe.needs()
        assert set(rows.features) <= {request.name for request in needs.features}
        assert set(rows.present) == set(needs.optional)
        nothing = torch.full((5, 3), torch.nan)
        more = Batch({**rows.features, "another/array": nothing}, rows.present, {"label": nothing})
        _assert_equal(_encoded(recipe, model, more), _encoded(recipe, model, rows))

    def test_a_row_is_encoded_alike_whoever_is_beside_it(self, model: nn.Module) -> None:
        recipe, rows = self.recipe(), self.rows(6, seed=1)
        together = _encoded(recipe, model, rows)
        alone = [_encoded(recipe, model, _rows(rows, torch.tensor([row]))) for row in range(6)]
        _assert_close({name: torch.cat([one[name] for one in alone]) for name in together}, together)
        order = torch.tensor([4, 2, 0, 5, 1, 3])
        _assert_close(
            _encoded(recipe, model, _rows(rows, order)), {name: values[order] for name, values in together.items()}
        )

    def test_scores_are_finite_and_higher_for_what_is_unusual(self, model: nn.Module) -> None:
        recipe = self.recipe()
        normal = _predicted(recipe, model, self.rows(_NUM_TEST, seed=2)).score
        unusual = _predicted(recipe, model, self.rows(_NUM_TEST, seed=3, unusual=True)).score
        assert normal.shape == unusual.shape == (_NUM_TEST,)
        assert normal.isfinite().all() and unusual.isfinite().all()
        assert (unusual.unsqueeze(1) > normal).double().mean() > 0.9  # an AUROC

    def test_a_prediction_has_a_row_for_each_row(self, model: nn.Module) -> None:
        prediction = _predicted(self.recipe(), model, self.rows(5, seed=1))
        assert set(self.recipe().needs().outputs) <= set(prediction.outputs)
        for values in (*prediction.outputs.values(), *prediction.maps.values()):
            assert len(values) == 5

    def test_what_was_learned_returns_from_its_file_and_the_saved_shapes(
        self, model: nn.Module, tmp_path: Path
    ) -> None:
        recipe, rows, path = self.recipe(), self.rows(5, seed=1), tmp_path / "best.safetensors"
        write_checkpoint(path, Checkpoint(module_tensors(model, prefix=AVERAGED), {}))
        saved = json.loads(json.dumps(self.shapes))
        again = self.recipe().build({name: tuple(shape) for name, shape in saved.items()})
        load_module(again, read_checkpoint(path), prefix=AVERAGED, path=path)
        assert torch.equal(_predicted(recipe, again.eval(), rows).score, _predicted(recipe, model, rows).score)

    def test_it_learns_the_same_from_the_same(self, model: nn.Module) -> None:
        first, second = model.state_dict(), self.learned(self.recipe()).state_dict()
        assert first.keys() == second.keys()
        for name, values in first.items():
            assert torch.equal(values, second[name]), name

    def test_half_precision_arithmetic_ends_in_float32(self, model: nn.Module) -> None:
        recipe, rows = self.recipe(), self.rows(5, seed=1)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            encodings = recipe.encode(model, rows, None)
        assert recipe.predict(model, encodings).score.dtype == torch.float32

    def test_several_trained_as_one_are_what_each_is_alone(self) -> None:
        """Of a recipe that says so: two with rates and seeds of their own, one of which stops before the other."""
        recipes = [recipe for recipe in self.stacked() if isinstance(recipe, Stackable) and recipe.varied is not None]
        if not recipes:
            pytest.skip("this recipe is trained by itself")
        assert len(recipes) == 2
        alone, as_one = ([self._member(recipe, place) for place, recipe in enumerate(recipes)] for _ in range(2))
        samples, rows = ResidentFeatures(self.rows(_NUM_TRAIN, seed=0)), self.rows(_NUM_TEST, seed=2)
        logs: list[list[Mapping[str, Any]]] = [[], []]
        for done in StackedTraining(recipes[0], as_one, samples, balance=None).epochs():
            assert not isinstance(done.epoch, Exception)
            logs[done.place].append(done.epoch.metrics)
        for recipe, log, one, other in zip(recipes, logs, as_one, alone, strict=True):
            epochs = train_epochs(
                recipe,
                state=other.state,
                samples=samples,
                validate=other.validate,
                settings=other.settings,
                on_batch=lambda _: None,
            )
            for mine, theirs in zip(log, (epoch.metrics for epoch in epochs), strict=True):
                for name in theirs.keys() - {"seconds", "samples_per_second", "val_auroc"}:  # there are no defects
                    assert mine[name] == pytest.approx(theirs[name], rel=_STACKED, abs=1e-6), name
            scores = (_predicted(recipe, member.state.averaged, rows).score for member in (one, other))
            torch.testing.assert_close(*scores, rtol=_STACKED, atol=1e-6)

    def _member(self, recipe: Trained, place: int) -> Member:
        """A training that has not begun, the longer the later its place."""
        settings = TrainSettings(
            lr=self.lr / (1 + place), seed=place, epochs=2 + place, batch_size=32, warmup_epochs=0, monitor="val_loss"
        )
        rows = self.rows(_NUM_TRAIN, seed=0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            state = new_state(self._measured(recipe, rows), settings=settings)
        validator = Validator(
            recipe,
            ResidentFeatures(rows),
            task=AnomalyTask(),
            targets={"label": np.zeros(len(rows), dtype=np.int64)},
            batch_size=settings.batch_size,
            precision="float32",
        )
        return Member(settings, state, validator)


def _parts(rows: Batch) -> Iterator[Batch]:
    for places in torch.split(torch.arange(len(rows)), 16):
        yield _rows(rows, places)


def _rows(batch: Batch, places: Tensor) -> Batch:
    def chosen(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor[places] for name, tensor in tensors.items()}

    return Batch(chosen(batch.features), chosen(batch.present), chosen(batch.targets))


@torch.no_grad()
def _encoded(recipe: Recipe, model: nn.Module, rows: Batch) -> Encodings:
    return recipe.encode(model, rows.inputs(), None)


@torch.no_grad()
def _predicted(recipe: Recipe, model: nn.Module, rows: Batch) -> Prediction:
    return recipe.predict(model, _encoded(recipe, model, rows))


def _assert_equal(one: Encodings, other: Encodings) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        torch.testing.assert_close(values, other[name], rtol=0, atol=0, equal_nan=True)


def _assert_close(one: Encodings, other: Encodings) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        torch.testing.assert_close(values, other[name], rtol=1e-4, atol=1e-5, equal_nan=True)
