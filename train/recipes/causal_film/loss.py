"""Causal-FiLM's loss from its encodings, and which of its modules each kind of target teaches.

- joint: prediction and result are drawn to each other. Both learn, and a constant on both sides is a minimum.
- stop_gradient: only the prediction moves. The result encoder keeps its random start, but for the variance term.
- ema: the prediction is drawn to the slow target, and the result encoder to the prediction as it stands. A constant
  is still a minimum, but one to which the two sides cannot run at once. Each term is the sum of both distances, so that
  either side gets a gradient as large as from `joint`.

The variance term is the only one that a constant does not satisfy.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ...nn.losses import (
    cosine_loss,
    feature_gram_loss,
    gram_loss,
    l1_loss,
    smooth_l1_loss,
    top_l1_loss,
    variance_loss,
)
from ...types import Encodings, Losses
from .module import CalibratedCausalFilm
from .settings import LossSettings

_L1_KINDS: dict[str, Callable[..., Tensor]] = {"l1": l1_loss, "smooth_l1": smooth_l1_loss, "topk_l1": top_l1_loss}
_GRAM_AXES: dict[str, Callable[..., Tensor]] = {"batch": gram_loss, "features": feature_gram_loss}
_ABSENT_WEIGHT = 1e-4  # Adam's steps do not depend on it; a large one would use up the limit of the gradient's norm


def film_losses(encodings: Encodings, *, model: CalibratedCausalFilm, settings: LossSettings) -> Losses:
    """The weighted sum of the terms that have a weight.

    Rows without photographs do not enter the terms that look at results. Where there are absent tokens, the term
    `absent` draws the one that stands for a result to all predictions, and nothing else.
    """
    terms = _prediction_terms(encodings, settings=settings)
    if settings.text > 0:
        predicted = model.film.text_head(encodings["z_pred"])
        terms["text"] = cosine_loss(predicted, model.text_anchor.unsqueeze(0))
    if settings.variance > 0:
        terms["variance"] = variance_loss(
            encodings["z_result"], floor=settings.variance_std, weights=encodings.get("result_present")
        )
    weighted = [getattr(settings, name) * term for name, term in terms.items()]
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
