"""What training recorded: whether the weights still do it on validation, and whether representations collapsed."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import auroc, part_by_label
from ..train.runs.log import MetricRow
from .scores import ScoreTable
from .section import Column, Curve, Curves, Figure, Panel, Rows, Section, Tone

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


@dataclass(frozen=True)
class Spread:
    """How far a representation of the validation normals spreads, after one epoch.

    Attributes:
        epoch: counted from 1.
        effective_rank: how many directions they fill, see `train.validation`.
        std: mean over dimensions of the standard deviation.
        std_min: of the dimension that spreads least.
        std_max: of the dimension that spreads most.
    """

    epoch: int
    effective_rank: float
    std: float
    std_min: float
    std_max: float


@dataclass(frozen=True)
class Representation:
    """A representation that training watched for collapse: after the first, the best and the last epoch."""

    first: Spread
    best: Spread
    last: Spread


# Chosen limits, not measured ones: fewer than two directions are a line, and a twentieth of the spread that the first
# epoch left is hard to explain otherwise. Partial collapse short of them has gone along with better scores.
COLLAPSED_RANK = 2.0
COLLAPSED_SHARE = 0.05
FEWEST_FOR_RANK = 10  # samples fill one direction less than there are of them, so that few say nothing by their rank

_FIGURES = ("effective_rank", "std", "std_min", "std_max")


def watched_representations(metrics: Sequence[MetricRow]) -> tuple[str, ...]:
    """Names of the representations that a log tells of."""
    suffix = f"_{_FIGURES[0]}"
    return tuple(dict.fromkeys(key.removesuffix(suffix) for row in metrics for key in row if key.endswith(suffix)))


def spreads_of(name: str, metrics: Sequence[MetricRow]) -> list[Spread]:
    """A representation's spread, one an epoch; epochs that lack a figure are left out."""
    spreads = []
    for row in metrics:
        epoch, figures = row.get("epoch"), [row.get(f"{name}_{figure}") for figure in _FIGURES]
        known = [float(value) for value in figures if value is not None]
        if epoch is not None and len(known) == len(_FIGURES):
            spreads.append(Spread(int(epoch), *known))
    return spreads


def representations(metrics: Sequence[MetricRow], *, best_epoch: int) -> dict[str, Representation]:
    """Every watched representation, by name, where the log tells of the best epoch."""
    found = {}
    for name in watched_representations(metrics):
        spreads = spreads_of(name, metrics)
        best = [spread for spread in spreads if spread.epoch == best_epoch]
        if best:
            found[name] = Representation(first=spreads[0], best=best[0], last=spreads[-1])
    return found


def collapse_caveats(found: Mapping[str, Representation], *, num_normal: int) -> tuple[str, ...]:
    """What to know of representations of `num_normal` validation normals that collapsed by the best epoch."""
    return tuple(_about_collapse(found, num_normal=num_normal))


def _about_collapse(found: Mapping[str, Representation], *, num_normal: int) -> Iterator[str]:
    for name, representation in found.items():
        signs = list(_signs(representation, num_normal=num_normal))
        if signs:
            yield (
                f"The representation {name} shows signs of collapse at the best epoch, {representation.best.epoch}: "
                f"{' and '.join(signs)}. Samples then look nearly alike to the model, and its scores may hang on "
                "little. It is a sign, not a verdict, as partial collapse can go along with a better AUROC: compare "
                "with a run that guards against it (settings of its loss)."
            )


def _signs(representation: Representation, *, num_normal: int) -> Iterator[str]:
    first, best = representation.first, representation.best
    if best.effective_rank < COLLAPSED_RANK and num_normal >= FEWEST_FOR_RANK:
        yield f"its effective rank is {best.effective_rank:.1f} (fewer than two directions are in use)"
    if best.std < COLLAPSED_SHARE * first.std:
        yield f"its spread is {best.std / first.std:.1%} of what it was after epoch {first.epoch}"


def training_section(metrics: Sequence[MetricRow], found: Mapping[str, Representation]) -> Section:
    """How training went, epoch by epoch, and how far each representation spread.

    Args:
        metrics: the rows of the log; may be empty.
        found: the representations that were watched.
    """
    figures = [figure for figure in (_progress(metrics), _spreads(metrics, found)) if figure is not None]
    spreads = [
        (name, spread) for name, each in found.items() for spread in dict.fromkeys((each.first, each.best, each.last))
    ]
    columns = (
        Column("representation", "Representation", of_text=True),
        Column("epoch", "epoch"),
        Column("effective_rank", "effective rank", style=".1f"),
        Column("std", "mean std", style=".3g"),
        Column("std_min", "least", style=".2g"),
        Column("std_max", "most", style=".2g"),
    )
    values = [(name, each.epoch, each.effective_rank, each.std, each.std_min, each.std_max) for name, each in spreads]
    return Section(
        id="training",
        title="Training",
        figures=figures,
        rows=[Rows("representations", columns, values)] if values else (),
        note=() if figures else ["The run recorded no training curve."],
    )


def _progress(metrics: Sequence[MetricRow]) -> Figure | None:
    """Loss and validation AUROC over the epochs; None where no epoch recorded either, or there is but one row."""
    wanted: tuple[tuple[str, str, Tone], ...] = (
        ("loss", "training loss", "defect"),
        ("val_auroc", "validation AUROC", "model"),
        ("val_accuracy", "validation accuracy", "model"),
        ("val_macro_f1", "validation macro F1", "third"),
    )
    series = [(axis, tone, _series(metrics, key)) for key, axis, tone in wanted]
    panels = [Panel(axis, [Curve(x, y, tone)]) for axis, tone, (x, y) in series if x.size and len(metrics) > 1]
    return Curves("Training loss and validation AUROC by epoch", "epoch", panels) if panels else None


def _spreads(metrics: Sequence[MetricRow], found: Mapping[str, Representation]) -> Figure | None:
    """Effective rank and spread of each representation over the epochs."""
    if not found:
        return None
    tones: tuple[Tone, ...] = ("model", "defect", "third", "fourth", "control")
    ranks, deviations = [], []
    for name, tone in zip(found, cycle(tones), strict=False):
        epochs, rank, std, low, high = np.array(
            [
                (each.epoch, each.effective_rank, each.std, each.std_min, each.std_max)
                for each in spreads_of(name, metrics)
            ],
            dtype=np.float64,
        ).T
        ranks.append(Curve(epochs, rank, tone, label=name))
        deviations.append(Curve(epochs, std, tone, low=low, high=high))
    return Curves(
        "Effective rank and standard deviation of each representation by epoch",
        "epoch (dotted: the best)",
        [Panel("effective rank", ranks, kind="from_zero"), Panel("standard deviation", deviations, kind="logarithmic")],
        mark=next(iter(found.values())).best.epoch,
        caption="Representations of the validation normals: how many directions they fill, and how far their "
        "dimensions spread (mean, with a band from the least to the most)",
    )


def _series(metrics: Sequence[MetricRow], key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Epochs and values of the rows that hold a finite number under `key`."""
    points = [(row.get("epoch"), row.get(key)) for row in metrics]
    pairs = [pair for pair in points if all(isinstance(value, int | float) and np.isfinite(value) for value in pair)]
    epochs, values = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return epochs, values
