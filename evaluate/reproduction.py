"""Whether the reloaded weights do on validation what training recorded of them."""

from collections.abc import Collection, Mapping

import numpy as np

from ..metrics.auroc import auroc
from ..metrics.grouping import part_by_label
from .scores import ScoreTable

# A score's rounding as a share of the largest score. With the batches of the training, which evaluation takes, and on
# its device, scores come out equal to the last bit. Batches of other sizes move them by 2e-7 in float32, and bfloat16
# in place of it by 3e-3 (measured on a CPU); the rest is room for other devices.
_ROUNDING: Mapping[str, float] = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 2e-2}


def reproduction_caveats(
    validation: ScoreTable, *, recorded: float | None, recorded_keys: Collection[str], precision: str
) -> tuple[str, ...]:
    """What to know where validation does not come out as training recorded it.

    The AUROC counts pairs of a defect and a normal, and rounding can turn a pair only if its scores are that close:
    these pairs' share is the difference that is put down to rounding.

    Args:
        validation: scores of the validation samples by the averaged weights.
        recorded: the AUROC that training logged for these weights; None where it logged none.
        recorded_keys: the samples that training validated on.
        precision: arithmetic of the scores.
    """
    if recorded is None:
        return ()
    known = set(recorded_keys)
    same = validation.select(np.array([key in known for key in validation.keys], dtype=bool))
    if len(same) < len(known):
        return (
            f"{len(known) - len(same)} of the {len(known)} samples that training validated on are not among those that "
            "can be validated on now: whether the weights still do what training recorded of them cannot be checked.",
        )
    found = auroc(same.scores, same.labels)
    if abs(found - recorded) <= _share_within_rounding(same, rounding=_ROUNDING[precision]) + 1e-12:
        return ()
    return (
        f"On validation these weights reach an AUROC of {found:.4f}, and training recorded {recorded:.4f} for them, a "
        "difference beyond rounding: weights, features or code are not what they were. Train again.",
    )


def _share_within_rounding(table: ScoreTable, *, rounding: float) -> float:
    """The share of pairs of a defect and a normal whose scores are less than twice the rounding apart."""
    defects, normals = part_by_label(table.scores, table.labels)
    reach, ordered = 2 * rounding * float(np.abs(table.scores).max()), np.sort(normals)
    below, above = np.searchsorted(ordered, defects - reach, "left"), np.searchsorted(ordered, defects + reach, "right")
    return float((above - below).sum()) / (defects.size * normals.size)
