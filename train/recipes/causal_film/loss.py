"""Causal-FiLM's loss and score from its encodings, and which of its modules each kind of target teaches.

- joint: prediction and result are drawn to each other. Both learn, and a constant on both sides is a minimum.
- stop_gradient: only the prediction moves. The result encoder keeps its random start, but for the variance term.
- ema: the prediction is drawn to the slow target, and the result encoder to the prediction as it stands. A constant
  is still a minimum, but one to which the two sides cannot run at once. Each term is the sum of both distances, so that
  either side gets a gradient as large as from `joint`.

The variance term is the only one that a constant does not satisfy.

Rows may be weighted, 0 or 1 in practice: then a term is as if the rows of weight 0 were not in the batch, and 0 if none
is left. Weights instead of a choice of rows keep all shapes fixed, which a device can run without asking the host.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ...types import Encodings, Losses
from .module import StandardisedCausalFilm
from .settings import LossSettings

_ABSENT_WEIGHT = 1e-4  # Adam's steps do not depend on it; a large one would use up the limit of the gradient's norm
_VARIANCE_EPSILON = 1e-4  # of the floor's square, as in Bardes et al., whose floor is 1
_ERROR_WEIGHT = 10.0
_ERROR_FRACTION = 0.5


def film_losses(encodings: Encodings, *, model: StandardisedCausalFilm, settings: LossSettings) -> Losses:
    """The weighted sum of the terms that have a weight.

    Rows without photographs do not enter the terms that look at results. Where there are absent tokens, the term
    `absent` draws the one that stands for a result to all predictions, and nothing else.
    """
    numbers, terms = model.numbers, _prediction_terms(encodings, settings=settings)
    if settings.text > 0:
        predicted = model.film.text_head(encodings["z_pred"])
        terms["text"] = cosine_loss(predicted, model.text_anchor.unsqueeze(0))
    if settings.variance > 0:
        terms["variance"] = variance_loss(
            encodings["z_result"], floor=numbers["loss.variance_std"], weights=encodings.get("result_present")
        )
    weighted = [numbers[f"loss.{name}"] * term for name, term in terms.items()]
    if model.film.absent is not None:
        # No cosine distance here: its gradient is so steep near zero that Adam would hardly move the token afterwards.
        terms["absent"] = l1_loss(encodings["z_pred"].detach(), model.film.absent.z_result().unsqueeze(0))
        weighted.append(_ABSENT_WEIGHT * terms["absent"])
    return Losses(torch.stack(weighted).sum(), terms, _watched(encodings))


def _watched(encodings: Encodings) -> dict[str, Tensor]:
    """Z_result, of the rows that have a result, and Z_pred."""
    z_result = encodings["z_result"]
    if "result_present" in encodings:  # NaN in place of leaving rows out, for which the host would wait for the device
        z_result = z_result.detach().masked_fill(encodings["result_present"].unsqueeze(1) == 0, torch.nan)
    return {"z_result": z_result, "z_pred": encodings["z_pred"]}


def _prediction_terms(encodings: Encodings, *, settings: LossSettings) -> dict[str, Tensor]:
    kinds = {"cosine": cosine_loss, "l1": _L1_KINDS[settings.l1_kind], "gram": _GRAM_AXES[settings.gram_over]}
    pairs, weights = _pairs(encodings, target=settings.target), encodings.get("result_present")
    return {
        name: torch.stack([distance(predicted, target, weights=weights) for predicted, target in pairs]).sum()
        for name, distance in kinds.items()
        if getattr(settings, name) > 0
    }


def _pairs(encodings: Encodings, *, target: str) -> list[tuple[Tensor, Tensor]]:
    """Pairs of encodings that each term of the loss brings together."""
    z_pred, z_result = encodings["z_pred"], encodings["z_result"]
    match target:
        case "stop_gradient":
            return [(z_pred, z_result.detach())]
        case "ema":
            return [(z_pred, encodings["z_target"]), (z_pred.detach(), z_result)]
        case _:
            return [(z_pred, z_result)]


def anomaly_score(
    z_pred: Float[Tensor, "batch width"], z_result: Float[Tensor, "batch width"]
) -> Float[Tensor, " batch"]:
    """How badly the process predicts the result: cosine distance + 10 x mean of the worst half of absolute errors."""
    errors = top_absolute_error(z_pred, z_result, fraction=_ERROR_FRACTION)
    return cosine_distance(z_pred, z_result) + _ERROR_WEIGHT * errors


def cosine_distance(
    predicted: Float[Tensor, "batch width"], target: Float[Tensor, "#batch width"]
) -> Float[Tensor, " batch"]:
    """One minus the cosine of the angle, from 0 (same direction) to 2; a target of one row serves the whole batch."""
    return 1 - functional.cosine_similarity(predicted, target, dim=-1)


def top_absolute_error(
    predicted: Float[Tensor, "batch width"], target: Float[Tensor, "batch width"], *, fraction: float
) -> Float[Tensor, " batch"]:
    """Mean of each row's largest absolute errors: the top `fraction` of its features, rounded up to a whole feature."""
    errors = (predicted - target).abs()
    return errors.topk(math.ceil(fraction * errors.shape[-1]), dim=-1).values.mean(dim=-1)


