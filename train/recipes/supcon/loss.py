"""The supervised contrastive loss, for classes that may be mixed and for negatives that count the more the harder."""

import torch
from jaxtyping import Float
from torch import Tensor


def supervised_contrast(
    vectors: Float[Tensor, "batch width"],
    classes: Float[Tensor, "batch classes"],
    *,
    temperature: float,
    hard_negatives: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean over the rows that have another of their class, 0 where none has; `vectors` are of length 1.

    `classes` has the share of each class in a row, zeros where it is not known; such a row takes no part. Of rows that
    are of one class each this is L_out, equation 2 of Khosla et al. 2020, "Supervised Contrastive Learning" (arXiv
    2004.11362). Of mixed ones a pair is alike by the product of their shares, and apart by the rest.

    With `hard_negatives` beta, a row that is apart counts in units of the mean of exp(beta * logit) over these:
    Robinson et al. 2021, "Contrastive Learning with Hard Negative Samples" (arXiv 2010.04592), equation 4, where the
    labels say that no negative is a false one (tau+ = 0).
    """
    logits = vectors @ vectors.T / temperature
    known = classes.sum(dim=1) > 0
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    pairs = known.unsqueeze(0) & known.unsqueeze(1) & ~itself
    alike = (classes @ classes.T).where(pairs, 0.0)
    apart = (1 - alike).clamp(min=0).where(pairs, 0.0)
    counted = alike + apart
    if hard_negatives:
        tilted = hard_negatives * logits
        mean = _log_sum(tilted, weights=apart) - apart.sum(dim=1, keepdim=True).clamp(min=1e-6).log()
        counted = alike + apart * (tilted - mean).exp()
    log_shares = logits - _log_sum(logits, weights=counted)
    num_alike = alike.sum(dim=1)
    lost = -(alike * log_shares.where(pairs, 0.0)).sum(dim=1) / num_alike.clamp(min=1e-6)
    anchors = num_alike > 0
    return lost.where(anchors, 0.0).sum() / anchors.sum().clamp(min=1)


def _log_sum(logits: Float[Tensor, "rows others"], *, weights: Float[Tensor, "rows others"]) -> Float[Tensor, "rows 1"]:
    """Logarithm of the weighted sum of exponentials of each row; of weights that are all 0 a finite number."""
    highest = logits.detach().amax(dim=1, keepdim=True)
    summed = (weights * (logits - highest).exp()).sum(dim=1, keepdim=True)
    return summed.clamp(min=torch.finfo(summed.dtype).tiny).log() + highest
