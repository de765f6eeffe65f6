"""Loss terms of Causal-FiLM: how far a prediction is from its target, per row or over the whole batch."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


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


def cosine_loss(predicted: Float[Tensor, "batch width"], target: Float[Tensor, "#batch width"]) -> Float[Tensor, ""]:
    """Mean cosine distance; also the text loss, with the text's vector as the only row of `target`."""
    return cosine_distance(predicted, target).mean()


def l1_loss(predicted: Float[Tensor, "batch width"], target: Float[Tensor, "batch width"]) -> Float[Tensor, ""]:
    """Mean absolute error."""
    return functional.l1_loss(predicted, target)


def smooth_l1_loss(
    predicted: Float[Tensor, "batch width"], target: Float[Tensor, "batch width"], *, beta: float = 0.1
) -> Float[Tensor, ""]:
    """Mean absolute error less beta / 2; quadratic (error^2 / (2 beta)) where the error is below `beta`."""
    return functional.smooth_l1_loss(predicted, target, beta=beta)


def top_l1_loss(
    predicted: Float[Tensor, "batch width"], target: Float[Tensor, "batch width"], *, fraction: float = 0.5
) -> Float[Tensor, ""]:
    """Mean absolute error of the worst `fraction` of each row's features: the same errors that the score looks at."""
    return top_absolute_error(predicted, target, fraction=fraction).mean()


def gram_loss(predicted: Float[Tensor, "batch width"], target: Float[Tensor, "batch width"]) -> Float[Tensor, ""]:
    """Frobenius norm of the difference of Gram matrices over the batch, `G = F F^T / width`.

    Asks that rows relate to one another in the prediction as they do in the target. The gradient at equal inputs,
    where the norm has a kink, is zero.
    """
    distance: Tensor = torch.linalg.matrix_norm(_gram(predicted) - _gram(target))
    return distance


def feature_gram_loss(
    predicted: Float[Tensor, "batch width"], target: Float[Tensor, "batch width"]
) -> Float[Tensor, ""]:
    """The Gram loss over features instead of rows, `G = F^T F / batch`."""
    return gram_loss(predicted.T, target.T)


def _gram(features: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows rows"]:
    return features @ features.T / features.shape[1]
