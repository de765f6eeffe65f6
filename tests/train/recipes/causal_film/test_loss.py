"""Causal-FiLM's loss: its terms, and which modules each kind of target teaches."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from weldcache.cache.store import FeatureStore
from weldcache.train.recipes.causal_film.module import StandardisedCausalFilm
from weldcache.train.recipes.causal_film.recipe import CausalFilmRecipe
from weldcache.train.recipes.causal_film.result import ResultEncoder
from weldcache.train.types import Batch, mapped

MakeFilm = Callable[..., tuple[CausalFilmRecipe, StandardisedCausalFilm]]

TEXT = "text/prompt"
BLOCKS = ("image/block_2", "image/block_6")


def losses_of(made: tuple[CausalFilmRecipe, StandardisedCausalFilm], film_batch: Batch) -> dict[str, Tensor]:
    recipe, film = made
    losses = recipe.loss(film, recipe.encode(film, film_batch, None), {})
    return {"total": losses.total, **losses.terms}


def test_the_total_is_the_weighted_sum_of_its_terms(make_film: MakeFilm, film_batch: Batch) -> None:
    _, film = made = make_film(cosine=2.0, l1=3.0, gram=5.0, text=7.0, variance=11.0)
    losses = losses_of(made, film_batch)
    expected = 2 * losses["cosine"] + 3 * losses["l1"] + 5 * losses["gram"] + 7 * losses["text"]
    expected = expected + 11 * losses["variance"] + 1e-4 * losses["absent"]
    torch.testing.assert_close(losses["total"], expected)
    output = film(film.inputs(film_batch))
    torch.testing.assert_close(losses["l1"], (output.z_pred - output.z_result).abs().mean())


@pytest.mark.parametrize("missing", ["token", "leave_out"])
def test_terms_without_weight_are_not_computed(make_film: MakeFilm, film_batch: Batch, missing: str) -> None:
    absent = {"absent"} if missing == "token" else set()
    every = {"cosine": 1.0, "l1": 1.0, "gram": 1.0, "text": 1.0, "variance": 1.0}
    assert losses_of(make_film({"missing": missing}, **every), film_batch).keys() == {"total", *every} | absent
    for name in every:
        losses = losses_of(make_film({"missing": missing}, **(dict.fromkeys(every, 0.0) | {name: 1.0})), film_batch)
        assert losses.keys() == {"total", name} | absent


def test_the_text_anchor_is_the_stores(make_film: MakeFilm, film_batch: Batch, toy_store: FeatureStore) -> None:
    _, film = made = make_film(text=0.1)
    assert film.text_anchor.tolist() == toy_store.constant(TEXT).tolist()
    predicted = film.film.text_head(film(film.inputs(film_batch)).z_pred).detach().numpy()
    anchor = toy_store.constant(TEXT)
    cosines = predicted @ anchor / np.linalg.norm(predicted, axis=1) / np.linalg.norm(anchor)
    assert losses_of(made, film_batch)["text"].item() == pytest.approx(float(1 - cosines.mean()), rel=1e-4)


def test_without_text_loss_nothing_of_text_is_needed(make_film: MakeFilm, film_batch: Batch) -> None:
    recipe, film = made = make_film(text=0)
    assert recipe.needs().constants == ()
    assert "text" not in losses_of(made, film_batch)
    assert not list(film.film.text_head.parameters())


@pytest.mark.parametrize(("d_model", "forced", "num_parameters"), [(24, False, 0), (24, True, 600), (16, False, 408)])
def test_the_text_head_is_there_where_widths_differ_or_it_is_asked_for(
    make_film: MakeFilm, d_model: int, forced: bool, num_parameters: int
) -> None:
    """The text vector is 24 wide: 24 x 24 + 24 = 600 parameters, 16 x 24 + 24 = 408."""
    _, film = make_film({"d_model": d_model, "text_head": forced})
    assert sum(parameter.numel() for parameter in film.film.text_head.parameters()) == num_parameters


def test_kinds_of_terms_differ(make_film: MakeFilm, film_batch: Batch) -> None:
    l1 = [
        float(losses_of(make_film(l1_kind=kind), film_batch)["l1"].detach()) for kind in ("smooth_l1", "l1", "topk_l1")
    ]
    assert l1 == sorted(l1) and len(set(l1)) == 3
    over_batch, over_features = (
        losses_of(make_film(gram_over=axis), film_batch)["gram"] for axis in ("batch", "features")
    )
    assert not torch.equal(over_batch, over_features)


def gradients_by(term: str, made: tuple[CausalFilmRecipe, StandardisedCausalFilm], batch: Batch) -> set[str]:
    """Parts of the model that a term gives a gradient."""
    recipe, film = made
    film.zero_grad()
    recipe.loss(film, recipe.encode(film, batch, None), {}).terms[term].backward()
    parts = dict(film.film.named_children())
    reached = {
        name
        for name, part in parts.items()
        if any(p.grad is not None and p.grad.count_nonzero() > 0 for p in part.parameters())
    }
    return reached - {"video_projector", "audio_projector", "sensor_modulator", "process_encoder"}


@pytest.mark.parametrize("term", ["cosine", "l1", "gram"])
@pytest.mark.parametrize(
    ("target", "taught"),
    [
        ("joint", {"decoder", "result_encoder"}),
        ("stop_gradient", {"decoder"}),
        ("ema", {"decoder", "result_encoder"}),
    ],
)
def test_each_kind_of_target_teaches_what_it_says(
    make_film: MakeFilm, film_batch: Batch, target: str, taught: set[str], term: str
) -> None:
    assert gradients_by(term, make_film(target=target), film_batch) == taught


@pytest.mark.parametrize("target", ["joint", "stop_gradient", "ema"])
def test_the_variance_term_teaches_the_result_encoder_alone(
    make_film: MakeFilm, film_batch: Batch, target: str
) -> None:
    made = make_film(target=target, variance=1.0, variance_std=10.0)
    assert gradients_by("variance", made, film_batch) == {"result_encoder"}


def test_the_term_of_the_absent_result_teaches_its_token_alone(make_film: MakeFilm, film_batch: Batch) -> None:
    recipe, film = made = make_film()
    assert gradients_by("absent", made, film_batch) == {"absent"}
    assert film.film.absent is not None
    assert film.film.absent.video.grad is None and film.film.absent.audio.grad is None
    z_pred, token = recipe.encode(film, film_batch, None)["z_pred"], film.film.absent.z_result()
    torch.testing.assert_close(losses_of(made, film_batch)["absent"], (z_pred - token).abs().mean())


def test_the_absent_result_arrives_at_the_typical_prediction_within_a_training(
    make_film: MakeFilm, film_batch: Batch
) -> None:
    """At the published model's learning rate, in half of its 1,800 steps: over all of them the rate is half as high."""
    recipe, film = make_film(cosine=0, gram=0, text=0)
    encodings = {name: encoding.detach() for name, encoding in recipe.encode(film, film_batch, None).items()}
    assert film.film.absent is not None
    optimizer = torch.optim.AdamW(film.film.absent.parameters(), lr=2e-5)
    for _ in range(900):
        optimizer.zero_grad()
        recipe.loss(film, encodings, {}).total.backward()
        optimizer.step()
    typical = encodings["z_pred"].quantile(0.5, dim=0)
    assert (film.film.absent.z_result() - typical).abs().mean() < 0.2 * typical.abs().mean()


