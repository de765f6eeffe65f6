"""Anomaly score of Causal-FiLM: how badly the process predicts the result."""

from jaxtyping import Float
from torch import Tensor

from .losses import cosine_distance, top_absolute_error

_ERROR_WEIGHT = 10.0
_ERROR_FRACTION = 0.5


def anomaly_score(
    z_pred: Float[Tensor, "batch width"], z_result: Float[Tensor, "batch width"]
) -> Float[Tensor, " batch"]:
    """Cosine distance + 10 x mean of the top 50 % absolute errors; higher is more anomalous, 0 is the least."""
    errors = top_absolute_error(z_pred, z_result, fraction=_ERROR_FRACTION)
    return cosine_distance(z_pred, z_result) + _ERROR_WEIGHT * errors