def cosine_loss(
    predicted: Float[Tensor, "batch width"],
    target: Float[Tensor, "#batch width"],
    *,
    weights: Float[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cosine distance; also the text loss, with the text's vector as the only row of `target`."""
    return _mean(cosine_distance(predicted, target), weights)


def l1_loss(
    predicted: Float[Tensor, "batch width"],
    target: Float[Tensor, "#batch width"],
    *,
    weights: Float[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """Mean absolute error."""
    return _mean((predicted - target).abs().mean(dim=-1), weights)


def smooth_l1_loss(
    predicted: Float[Tensor, "batch width"],
    target: Float[Tensor, "batch width"],
    *,
    weights: Float[Tensor, " batch"] | None = None,
    beta: float = 0.1,
) -> Float[Tensor, ""]:
    """Mean absolute error less beta / 2; quadratic (error^2 / (2 beta)) where the error is below `beta`."""
    errors = functional.smooth_l1_loss(predicted, target, beta=beta, reduction="none")
    return _mean(errors.mean(dim=-1), weights)


def top_l1_loss(
    predicted: Float[Tensor, "batch width"],
    target: Float[Tensor, "batch width"],
    *,
    weights: Float[Tensor, " batch"] | None = None,
    fraction: float = 0.5,
) -> Float[Tensor, ""]:
    """Mean absolute error of the worst `fraction` of each row's features: the same errors that the score looks at."""
    return _mean(top_absolute_error(predicted, target, fraction=fraction), weights)


def gram_loss(
    predicted: Float[Tensor, "batch width"],
    target: Float[Tensor, "batch width"],
    *,
    weights: Float[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """Frobenius norm of the difference of Gram matrices over the batch, `G = F F^T / width`.

    Asks that rows relate to one another in the prediction as they do in the target. The gradient at equal inputs,
    where the norm has a kink, is zero.
    """
    kept = _or_ones(weights, like=predicted).sqrt().unsqueeze(-1)
    return _gram_distance(kept * predicted, kept * target, count=predicted.shape[1])


def feature_gram_loss(
    predicted: Float[Tensor, "batch width"],
    target: Float[Tensor, "batch width"],
    *,
    weights: Float[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """The Gram loss over features instead of rows, `G = F^T F / batch`."""
    weighed = _or_ones(weights, like=predicted)
    kept = weighed.sqrt().unsqueeze(-1)
    return _gram_distance((kept * predicted).T, (kept * target).T, count=weighed.sum().clamp(min=1))


def variance_loss(
    encodings: Float[Tensor, "batch width"],
    *,
    floor: float | Float[Tensor, ""],
    weights: Float[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """How far the standard deviations of the dimensions over the batch are below `floor`, mean over dimensions.

    `mean_j max(0, floor - sqrt(Var(z_j) + epsilon))` with the unbiased variance (Bardes et al. 2022, arXiv:2105.04906,
    equation 1). Where all rows are equal there is no direction in which to part, and so no gradient: it keeps a spread
    up, it cannot bring back one that is gone.
    """
    weighed = _or_ones(weights, like=encodings).unsqueeze(-1)
    count = weighed.sum()
    mean = (weighed * encodings).sum(dim=0) / count.clamp(min=1)
    variance = (weighed * (encodings - mean).square()).sum(dim=0) / (count - 1).clamp(min=1)
    return functional.relu(floor - (variance + _VARIANCE_EPSILON * floor**2).sqrt()).mean()


def _mean(rows: Float[Tensor, " batch"], weights: Float[Tensor, " batch"] | None) -> Float[Tensor, ""]:
    if weights is None:
        return rows.mean()
    return (weights * rows).sum() / weights.sum().clamp(min=1)


def _or_ones(weights: Float[Tensor, " batch"] | None, *, like: Float[Tensor, "batch width"]) -> Float[Tensor, " batch"]:
    return like.new_ones(len(like)) if weights is None else weights


def _gram_distance(
    predicted: Float[Tensor, "rows columns"], target: Float[Tensor, "rows columns"], *, count: int | Tensor
) -> Float[Tensor, ""]:
    distance: Tensor = torch.linalg.matrix_norm(predicted @ predicted.T / count - target @ target.T / count)
    return distance


_L1_KINDS: dict[str, Callable[..., Tensor]] = {"l1": l1_loss, "smooth_l1": smooth_l1_loss, "topk_l1": top_l1_loss}
_GRAM_AXES: dict[str, Callable[..., Tensor]] = {"batch": gram_loss, "features": feature_gram_loss}