def test_an_ema_target_counts_both_distances(make_film: MakeFilm, film_batch: Batch) -> None:
    recipe, film = made = make_film(target="ema")
    with torch.no_grad():
        for parameter in film.film.target_encoder.parameters():  # type: ignore[union-attr]
            parameter.mul_(1.5)
    encodings = recipe.encode(film, film_batch, None)
    assert not torch.allclose(encodings["z_target"], encodings["z_result"])
    distances = [(encodings["z_pred"] - encodings[name]).abs().mean() for name in ("z_target", "z_result")]
    torch.testing.assert_close(losses_of(made, film_batch)["l1"], distances[0] + distances[1])


def test_with_an_ema_target_each_side_is_drawn_to_its_own(make_film: MakeFilm) -> None:
    """The prediction, 0, to the target at -1; the result, 2, to the prediction: both go down, by 1 / (rows x width)."""
    recipe, film = make_film(target="ema", cosine=0, gram=0, text=0)
    z_pred, z_result = (torch.full((5, 16), value, requires_grad=True) for value in (0.0, 2.0))
    encodings = {"z_pred": z_pred, "z_result": z_result, "z_target": torch.full((5, 16), -1.0)}
    recipe.loss(film, encodings, {}).terms["l1"].backward()
    assert z_pred.grad is not None and z_result.grad is not None
    torch.testing.assert_close(z_pred.grad, torch.full((5, 16), 1 / 80))
    torch.testing.assert_close(z_result.grad, torch.full((5, 16), 1 / 80))


