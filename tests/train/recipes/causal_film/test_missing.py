"""Welds that lack a modality, on cached features: statistics, presence, scores."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from weldcache.train.recipes.causal_film.module import StandardisedCausalFilm
from weldcache.train.recipes.causal_film.recipe import CausalFilmRecipe
from weldcache.train.types import Batch, mapped

MakeFilm = Callable[..., tuple[CausalFilmRecipe, StandardisedCausalFilm]]

HAVE = torch.arange(10) % 3 > 0
SETS = {"video": ["video"], "audio": ["audio"], "image": ["image/block_2", "image/block_6"], "sensor": ["sensor"]}


def lacking(batch: Batch, *feature_sets: str) -> Batch:
    """The batch as a store gives it where every third row lacks these: zeros, and said to be absent."""
    zeros = {}
    for name, values in batch.features.items():
        if name.rpartition("/")[0] in feature_sets:
            zeros[name] = values.clone()
            zeros[name][~HAVE] = 0
    return batch.beside(Batch(zeros, dict.fromkeys(feature_sets, HAVE)))


def scores_of(made: tuple[CausalFilmRecipe, StandardisedCausalFilm], batch: Batch) -> Tensor:
    recipe, film = made
    return recipe.predict(film, recipe.encode(film, batch, None)).score


@pytest.mark.parametrize("modality", SETS)
def test_a_row_without_a_modality_scores_and_leaves_the_others_alone(
    make_film: MakeFilm, film_batch: Batch, modality: str
) -> None:
    made = make_film()
    scores, partial = scores_of(made, film_batch), scores_of(made, lacking(film_batch, *SETS[modality]))
    assert partial.isfinite().all()
    torch.testing.assert_close(partial[HAVE], scores[HAVE])
    assert (partial[~HAVE] != scores[~HAVE]).all()


@pytest.mark.parametrize("block", SETS["image"])
def test_photographs_are_there_where_all_blocks_are(make_film: MakeFilm, film_batch: Batch, block: str) -> None:
    recipe, film = make_film()
    encodings = recipe.encode(film, lacking(film_batch, block), None)
    assert torch.equal(encodings["result_present"], HAVE.float())


def test_what_a_hidden_feature_set_holds_does_not_matter(make_film: MakeFilm, film_batch: Batch) -> None:
    """Leaving a modality out of evaluation hides it by its presence alone; its arrays stay as they are."""
    made = make_film({"standardise": True})
    for sets in SETS.values():
        hidden = film_batch.beside(Batch({}, dict.fromkeys(sets, HAVE)))
        torch.testing.assert_close(scores_of(made, hidden), scores_of(made, lacking(film_batch, *sets)))


def test_the_score_without_photographs_is_the_distance_from_the_absent_result(
    make_film: MakeFilm, film_batch: Batch
) -> None:
    recipe, film = make_film()
    assert film.film.absent is not None
    encodings = recipe.encode(film, lacking(film_batch, *SETS["image"]), None)
    token = film.film.absent.z_result().expand(10, -1)
    torch.testing.assert_close(encodings["z_result"][~HAVE], token[~HAVE])
    as_if = {**encodings, "z_result": token}
    torch.testing.assert_close(recipe.predict(film, encodings).score[~HAVE], recipe.predict(film, as_if).score[~HAVE])


def test_statistics_are_of_what_is_there(make_film: MakeFilm, film_batch: Batch) -> None:
    recipe, film = make_film({"standardise": True})
    every_set = [name for names in SETS.values() for name in names]
    recipe.measure(film, [lacking(film_batch, *every_set)], {})
    statistics = {
        name: tensor.clone() for name, tensor in film.state_dict().items() if name.endswith((".mean", ".std"))
    }
    assert len(statistics) == 10
    recipe.measure(film, [mapped(lambda values: values[HAVE], film_batch)], {})
    for name, expected in statistics.items():
        torch.testing.assert_close(film.state_dict()[name], expected)


def test_nobody_having_a_modality_leaves_it_as_it_is(make_film: MakeFilm, film_batch: Batch) -> None:
    made = recipe, film = make_film()
    nobody = film_batch.without(["sensor"])
    recipe.measure(film, [nobody], {})
    assert film.sensor is not None and film.sensor.std.tolist() == [1.0] * 6
    assert scores_of(made, nobody).isfinite().all()
