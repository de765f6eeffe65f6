"""Loss terms of Causal-FiLM: how far a prediction is from its target, per row or over the whole batch.

Rows may be weighted, 0 or 1 in practice: then a term is as if the rows of weight 0 were not in the batch, and 0 if none
is left. Weights instead of a choice of rows keep all shapes fixed, which a device can run without asking the host.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_VARIANCE_EPSILON = 1e-4  # of the floor's square, as in Bardes et al., whose floor is 1


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
    encodings: Float[Tensor, "batch width"], *, floor: float, weights: Float[Tensor, " batch"] | None = None
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
