"""Detectors of places: each against a slow reference in plain loops, and what all of them hold."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from weldcache.errors import SettingsError, TrainingError
from weldcache.testing.recipes import RecipeContract
from weldcache.tests.train.recipes.vectors import ARRAY, SHAPES, VIEWS, patches
from weldcache.train.recipes.blocks import BlockDetector, averaged_patches, averaged_steps
from weldcache.train.recipes.recipe import make_recipe
from weldcache.train.settings import RECIPES
from weldcache.train.types import Batch, Prediction, Shapes

FINE, COARSE, SEEN = "image/block_3/patch_tokens", "image/block_5/patch_tokens", "image/block_3/views_present"
CLS = "image/block_5/cls"
TWO_BLOCKS: Shapes = {FINE: (2, 16, 6), COARSE: (2, 4, 6), SEEN: (2,)}
NAMES = ("patchcore", "mh_patchcore", "superadd", "subspace", "padim", "positional_nearest")


def _recipe(name: str, **settings: object) -> BlockDetector:
    made = make_recipe(RECIPES.section(name).model_validate({"array": ARRAY} | settings))
    assert isinstance(made, BlockDetector)
    return made


def _two_blocks(num: int, *, seed: int, unusual: bool = False) -> Batch:
    """Each place has a pattern of its own in either block; unusual rows have those of other places, and stray."""
    rng, pattern = np.random.default_rng(seed), np.random.default_rng(7)
    fine, coarse = pattern.normal(size=(1, 2, 16, 6)), pattern.normal(size=(1, 2, 4, 6))
    if unusual:
        fine, coarse = np.roll(fine, 5, axis=2) + 1.5, np.roll(coarse, 1, axis=2) + 1.5
    there = np.column_stack([np.ones(num), rng.integers(0, 2, size=num)]).astype(np.uint8)
    arrays = {
        FINE: fine + 0.3 * rng.normal(size=(num, 2, 16, 6)),
        COARSE: coarse + 0.3 * rng.normal(size=(num, 2, 4, 6)),
    }
    for values in arrays.values():
        values[there == 0] = np.inf
    return Batch(
        {name: torch.from_numpy(values).half() for name, values in arrays.items()} | {SEEN: torch.from_numpy(there)}
    )


def _predicted(recipe: BlockDetector, train: Batch, test: Batch) -> Prediction:
    model = recipe.build({name: tuple(tensor.shape[1:]) for name, tensor in train.features.items()})
    recipe.fit(model, [train], torch.Generator().manual_seed(0))
    return recipe.predict(model, recipe.encode(model, test, None))


class TestPatchCore(RecipeContract):
    shapes: ClassVar[Shapes] = TWO_BLOCKS
    settings: ClassVar[dict[str, object]] = {"name": "patchcore", "bank": 100, "candidates": 200}

    def recipe(self) -> BlockDetector:
        return _recipe(**({"array": FINE, "beside": [COARSE]} | self.settings))

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return _two_blocks(num, seed=seed, unusual=unusual)


class TestMhPatchCore(TestPatchCore):
    settings: ClassVar[dict[str, object]] = {"name": "mh_patchcore", "bank": 50}


class TestSuperAdd(TestPatchCore):
    settings: ClassVar[dict[str, object]] = {"name": "superadd", "bank": 100}


class TestSubspace(TestPatchCore):
    settings: ClassVar[dict[str, object]] = {"name": "subspace", "variance": 0.9}


class TestPadim(TestPatchCore):
    settings: ClassVar[dict[str, object]] = {"name": "padim", "dims": 8}


class TestPadimOfSharedPlaces(TestPatchCore):
    settings: ClassVar[dict[str, object]] = {"name": "padim", "dims": 8, "places": "shared", "neighbourhood": 3}


class TestPositionalNearest(TestPatchCore):
    settings: ClassVar[dict[str, object]] = {"name": "positional_nearest", "pictures": 9, "bank": 40}


class TestSteps(RecipeContract):
    """Padded steps, which are no grid."""

    shapes: ClassVar[Shapes] = {"audio/tokens": (6, 8), "audio/tokens_length": ()}
    name: ClassVar[str] = "patchcore"

    def recipe(self) -> BlockDetector:
        return _recipe(self.name, array="audio/tokens", neighbourhood=3)

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        tokens = patches(num, seed=seed, unusual=unusual).features[ARRAY][:, 0].repeat(1, 2, 1)[:, :6]
        lengths = torch.randint(1, 7, (num,), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)
        tokens[torch.arange(6) >= lengths.unsqueeze(1)] = torch.inf
        return Batch({"audio/tokens": tokens, "audio/tokens_length": lengths})


class TestStepsByPlace(TestSteps):
    name = "padim"


class TestStepsAroundTheirPlace(TestSteps):
    name = "positional_nearest"


def _rows(**changes: int) -> tuple[Batch, Batch]:
    """Rows to learn from and others, of two views of 3 x 3 patches; the latter half of the others stray."""
    rng = np.random.default_rng(0)
    there = np.column_stack([np.ones(40), rng.integers(0, 2, size=40)]).astype(np.uint8)
    values = rng.normal(size=(40, 2, 9, 5)) + np.arange(9).reshape(1, 1, 9, 1)
    values[35:] += 2.0
    whole = Batch({ARRAY: torch.from_numpy(values).float(), VIEWS: torch.from_numpy(there)})
    parts = [{name: tensor[rows] for name, tensor in whole.features.items()} for rows in (slice(30), slice(30, 40))]
    return Batch(parts[0]), Batch(parts[1])


def _pictures(rows: Batch) -> list[tuple[int, int, np.ndarray]]:
    """(row, view, patches) of each picture that is there."""
    pairs = zip(rows.features[ARRAY].double().numpy(), rows.features[VIEWS].bool().numpy(), strict=True)
    return [(row, view, values[view]) for row, (values, there) in enumerate(pairs) for view in np.flatnonzero(there)]


def _assert_scores(prediction: Prediction, rows: Batch, expected: list[np.ndarray], *, scores: list[float]) -> None:
    """The distances of the pictures' patches, and of each row the largest of its pictures' scores."""
    largest: dict[int, float] = {}
    for (row, view, _), distances, score in zip(_pictures(rows), expected, scores, strict=True):
        np.testing.assert_allclose(prediction.maps["distance"][row, view], distances, rtol=1e-3, atol=1e-4)
        largest[row] = max(score, largest.get(row, -np.inf))
    np.testing.assert_allclose(prediction.score, [largest[row] for row in sorted(largest)], rtol=1e-3, atol=1e-4)
    missing = ~rows.features[VIEWS].bool()
    assert missing.any() and prediction.maps["distance"][missing].isnan().all()


def test_patchcore_weighs_a_picture_by_the_neighbours_of_the_nearest_patch() -> None:
    """Equation 7 of the paper; 3 x 3 patches are averaged before."""
    train, test = _rows()

    def averaged(values: np.ndarray) -> np.ndarray:
        grid = values.reshape(3, 3, 5)
        each = [
            grid[max(0, r - 1) : r + 2, max(0, c - 1) : c + 2].mean(axis=(0, 1)) for r in range(3) for c in range(3)
        ]
        return np.stack(each)

    bank = np.concatenate([averaged(values) for _, _, values in _pictures(train)])
    distances, scores = [], []
    for _, _, values in _pictures(test):
        every = np.linalg.norm(averaged(values)[:, None] - bank, axis=2)
        nearest = every.min(axis=1)
        patch, place = nearest.argmax(), every[nearest.argmax()].argmin()
        around = np.linalg.norm(bank - bank[place], axis=1).argsort()[:9]
        weight = 1 - np.exp(nearest[patch]) / np.exp(every[patch, around]).sum()
        distances.append(nearest)
        scores.append(weight * nearest[patch])
    _assert_scores(_predicted(_recipe("patchcore"), train, test), test, distances, scores=scores)


def test_subspace_has_the_residual_of_scikit_learn_s_components() -> None:
    train, test = _rows()
    components = PCA(n_components=0.9, svd_solver="full").fit(
        np.concatenate([values for _, _, values in _pictures(train)])
    )
    assert 1 <= components.n_components_ < 5
    distances = []
    for _, _, values in _pictures(test):
        seen = components.inverse_transform(components.transform(values))
        distances.append(np.square(values - seen).sum(axis=1))
    scores = [np.sort(found)[-2:].mean() for found in distances]  # 20 % of 9
    _assert_scores(
        _predicted(_recipe("subspace", variance=0.9, top_percent=20), train, test), test, distances, scores=scores
    )


def test_a_subspace_keeps_its_digits_beside_a_large_offset() -> None:
    train, test = _rows()
    near = _predicted(_recipe("subspace", variance=0.9), train, test).score
    moved = [Batch({ARRAY: rows.features[ARRAY] + 300, VIEWS: rows.features[VIEWS]}) for rows in (train, test)]
    torch.testing.assert_close(_predicted(_recipe("subspace", variance=0.9), *moved).score, near, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("places", ["by_view", "shared"])
def test_padim_has_a_gaussian_for_each_place(places: str) -> None:
    train, test = _rows()
    covariances, means = {}, {}
    for view in range(2):
        for place in range(9):
            of_place = np.stack([v[place] for _, other, v in _pictures(train) if places == "shared" or other == view])
            means[view, place], covariances[view, place] = of_place.mean(axis=0), np.cov(of_place.T)
    regular = 0.01 * np.mean([np.diag(covariance).mean() for covariance in covariances.values()]) * np.eye(5)
    distances = []
    for _, view, values in _pictures(test):
        moved = [values[place] - means[view, place] for place in range(9)]
        inverses = [np.linalg.inv(covariances[view, place] + regular) for place in range(9)]
        distances.append(np.sqrt([m @ inverse @ m for m, inverse in zip(moved, inverses, strict=True)]))
    scores = [found.max() for found in distances]
    _assert_scores(_predicted(_recipe("padim", places=places), train, test), test, distances, scores=scores)


def test_padim_looks_at_as_many_numbers_as_are_drawn_and_not_at_places_that_it_never_saw(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lengths = torch.tensor([4, 4, 3, 4], dtype=torch.int32)
    train = Batch({"audio/tokens": torch.randn(4, 6, 8), "audio/tokens_length": lengths})
    recipe = _recipe("padim", array="audio/tokens", dims=3)
    model = recipe.build({"audio/tokens": (6, 8), "audio/tokens_length": ()})
    recipe.fit(model, [train], torch.Generator().manual_seed(0))
    assert model.get_buffer("chosen").shape == (3,) and "4 of 6 places" in capsys.readouterr().err
    test = Batch({"audio/tokens": torch.randn(2, 6, 8), "audio/tokens_length": torch.tensor([6, 2], dtype=torch.int32)})
    prediction = recipe.predict(model, recipe.encode(model, test, None))
    assert prediction.maps["distance"].isfinite().sum(dim=1).tolist() == [4, 2] and prediction.score.isfinite().all()


def test_padim_refuses_numbers_that_vectors_do_not_have() -> None:
    recipe = _recipe("padim", dims=3)
    model = recipe.build(SHAPES)
    recipe.fit(model, [patches(9, seed=0)], torch.Generator().manual_seed(0))
    tensors = {**model.state_dict(), "chosen": torch.tensor([0, 1, 8])}
    with pytest.raises(ValueError, match="8"):
        model.load_state_dict(tensors)


def test_mh_patchcore_whitens_by_the_shrunk_spread_of_the_components() -> None:
    train, test = _rows()
    every = np.concatenate([values for _, _, values in _pictures(train)])
    variances, directions = np.linalg.eigh(np.cov(every.T, bias=True))
    variances, directions = variances[::-1], directions[:, ::-1]
    kept = int(np.searchsorted(variances.cumsum() / variances.sum(), 0.9)) + 1
    shrunk = 0.8 * variances[:kept] + 0.2 * variances[:kept].mean()
    bank = every @ directions[:, :kept] / np.sqrt(shrunk)
    distances = [
        np.linalg.norm((values @ directions[:, :kept] / np.sqrt(shrunk))[:, None] - bank, axis=2).min(axis=1)
        for _, _, values in _pictures(test)
    ]
    recipe = _recipe("mh_patchcore", variance=0.9, shrinkage=0.2, neighbourhood=1)
    _assert_scores(_predicted(recipe, train, test), test, distances, scores=[found.max() for found in distances])


@pytest.mark.parametrize("whole", ["mean", CLS])
def test_positional_nearest_looks_around_the_place_in_the_most_alike_pictures(whole: str) -> None:
    train, test = _rows()
    if whole == CLS:
        for rows in (train, test):
            rows.features[CLS] = rows.features[ARRAY].flip(2)[:, :, 3]  # some patch or other

    def unit(values: np.ndarray) -> np.ndarray:
        return values / np.linalg.norm(values, axis=-1, keepdims=True)

    def vector(values: np.ndarray) -> np.ndarray:
        return unit(values.mean(axis=0) if whole == "mean" else values[::-1][3])

    bank = np.stack([values for _, _, values in _pictures(train)])
    distances = []
    for _, _, values in _pictures(test):
        alike = (np.stack([vector(each) for each in bank]) @ vector(values)).argsort()[-4:]
        found = []
        for place, patch in enumerate(unit(values)):
            around = [p for p in range(9) if abs(p // 3 - place // 3) <= 1 and abs(p % 3 - place % 3) <= 1]
            found.append(1 - (unit(bank[alike][:, around]) @ patch).max())
        distances.append(np.array(found))
    recipe = _recipe("positional_nearest", pictures=4, whole=whole, top_percent=1)
    _assert_scores(_predicted(recipe, train, test), test, distances, scores=[found.max() for found in distances])


def test_alike_pictures_are_found_by_the_cls_where_the_store_has_it() -> None:
    section = RECIPES.section("positional_nearest").model_validate(
        {"array": FINE, "beside": ["image/last/patch_tokens"]}
    )
    assert section.for_store([FINE, COARSE, CLS]).whole == CLS and section.for_store([FINE, COARSE]).whole == "mean"


def test_superadd_takes_the_mean_over_blocks_of_each_one_s_nearest() -> None:
    train, test = _two_blocks(9, seed=0), _two_blocks(4, seed=1)
    prediction = _predicted(_recipe("superadd", array=FINE, beside=[COARSE]), train, test)
    each = [_predicted(_recipe("superadd", array=FINE), train, test).maps["distance"]]
    recipe = _recipe("superadd", array=FINE, beside=[COARSE])
    seen = [recipe.blocks(rows)[0][1] for rows in (train, test)]
    alone = [
        Batch({COARSE: seen[at], SEEN.replace("3", "5"): rows.features[SEEN]}) for at, rows in enumerate((train, test))
    ]
    each.append(_predicted(_recipe("superadd", array=COARSE), *alone).maps["distance"])
    torch.testing.assert_close(prediction.maps["distance"], torch.stack(each).mean(dim=0), equal_nan=True)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("subspace", "padim")])
def test_memory_is_bounded_and_that_is_said(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _predicted(_recipe(name, bank=20), patches(60, seed=0), patches(3, seed=1))
    assert "holds 20 of" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["subspace", "padim", "mh_patchcore"])
def test_patches_that_are_all_alike_are_refused(name: str) -> None:
    rows = patches(9, seed=0)
    rows.features[ARRAY][:] = 1.0
    with pytest.raises(TrainingError, match=r"recipe\.array"):
        _predicted(_recipe(name), rows, rows)


def test_blocks_of_unlike_widths_have_no_mean() -> None:
    with pytest.raises(SettingsError, match="6, 4"):
        _recipe("subspace", array=FINE, beside=[COARSE]).build({**TWO_BLOCKS, COARSE: (2, 4, 4)})


@pytest.mark.parametrize("name", NAMES)
def test_one_vector_a_sample_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="video/embedding"):
        _recipe(name, array="video/embedding").build({"video/embedding": (8,)})


def test_what_is_around_is_averaged_within_the_picture_and_among_real_steps() -> None:
    maps = torch.arange(9.0).reshape(1, 1, 9, 1)
    assert averaged_patches(maps, size=3).flatten().tolist() == [2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0]
    steps = torch.tensor([1.0, 3.0, 8.0, torch.inf]).reshape(1, 4, 1)
    real = torch.tensor([[True, True, True, False]])
    assert averaged_steps(steps, real, size=3).flatten()[:3].tolist() == [2.0, 4.0, 5.5]
