"""Detectors fitted together: scores in the units of new normals, of rows that may lack what some members look at."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from weldcache.errors import SettingsError, TooFewSamplesError, TrainingError
from weldcache.testing.recipes import RecipeContract
from weldcache.tests.train.recipes.test_match import FILM, PICTURES, SHAPES, SOUND, VIEWS, welds
from weldcache.train.nn.joined_scores import NU, FusedBy, JoinedScores, ScoreMoments, combined
from weldcache.train.recipes.match_fusion import MatchFusionRecipe, MatchFusionSettings, match_fusion
from weldcache.train.types import Batch, Shapes

MATCH = {"name": "match", "process": [FILM, SOUND], "result": [PICTURES]}
MEMBERS = {
    "film": {"name": "gaussian", "array": FILM},
    "sound": {"name": "nearest", "array": SOUND, "metric": "l2"},
    "pictures": {"name": "gaussian", "array": PICTURES},
    "match": MATCH,
}


TWO = {
    "wide": {"name": "gaussian", "array": FILM},
    "narrow": {"name": "nearest", "array": SOUND, "metric": "l2"},
}


def recipe(members: dict[str, object] | None = None, **settings: object) -> MatchFusionRecipe:
    return match_fusion(MatchFusionSettings.model_validate({"members": members or MEMBERS, **settings}))


def with_presence(rows: Batch, **lacking: list[int]) -> Batch:
    """The rows, of which some lack a feature set and hold zeros there."""
    sets = {"film": "film", "sound": "sound", "pictures": "picture/block_2"}
    present = {name: torch.ones(len(rows), dtype=torch.bool) for name in sets.values()}
    features = dict(rows.features)
    for modality, places in lacking.items():
        present[sets[modality]][places] = False
        for name in [name for name in features if name.startswith(f"{sets[modality]}/")]:
            features[name] = features[name].clone()
            features[name][places] = 0
    return Batch(features, present)


class TestExcess(RecipeContract):
    shapes: ClassVar[Shapes] = SHAPES

    def recipe(self) -> MatchFusionRecipe:
        return recipe()

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return with_presence(welds(num, seed=seed, unusual=unusual), film=[1], sound=[2, 4])


class TestSum(TestExcess):
    def recipe(self) -> MatchFusionRecipe:
        return recipe(combine="sum")


class TestBoundary(TestExcess):
    def recipe(self) -> MatchFusionRecipe:
        return recipe(combine="svm")


def _fitted(chosen: MatchFusionRecipe, rows: Batch, *, shapes: Shapes = SHAPES) -> JoinedScores:
    model = chosen.build(shapes)
    parts = [
        Batch(
            {name: values[start : start + 25] for name, values in rows.features.items()},
            {name: values[start : start + 25] for name, values in rows.present.items()},
        )
        for start in range(0, len(rows), 25)
    ]
    chosen.fit(model, parts, torch.Generator().manual_seed(0))
    return model


def _gaussians(num: int, *, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(num, 1))
    wide, narrow = shared + rng.normal(size=(num, 40)), 3 * shared + rng.normal(size=(num, 5))
    return with_presence(Batch({FILM: torch.from_numpy(wide).float(), SOUND: torch.from_numpy(narrow).float()}))


def test_new_normals_have_standard_scores_of_mean_0_and_deviation_1() -> None:
    """Of 120 rows in 40 dimensions; by the distances of the rows themselves the mean would be near 2."""
    members = {
        "wide": {"name": "gaussian", "array": FILM},
        "wide_nearest": {"name": "nearest", "array": FILM, "metric": "l2"},
        "narrow": {"name": "gaussian", "array": SOUND},
    }
    chosen, shapes = recipe(members, combine="sum"), {FILM: (40,), SOUND: (5,)}
    model = _fitted(chosen, _gaussians(120, seed=0), shapes=shapes)
    prediction = chosen.predict(model, chosen.encode(model, _gaussians(4000, seed=1), None))
    each = prediction.outputs["members"]
    assert each.mean(dim=0).abs().max() < 0.3 and (each.std(dim=0) - 1).abs().max() < 0.25
    assert prediction.score.mean().abs() < 0.3 and abs(prediction.score.std() - 1) < 0.25
    assert model.correlation[0, 1] > 0.5  # the same vectors: the sum of the two spreads by more than root 2


@pytest.mark.parametrize("combine", ["excess", "sum"])
def test_a_member_that_a_row_has_nothing_for_is_left_out_and_the_scale_stays(combine: str) -> None:
    chosen = recipe(combine=combine)
    model = _fitted(chosen, with_presence(welds(200, seed=0)))
    normal = welds(600, seed=1)
    whole = chosen.predict(model, chosen.encode(model, with_presence(normal), None))
    lacking = chosen.predict(model, chosen.encode(model, with_presence(normal, sound=list(range(600))), None))
    assert not whole.outputs["members"].isnan().any()
    without = lacking.outputs["members"]
    assert without[:, [1, 3]].isnan().all() and torch.equal(without[:, [0, 2]], whole.outputs["members"][:, [0, 2]])
    for score in (whole.score, lacking.score):
        if combine == "sum":
            assert score.mean().abs() < 0.3 and abs(score.std() - 1) < 0.25
        else:  # half of a standard normal's square lies above its mean
            assert score.square().mean() == pytest.approx(0.5, abs=0.15)


def test_the_match_alone_finds_what_each_side_takes_for_usual() -> None:
    chosen = recipe()
    model = _fitted(chosen, with_presence(welds(200, seed=0)))
    rows = with_presence(welds(100, seed=1, unusual=True))
    standard = chosen.predict(model, chosen.encode(model, rows, None)).outputs["members"]
    assert (standard[:, 3] > 3).all()
    assert (standard[:, :3] < 3).double().mean() > 0.95


def test_one_strange_member_is_heard_by_excess_and_dilutes_in_a_sum() -> None:
    standard = torch.tensor([[4.0, -1.0, -1.0, -1.0], [1.5, 1.5, 1.5, 1.5], [torch.nan, 3.0, torch.nan, 4.0]])
    excess, total = (
        JoinedScores(nn.ModuleList([nn.Identity()] * 4), combine=way)(standard) for way in ("excess", "sum")
    )
    torch.testing.assert_close(excess, torch.tensor([2.0, 1.5, 12.5**0.5]))
    torch.testing.assert_close(total, torch.tensor([0.5, 3.0, 7 / 2**0.5]))


def test_rows_without_a_modality_are_learned_from_by_the_others() -> None:
    rows = with_presence(welds(200, seed=0), sound=list(range(150, 200)))
    model = _fitted(recipe(), rows)
    assert model.known.all() and len(model.members[1].bank) == 150


def test_a_modality_that_hardly_any_row_has_takes_no_part(capsys: pytest.CaptureFixture[str]) -> None:
    rows, chosen = with_presence(welds(60, seed=0), sound=list(range(5, 60))), recipe()
    model = _fitted(chosen, rows)
    assert model.known.tolist() == [True, False, True, False]
    assert "sound takes no part" in capsys.readouterr().err
    score = chosen.predict(model, chosen.encode(model, with_presence(welds(20, seed=1)), None)).score
    assert score.isfinite().all()


def test_all_that_few_rows_ask_for_is_told_at_once() -> None:
    """15 rows are 7 folds, without one of which match has 12 rows for folds of its own."""
    members = {**MEMBERS, "match": {**MATCH, "folds": 14}}
    with pytest.raises(TrainingError, match=r"lower recipe\.folds to 7.*recipe\.members\.match\.folds = 14"):
        _fitted(recipe(members), with_presence(welds(15, seed=0)))
    _fitted(recipe(folds=7), with_presence(welds(15, seed=0)))
    with pytest.raises(TooFewSamplesError, match="2 folds take 4"):
        _fitted(recipe(), with_presence(welds(3, seed=0)))


def test_all_members_that_cannot_be_fitted_are_named_and_how_to_do_without_them() -> None:
    rows = with_presence(welds(60, seed=0))
    still = Batch(
        {name: torch.ones_like(values) if name in (FILM, SOUND) else values for name, values in rows.features.items()},
        rows.present,
    )
    members = {**MEMBERS, "sound": {"name": "gaussian", "array": SOUND}}
    with pytest.raises(TrainingError) as told:
        _fitted(recipe(members), still)
    for member in ("film", "sound"):
        assert f"recipe.members.{member}.array" in str(told.value)
        assert f"--set recipe.members.{member}=null" in str(told.value)
    assert "pictures" not in str(told.value)


def test_only_sets_that_a_member_is_content_with_are_optional() -> None:
    assert set(recipe().needs().optional) == {"film", "sound", "picture/block_2"}
    assert set(recipe({"film": MEMBERS["film"], "match": MATCH}).needs().optional) == {"film"}
    assert VIEWS in [request.name for request in recipe().needs().features]


def test_members_choose_among_what_a_store_holds() -> None:
    settings = MatchFusionSettings.model_validate({"members": {"some": {"name": "gaussian"}, "match": MATCH}})
    needs = match_fusion(settings.for_store([SOUND])).needs()
    assert "sound" in needs.optional


def test_figures_of_the_members_are_told() -> None:
    chosen = recipe()
    figures = chosen.figures(_fitted(chosen, with_presence(welds(100, seed=0))))
    assert figures.keys() == {"match/explained_variance"} and figures["match/explained_variance"] > 0.8


@pytest.mark.parametrize(
    ("members", "message"),
    [({"film": MEMBERS["film"]}, "--config match"), ({**MEMBERS, "ae": {"name": "video_ae"}}, r"members\.ae")],
)
def test_members_are_two_at_least_and_fitted(members: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        recipe(members)


def test_members_settings_are_named_as_they_are_set_here() -> None:
    chosen = recipe({"film": MEMBERS["film"], "match": {**MATCH, "folds": 50}})
    advice = chosen.advice(["sound"], held=["film"])
    assert "recipe.members.match" in advice and "recipe.members.film" not in advice
    with pytest.raises(SettingsError, match=r"recipe\.members\.film\.array="):
        chosen.build({**SHAPES, FILM: ()})
    with pytest.raises(TooFewSamplesError, match=r"recipe\.members\.match\.folds = 50"):
        _fitted(chosen, with_presence(welds(40, seed=0)))
    rows = with_presence(welds(60, seed=0))
    rows.features[SOUND][3, 2] = torch.nan
    with pytest.raises(TrainingError, match=r"recipe\.members\.match\.process="):
        _fitted(chosen, rows)


def test_only_a_sum_measures_how_scores_correlate() -> None:
    rows = with_presence(welds(100, seed=0))
    assert torch.equal(_fitted(recipe(), rows).correlation, torch.eye(4))
    assert not torch.equal(_fitted(recipe(combine="sum"), rows).correlation, torch.eye(4))


def test_moments_are_those_of_numpy_over_the_rows_that_have_both() -> None:
    rng = np.random.default_rng(0)
    scores = 1e4 + rng.normal(size=(50, 1)) + rng.normal(size=(50, 3))
    scores[:10, 1] = np.nan
    moments = ScoreMoments(3)
    for part in np.split(scores, 5):
        moments.add(torch.from_numpy(part))
    np.testing.assert_allclose(moments.mean, np.nanmean(scores, axis=0), rtol=1e-10)
    np.testing.assert_allclose(moments.std, np.nanstd(scores, axis=0), rtol=1e-6)
    assert moments.count.tolist() == [50, 40, 50]
    expected = np.corrcoef(scores[:, 0], scores[:, 2])[0, 1]
    np.testing.assert_allclose(moments.correlation[0, 2], expected, rtol=1e-6)
    partly = np.cov(scores[10:, :2].T, bias=True)[0, 1] / np.prod(np.nanstd(scores[:, :2], axis=0))
    np.testing.assert_allclose(moments.correlation[0, 1], partly, rtol=1e-6)


def test_ways_to_combine_take_the_scores_that_a_row_has() -> None:
    nan = torch.nan
    standard = torch.tensor([[4.0, -1.0, 0.0], [1.0, nan, 3.0], [nan, nan, nan]])
    mean, std = torch.tensor([2.0, 5.0, 1.0]), torch.tensor([1.0, 2.0, 0.5])
    expected: dict[FusedBy, list[float]] = {
        "mean": [1.0, 2.0],
        "min": [-1.0, 1.0],
        "max": [4.0, 3.0],
        "product": [(3.0 * 0.6 * 1.0) ** (1 / 3), (1.5 * 2.5) ** 0.5],  # of 6, 3, 1 over the means, and of 3 and 2.5
    }
    for by, scores in expected.items():
        found = combined(standard, by, mean=mean, std=std)
        torch.testing.assert_close(found[:2], torch.tensor(scores))
        assert found[2].isnan()


def test_a_boundary_leaves_as_many_new_normals_outside_as_of_held_out_ones() -> None:
    chosen = recipe(TWO, combine="svm")
    model = _fitted(chosen, _gaussians(200, seed=0), shapes={FILM: (40,), SOUND: (5,)})
    score = chosen.predict(model, chosen.encode(model, _gaussians(2000, seed=1), None)).score
    assert float((score > 0).double().mean()) == pytest.approx(NU, abs=0.06)


def test_a_product_of_scores_that_count_from_a_boundary_is_refused() -> None:
    members = {**TWO, "svm": {"name": "one_class_svm", "array": SOUND}}
    with pytest.raises(TrainingError, match=r"recipe\.members\.svm=null"):
        _fitted(recipe(members, combine="product"), _gaussians(60, seed=0), shapes={FILM: (40,), SOUND: (5,)})


BANKS = {
    "film": {"name": "nearest", "array": FILM, "metric": "l2", "k": 2},
    "sound": {"name": "nearest", "array": SOUND},
}


def test_by_leave_one_out_units_are_those_of_each_sample_among_the_others() -> None:
    rows, shapes = _gaussians(40, seed=0), {FILM: (40,), SOUND: (5,)}
    model = _fitted(recipe(BANKS, units="leave_one_out"), rows, shapes=shapes)
    film = rows.features[FILM]
    apart = torch.cdist(film, film).fill_diagonal_(torch.inf).sort(dim=1).values[:, :2].mean(dim=1)
    torch.testing.assert_close(model.mean[0], apart.mean(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.std[0], apart.std(correction=0), rtol=1e-3, atol=1e-4)
    assert model.known.all()
    # New normals have one neighbour more to be near to, which is as good as nothing.
    chosen = recipe(BANKS, units="leave_one_out", combine="min")
    fitted = _fitted(chosen, _gaussians(200, seed=0), shapes=shapes)
    each = chosen.predict(fitted, chosen.encode(fitted, _gaussians(1000, seed=1), None)).outputs["members"]
    assert each.mean(dim=0).abs().max() < 0.3 and (each.std(dim=0) - 1).abs().max() < 0.3


@pytest.mark.parametrize(
    ("members", "settings", "message"),
    [
        (MEMBERS, {}, r"recipe\.members\.film is gaussian"),
        (BANKS, {"combine": "sum"}, r"recipe\.combine=sum"),
        (BANKS, {"combine": "svm"}, r"recipe\.combine=svm"),
        ({**BANKS, "sound": {**BANKS["sound"], "vectors": "each"}}, {}, r"recipe\.members\.sound\.vectors"),
        ({**BANKS, "sound": {**BANKS["sound"], "density_neighbours": 2}}, {}, r"members\.sound\.density_neighbours"),
    ],
)
def test_leave_one_out_is_for_members_that_keep_samples(
    members: dict[str, object], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        chosen = recipe(members, units="leave_one_out", **settings)
        _fitted(chosen, _gaussians(40, seed=0), shapes={FILM: (40,), SOUND: (5,)})
