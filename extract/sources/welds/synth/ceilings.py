"""Ceilings: how well defects can be told from the true state of each weld, which no model ever sees."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray
from rich.table import Table
from sklearn.covariance import LedoitWolf

from .....metrics.estimate import Estimate, span
from .....metrics.ranking import auroc_interval
from .....tables import make_table
from ..classes import GOOD_CODE

_SIDES: Mapping[str, tuple[str, ...]] = {
    "process": ("process_",),
    "result": ("result_",),
    "joint": ("process_", "result_"),
}
_FLAW = "_flaw_"  # how much of each flaw a weld has: that would be the answer itself
_DIGITS = 4  # the last bits are the machine's


@dataclass(frozen=True)
class Ceiling:
    """AUROC on test of the Mahalanobis distance from the sound welds of train.

    Attributes:
        all: of all defects.
        causal_breaks: of those alone whose process and result are each a sound weld's; None where there are none.
        others: of the other defects.
    """

    all: Estimate
    causal_breaks: Estimate | None
    others: Estimate | None


def ceilings(latents: str) -> dict[str, Ceiling]:
    """By side (process, result, and both jointly) the ceiling, from the text of `latents.csv`.

    What is measured are all numbers of a side but the flaws' amounts, in standard deviations of the sound welds of
    train; the covariance is shrunk as by Ledoit and Wolf. Empty where train has fewer than two sound welds, or test no
    sound or no defective one.
    """
    rows = list(csv.DictReader(io.StringIO(latents)))
    is_sound = np.array([row["code"] == GOOD_CODE for row in rows], dtype=bool)
    split = np.array([row["split"] for row in rows], dtype=np.str_)
    is_break = np.array([row["causal_break"] == "1" for row in rows], dtype=bool)
    train, test = (split == "train") & is_sound, split == "test"
    if np.sum(train) < 2 or not (test & is_sound).any() or not (test & ~is_sound).any():
        return {}
    found = {}
    for side, prefixes in _SIDES.items():
        names = [name for name in rows[0] if name.startswith(prefixes) and _FLAW not in name]
        numbers = np.array([[float(row[name]) for name in names] for row in rows])
        distances = _distances(numbers[test], reference=numbers[train])
        found[side] = _ceiling(distances, labels=(~is_sound[test]).astype(np.int64), is_break=is_break[test])
    return found


def _distances(
    numbers: Float64[np.ndarray, "welds numbers"], *, reference: Float64[np.ndarray, "sound numbers"]
) -> Float64[np.ndarray, " welds"]:
    """Squared Mahalanobis distances; shrinking to a multiple of the identity wants numbers of one unit."""
    spread = reference.std(axis=0)
    unit = np.where(spread > 0, spread, 1.0)
    fitted = LedoitWolf().fit(reference / unit)
    return np.asarray(fitted.mahalanobis(numbers / unit), dtype=np.float64)


def _ceiling(distances: NDArray[np.float64], *, labels: NDArray[np.int64], is_break: NDArray[np.bool_]) -> Ceiling:
    def among(defects: NDArray[np.bool_]) -> Estimate | None:
        chosen = defects | (labels == 0)
        return auroc_interval(distances[chosen], labels[chosen]) if labels[chosen].any() else None

    return Ceiling(auroc_interval(distances, labels), among(is_break), among((labels == 1) & ~is_break))


def ceilings_as_json(found: Mapping[str, Ceiling]) -> dict[str, dict[str, float]]:
    """AUROC and interval by side, for `synth.json`."""
    return {
        side: {
            "auroc": round(each.all.value, _DIGITS),
            "low": round(each.all.low, _DIGITS),
            "high": round(each.all.high, _DIGITS),
        }
        for side, each in found.items()
    }


def ceilings_table(found: Mapping[str, Ceiling]) -> Table:
    """The ceilings for a person, causal breaks apart."""
    title = "What the true state of each weld tells: AUROC on test"
    table = make_table(title, left=["numbers of"], right=["all defects", "95% interval", "causal breaks", "others"])
    told = {"process": "the process", "result": "the result", "joint": "both"}
    for side, each in found.items():
        parts = ["" if part is None else f"{part.value:.3f}" for part in (each.causal_breaks, each.others)]
        table.add_row(told[side], f"{each.all.value:.3f}", span(each.all), *parts)
    return table
