"""A linear probe: its optimum is scikit-learn's, what it measures of training rows, and which rows take no part."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight

from weldcache.errors import SettingsError, TrainingError
from weldcache.testing.recipes import RecipeContract
from weldcache.tests.train.recipes.vectors import ARRAY, SHAPES, patches
from weldcache.train.recipes.linear_probe import LinearProbe, LinearProbeRecipe, LinearProbeSettings
from weldcache.train.types import Batch, Shapes

EMBEDDING = "video/embedding"
FLAT: Shapes = {EMBEDDING: (4,), "classes/class": (3,)}


def _recipe(**settings: object) -> LinearProbeRecipe:
    return LinearProbeRecipe(LinearProbeSettings.model_validate(settings))


def _flat(num: int = 120, *, seed: int = 0) -> Batch:
    """Three classes that overlap, one of them rare, on channels of very different size."""
    rng = np.random.default_rng(seed)
    classes = rng.choice(3, size=num, p=[0.6, 0.3, 0.1])
    values = np.array([0.1, 1.0, 10.0, 100.0]) * (rng.normal(size=(num, 4)) + np.eye(3, 4)[classes])
    return Batch({EMBEDDING: torch.from_numpy(values).float()}, targets={"class": torch.from_numpy(classes)})


def _measured(recipe: LinearProbeRecipe, rows: Batch, shapes: Shapes = FLAT) -> LinearProbe:
    model = recipe.build(shapes)
    recipe.measure(model, [rows.only(recipe.needs().measures)], {})
    return model


class TestPatches(RecipeContract):
    """Normal rows are clearly of one class or the other, unusual ones are between both."""

    shapes: ClassVar[Shapes] = {**SHAPES, "classes/class": (2,)}

    def recipe(self) -> LinearProbeRecipe:
        return _recipe(array=ARRAY)

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        rows, classes = patches(num, seed=seed), torch.arange(num) % 2
        sides = 0.0 if unusual else 4.0 * (2.0 * classes - 1)
        values = rows.features[ARRAY] + torch.as_tensor(sides).reshape(-1, 1, 1, 1).half()
        return Batch({**rows.features, ARRAY: values}, targets={"class": classes})


class TestBalanced(TestPatches):
    def recipe(self) -> LinearProbeRecipe:
        return _recipe(array=ARRAY, class_weights="balanced")


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_its_optimum_is_that_of_scikit_learn(class_weights: str) -> None:
    recipe, rows = _recipe(class_weights=class_weights), _flat()
    model = _measured(recipe, rows)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        total = recipe.loss(model, recipe.encode(model, rows.inputs(), None), rows.targets).total
        total.backward()
        return total

    optimizer.step(loss)
    values, classes, others = rows.features[EMBEDDING].numpy(), rows.targets["class"].numpy(), _flat(seed=1)
    scaler = StandardScaler().fit(values)
    weight = None if class_weights == "none" else "balanced"
    expected = LogisticRegression(C=1e12, class_weight=weight, max_iter=5000, tol=1e-8)
    expected.fit(scaler.transform(values), classes)
    with torch.no_grad():
        found = recipe.predict(model, recipe.encode(model, others.inputs(), None))
    chances = expected.predict_proba(scaler.transform(others.features[EMBEDDING].numpy()))
    np.testing.assert_allclose(found.outputs["logits"].softmax(dim=1), chances, atol=2e-3)
    np.testing.assert_allclose(found.score, 1 - chances.max(axis=1), atol=2e-3)


def test_it_begins_at_how_often_each_class_is_there_or_at_none_where_they_are_balanced() -> None:
    rows = _flat()
    classes = rows.targets["class"].numpy()
    begun = _measured(_recipe(), rows)
    expected = (np.bincount(classes) + 1) / (len(classes) + 3)
    np.testing.assert_allclose(begun.linear.bias.detach().softmax(dim=0), expected, rtol=1e-5)
    assert begun.class_weights.tolist() == [1, 1, 1]
    balanced = _measured(_recipe(class_weights="balanced"), rows)
    weights = compute_class_weight("balanced", classes=np.arange(3), y=classes)
    np.testing.assert_allclose(balanced.class_weights, weights, rtol=1e-5)
    assert not balanced.linear.bias.any() and not balanced.linear.weight.any()


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_a_class_that_training_lacks_is_not_told_and_its_loss_is_a_number(class_weights: str) -> None:
    recipe, rows = _recipe(class_weights=class_weights), _flat()
    model = _measured(recipe, rows, {**FLAT, "classes/class": (5,)})
    assert model.class_weights[3:].tolist() == [1, 1]
    encodings = recipe.encode(model, rows.inputs(), None)
    assert recipe.loss(model, encodings, {"class": torch.full((len(rows),), 4)}).total.isfinite()
    assert recipe.predict(model, encodings).outputs["logits"].argmax(dim=1).max() < 3


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_rows_of_unknown_class_have_no_part_in_counts_and_loss(class_weights: str) -> None:
    recipe, rows = _recipe(class_weights=class_weights), _flat()
    unknown = torch.arange(len(rows)) % 3 == 0
    partly = {"class": rows.targets["class"].masked_fill(unknown, -1)}
    model = _measured(recipe, Batch(rows.features, targets=partly))
    known = rows.targets["class"][~unknown]
    if class_weights == "none":
        np.testing.assert_allclose(model.linear.bias.detach().exp() * (len(known) + 3), known.bincount() + 1, rtol=1e-5)
    logits = recipe.encode(model, rows.inputs(), None)["logits"]
    whole, part = (
        recipe.loss(model, {"logits": encoded}, {"class": classes}).total
        for encoded, classes in ((logits, partly["class"]), (logits[~unknown], known))
    )
    torch.testing.assert_close(whole, part)


def test_a_data_set_whose_classes_have_no_names_is_refused() -> None:
    with pytest.raises(SettingsError, match="class"):
        _recipe().build({EMBEDDING: (4,)})


def test_vectors_that_are_not_finite_are_refused() -> None:
    rows = _flat()
    rows.features[EMBEDDING][3] = torch.nan
    with pytest.raises(TrainingError, match=EMBEDDING):
        _measured(_recipe(), rows)
