"""The match of process and result: as scikit-learn would have it, and what neither side alone can tell."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from weldcache.errors import SettingsError, TrainingError
from weldcache.testing.recipes import RecipeContract
from weldcache.train.nn.match import Match
from weldcache.train.recipes.folds import Folds
from weldcache.train.recipes.match import MatchRecipe, MatchSettings
from weldcache.train.recipes.vectors import VectorSettings
from weldcache.train.types import Batch, Shapes

FILM, SOUND, PICTURES, VIEWS = "film/embedding", "sound/values", "picture/block_2/mean", "picture/block_2/views_present"
SHAPES: Shapes = {FILM: (7,), SOUND: (9,), PICTURES: (3, 8), VIEWS: (3,)}


def recipe(**settings: object) -> MatchRecipe:
    chosen = {"process": (FILM, SOUND), "result": (PICTURES,), "process_components": 3, "result_components": 4}
    return MatchRecipe(MatchSettings.model_validate({**chosen, **settings}))


def welds(num: int, *, seed: int, unusual: bool = False) -> Batch:
    """Film, sound and pictures of one cause; of unusual ones the pictures are of another row's cause."""
    rng, mixing = np.random.default_rng(seed), np.random.default_rng(99)
    cause = rng.normal(size=(num, 3))
    effect = np.roll(cause, 1, axis=0) if unusual else cause
    units = np.geomspace(0.01, 100, 9)
    film = cause @ mixing.normal(size=(3, 7)) + 0.1 * rng.normal(size=(num, 7))
    sound = (cause @ mixing.normal(size=(3, 9)) + 0.1 * rng.normal(size=(num, 9))) * units
    pictures = 5 + (effect @ mixing.normal(size=(3, 8)))[:, np.newaxis] + 0.1 * rng.normal(size=(num, 3, 8))
    views = np.column_stack([np.ones(num), rng.integers(0, 2, size=(num, 2))]).astype(np.uint8)
    pictures[views == 0] = 1e4
    arrays = {FILM: film, SOUND: sound, PICTURES: pictures}
    return Batch({**{k: torch.from_numpy(v).float() for k, v in arrays.items()}, VIEWS: torch.from_numpy(views)})


class TestMatch(RecipeContract):
    shapes: ClassVar[Shapes] = SHAPES

    def recipe(self) -> MatchRecipe:
        return recipe()

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return welds(num, seed=seed, unusual=unusual)


def _sides(rows: Batch) -> list[np.ndarray]:
    views = rows.features[VIEWS].bool().numpy()[..., np.newaxis]
    pictures = rows.features[PICTURES].double().numpy()
    mean = np.where(views, pictures, 0).sum(axis=1) / views.sum(axis=1)
    return [rows.features[FILM].double().numpy(), rows.features[SOUND].double().numpy(), mean]


def _fitted(chosen: MatchRecipe, rows: Batch) -> Match:
    model = chosen.build(SHAPES)
    chosen.fit(model, _parts(rows), torch.Generator().manual_seed(5))
    return model


def _parts(rows: Batch) -> list[Batch]:
    return [
        Batch({name: values[start : start + 30] for name, values in rows.features.items()})
        for start in range(0, len(rows), 30)
    ]