def weights_of(encoder: ResultEncoder | torch.nn.Module | None) -> list[Tensor]:
    assert encoder is not None
    return [parameter.detach().clone() for parameter in encoder.parameters()]


def test_the_target_moves_by_a_step_at_each_training_batch_and_at_no_other(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator
) -> None:
    recipe, film = make_film(target="ema", target_decay=0.75)
    with torch.no_grad():
        for parameter in film.film.result_encoder.parameters():
            parameter.add_(1.0)
    online, before = weights_of(film.film.result_encoder), weights_of(film.film.target_encoder)
    recipe.encode(film, film_batch, None)
    assert all(map(torch.equal, weights_of(film.film.target_encoder), before))
    recipe.encode(film, film_batch, generator)
    for now, was, followed in zip(weights_of(film.film.target_encoder), before, online, strict=True):
        torch.testing.assert_close(now, 0.75 * was + 0.25 * followed)
    assert all(map(torch.equal, weights_of(film.film.result_encoder), online))
    assert "film.target_encoder.average.head.0.weight" in film.state_dict()


def test_the_score_looks_at_the_result_itself_not_at_the_target(make_film: MakeFilm, film_batch: Batch) -> None:
    recipe, film = make_film(target="ema")
    encodings = recipe.encode(film, film_batch, None)
    moved = {**encodings, "z_target": encodings["z_target"] + 1}
    assert torch.equal(recipe.predict(film, moved).score, recipe.predict(film, encodings).score)
    assert not torch.equal(recipe.loss(film, moved, {}).total, recipe.loss(film, encodings, {}).total)


def test_rows_without_a_result_enter_no_term_that_looks_at_results(make_film: MakeFilm, film_batch: Batch) -> None:
    made = make_film(variance=1.0, variance_std=10.0)
    present = torch.tensor([True] * 6 + [False] * 4)
    partial = losses_of(made, film_batch.beside(Batch({}, dict.fromkeys(BLOCKS, present))))
    six = losses_of(made, mapped(lambda values: values[:6], film_batch))
    every = losses_of(made, film_batch)
    for name in ("cosine", "l1", "gram", "variance"):
        torch.testing.assert_close(partial[name], six[name])
    for name in ("text", "absent"):
        torch.testing.assert_close(partial[name], every[name])


def test_a_batch_without_any_result_is_finite(make_film: MakeFilm, film_batch: Batch) -> None:
    recipe, film = make_film(target="ema", variance=1.0)
    encodings = recipe.encode(film, film_batch.without(BLOCKS), None)
    losses = recipe.loss(film, encodings, {})
    assert losses.total.isfinite() and all(loss.isfinite() for loss in losses.terms.values())
    assert losses.terms["cosine"] == losses.terms["l1"] == losses.terms["gram"] == 0
    losses.total.backward()
    assert all(p.grad.isfinite().all() for p in film.parameters() if p.grad is not None)
    assert losses.watched["z_result"].isnan().all() and losses.watched["z_pred"].isfinite().all()


def test_only_rows_that_have_a_result_are_watched_for_its_collapse(make_film: MakeFilm, film_batch: Batch) -> None:
    recipe, film = make_film()
    present = torch.arange(10) != 3
    partial = film_batch.beside(Batch({}, {BLOCKS[1]: present}))
    watched, every = (
        recipe.loss(film, recipe.encode(film, batch, None), {}).watched for batch in (partial, film_batch)
    )
    torch.testing.assert_close(watched["z_result"][present], every["z_result"][present])
    assert watched["z_result"][~present].isnan().all()
    torch.testing.assert_close(watched["z_pred"], every["z_pred"])
