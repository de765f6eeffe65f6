"""Detectors that scikit-learn has too: their scores are its own, from tensors alone."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.base import OutlierMixin
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from weldcache.errors import SettingsError, TrainingError
from weldcache.testing.recipes import RecipeContract
from weldcache.tests.train.recipes.vectors import ARRAY, SHAPES, VIEWS, patches
from weldcache.train.nn.isolation_forest import IsolatingTrees
from weldcache.train.recipes.recipe import make_recipe
from weldcache.train.recipes.vectors import SampledDetector
from weldcache.train.settings import RECIPES
from weldcache.train.types import Batch

NAMES = ("local_outlier_factor", "one_class_svm", "isolation_forest")


def _recipe(name: str, **settings: object) -> SampledDetector:
    made = make_recipe(RECIPES.section(name).model_validate({"array": ARRAY} | settings))
    assert isinstance(made, SampledDetector)
    return made


def _scores(recipe: SampledDetector, train: Batch, test: Batch) -> np.ndarray:
    model = recipe.build({name: tuple(tensor.shape[1:]) for name, tensor in train.features.items()})
    recipe.fit(model, [train], torch.Generator().manual_seed(0))
    return recipe.predict(model, recipe.encode(model, test, None)).score.numpy()


class TestLocalOutlierFactor(RecipeContract):
    shapes = SHAPES
    name: ClassVar[str] = "local_outlier_factor"

    def recipe(self) -> SampledDetector:
        return _recipe(self.name, standardise=True)

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return patches(num, seed=seed, unusual=unusual)


class TestOneClassSvm(TestLocalOutlierFactor):
    name = "one_class_svm"


class TestIsolationForest(TestLocalOutlierFactor):
    name = "isolation_forest"


class TestEachVector(TestLocalOutlierFactor):
    def recipe(self) -> SampledDetector:
        return _recipe("isolation_forest", vectors="each", trees=50)


@pytest.mark.parametrize(
    ("name", "settings", "theirs"),
    [
        ("local_outlier_factor", {"k": 5}, LocalOutlierFactor(n_neighbors=5, novelty=True)),
        ("one_class_svm", {"nu": 0.3}, OneClassSVM(gamma="scale", nu=0.3)),
        ("isolation_forest", {"trees": 30, "tree_samples": 50}, None),
    ],
)
@pytest.mark.parametrize("standardise", [False, True])
def test_scores_are_those_of_scikit_learn(
    name: str, settings: dict[str, object], theirs: OutlierMixin | None, standardise: bool
) -> None:
    train, test = (np.random.default_rng(seed).normal(size=(120, 6)).astype(np.float32) for seed in (0, 1))
    test[::2] += 3.0
    units = np.array([1, 1, 2, 1, 50, 1], dtype=np.float32)  # which the standardised do not see
    rows = [Batch({"columns/values": torch.from_numpy(units * (3 + part))}) for part in (train, test)]
    found = _scores(_recipe(name, array="columns/values", standardise=standardise, **settings), *rows)
    seen = [batch.features["columns/values"].double().numpy() for batch in rows]
    if standardise:
        scaler = StandardScaler().fit(seen[0])
        seen = [scaler.transform(part) for part in seen]
    if theirs is None:
        forest = IsolationForest(n_estimators=30, max_samples=50, random_state=_seed_after_120_draws())
        expected = -forest.fit(seen[0].astype(np.float32)).score_samples(seen[1].astype(np.float32))
    elif isinstance(theirs, OneClassSVM):
        seen = [part - seen[0].mean(axis=0) for part in seen]  # which its unit of distance is not to depend on
        expected = -theirs.fit(seen[0]).decision_function(seen[1])
    else:
        expected = -theirs.fit(seen[0]).score_samples(seen[1])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def _seed_after_120_draws() -> int:
    """What the recipe draws for its trees, after each vector has drawn whether it is kept."""
    generator = torch.Generator().manual_seed(0)
    torch.rand(120, dtype=torch.float64, generator=generator)
    return int(torch.randint(2**31, (), generator=generator))


def test_a_cut_between_single_and_double_precision_is_where_scikit_learn_has_it() -> None:
    """Few values that lie close, so that thresholds between them are no numbers of single precision."""
    steps = np.float32(1) + np.arange(4, dtype=np.float32) * np.float32(2.0**-23)
    vectors = steps[np.random.default_rng(0).integers(0, 4, size=(200, 3))]
    trees = IsolatingTrees(3, num_samples=64)
    trees.grow(torch.from_numpy(vectors), num_trees=20, seed=5)
    theirs = IsolationForest(n_estimators=20, max_samples=64, random_state=5).fit(vectors)
    np.testing.assert_allclose(trees(torch.from_numpy(vectors)), -theirs.score_samples(vectors), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_bank_is_bounded_and_samples_that_are_all_alike_are_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = patches(60, seed=0)
    _scores(_recipe(name, bank=25), rows, rows)
    assert "25 of 60" in capsys.readouterr().err
    alike = Batch({ARRAY: torch.ones(60, 3, 5, 8), VIEWS: rows.features[VIEWS]})
    with pytest.raises(TrainingError, match="equal"):
        _scores(_recipe(name), alike, alike)


def test_more_neighbours_than_other_vectors_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"recipe\.k = 20"):
        _scores(_recipe("local_outlier_factor"), patches(20, seed=0), patches(2, seed=1))


@pytest.mark.parametrize(
    ("name", "buffer", "change"),
    [
        ("local_outlier_factor", "reach", lambda rows: rows[:-1]),
        ("one_class_svm", "weight", lambda rows: rows[:-1]),
        ("isolation_forest", "depth", lambda rows: rows[:-1]),
        ("isolation_forest", "left", lambda rows: rows + 1),
        ("isolation_forest", "root", lambda rows: rows - 1),
        ("isolation_forest", "cut", lambda rows: rows + 8),
    ],
)
def test_what_a_file_gives_that_leads_nowhere_is_refused(
    name: str, buffer: str, change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    recipe = _recipe(name)
    model = recipe.build(SHAPES)
    recipe.fit(model, [patches(40, seed=0)], torch.Generator().manual_seed(0))
    tensors = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    tensors[f"detector.{buffer}"] = change(tensors[f"detector.{buffer}"])
    setattr(model.get_submodule("detector"), buffer, torch.empty_like(tensors[f"detector.{buffer}"]))
    with pytest.raises(ValueError, match=buffer):
        model.load_state_dict(tensors)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_what_is_not_finite_has_no_score(name: str, value: float) -> None:
    test = patches(3, seed=1)
    test.features[ARRAY][1, 0, 0, 0] = value
    assert np.isfinite(_scores(_recipe(name), patches(30, seed=0), test)).tolist() == [True, False, True]