def test_distances_and_what_is_explained_are_those_of_scikit_learn() -> None:
    train, test = welds(100, seed=0), welds(12, seed=1, unusual=True)
    chosen = recipe(alpha=3.0, folds=4)
    model = _fitted(chosen, train)
    components = []
    for side, (learned, new) in enumerate(zip(_sides(train), _sides(test), strict=True)):
        scaler = StandardScaler().fit(learned)
        pca = PCA(4 if side == 2 else 3).fit(scaler.transform(learned))
        both = [pca.transform(scaler.transform(values)) for values in (learned, new)]
        # scikit-learn whitens by the sample's variance, not the population's
        components.append([values / (1 if side == 2 else both[0].std(axis=0)) for values in both])
    process, result = [np.hstack(pair) for pair in zip(*components[:2], strict=True)], components[2]
    folds = torch.cat(
        [of for _, of in Folds(4, generator=torch.Generator().manual_seed(5)).deal(_parts(train))]
    ).numpy()
    residuals = np.empty_like(result[0])
    for fold in range(4):
        ridge = Ridge(alpha=3.0).fit(process[0][folds != fold], result[0][folds != fold])
        residuals[folds == fold] = result[0][folds == fold] - ridge.predict(process[0][folds == fold])
    explained = 1 - (residuals**2).sum() / ((result[0] - result[0].mean(axis=0)) ** 2).sum()
    left = result[1] - Ridge(alpha=3.0).fit(process[0], result[0]).predict(process[1])
    expected = np.sqrt(LedoitWolf().fit(residuals).mahalanobis(left))
    found = chosen.predict(model, chosen.encode(model, test, None)).score
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    assert chosen.figures(model) == {"explained_variance": pytest.approx(explained, abs=1e-4)}
    assert explained > 0.9


def test_what_has_nothing_to_do_with_the_process_is_not_explained() -> None:
    rows = welds(200, seed=0)
    shuffled = rows.features[PICTURES][torch.randperm(200, generator=torch.Generator().manual_seed(1))]
    views = torch.ones(200, 3, dtype=torch.uint8)
    unrelated = Batch({**rows.features, PICTURES: shuffled[:, :1].repeat(1, 3, 1), VIEWS: views})
    chosen = recipe()
    assert chosen.figures(_fitted(chosen, unrelated))["explained_variance"] < 0.05


def test_folds_are_the_same_each_time_and_of_equal_size() -> None:
    parts = _parts(welds(100, seed=0))
    folds = Folds(7, generator=torch.Generator().manual_seed(3))
    first, second = (torch.cat([dealt for _, dealt in folds.deal(parts)]) for _ in range(2))
    assert torch.equal(first, second)
    assert set(torch.bincount(first).tolist()) <= {13, 14, 15, 16}


def test_fewer_directions_than_components_are_enough() -> None:
    rows = welds(60, seed=0)
    flat = Batch({**rows.features, FILM: rows.features[FILM] * torch.tensor([1.0, 1, 0, 0, 0, 0, 0])})
    chosen = recipe(process_components=50, result_components=50, alpha=0.0)
    assert chosen.encode(_fitted(chosen, flat), flat, None)["distance"].isfinite().all()


@pytest.mark.parametrize(("num", "message"), [(5, r"recipe\.folds"), (40, r"recipe\.result")])
def test_too_few_rows_and_results_that_do_not_differ_are_refused(num: int, message: str) -> None:
    rows = welds(num, seed=0)
    rows.features[PICTURES].fill_(3.0)
    with pytest.raises(TrainingError, match=message):
        _fitted(recipe(), rows)


def test_what_is_not_finite_is_refused() -> None:
    rows = welds(40, seed=0)
    rows.features[SOUND][3, 2] = torch.nan
    with pytest.raises(TrainingError, match=SOUND):
        _fitted(recipe(), rows)


def test_advice_names_the_settings() -> None:
    assert "recipe.process" in recipe().advice(["film"], held=["video"])
    with pytest.raises(SettingsError, match=r"recipe\.result="):
        recipe().build({**SHAPES, PICTURES: ()})


def test_the_last_block_is_the_deepest_that_a_store_holds() -> None:
    arrays = ["image/block_2/mean", "image/block_10/mean", "image/block_21/cls", "image/block_last/mean"]
    settings = MatchSettings(process=("video/embedding",), result=("image/last/mean", "image/block_2/mean"))
    assert settings.for_store(arrays).result == ("image/block_10/mean", "image/block_2/mean")
    assert settings.for_store(()).result == settings.result
    assert VectorSettings(name="gaussian", array="image/last/cls").for_store(arrays).array == "image/block_21/cls"
