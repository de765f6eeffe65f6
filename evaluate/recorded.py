"""What training recorded: its course over the epochs, and whether representations collapsed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from ..train.fit import OF_FITTING
from ..train.runs.log import MetricRow
from ..train.runs.reports import Headline
from ..wording import listed
from .figures import Curve, Curves, Figure, Panel, Tone
from .section import Column, Fact, Rows, Section


@dataclass(frozen=True)
class Spread:
    """How far a representation spreads after one epoch, of the validation samples such as are trained on.

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


def collapse_caveats(found: Mapping[str, Representation], *, num_samples: int) -> tuple[str, ...]:
    """What to know of representations that collapsed by the best epoch, of `num_samples` validation samples such as are
    trained on."""
    return tuple(_about_collapse(found, num_samples=num_samples))


def _about_collapse(found: Mapping[str, Representation], *, num_samples: int) -> Iterator[str]:
    for name, representation in found.items():
        signs = list(_signs(representation, num_samples=num_samples))
        if signs:
            yield (
                f"The representation {name} shows signs of collapse at the best epoch, {representation.best.epoch}: "
                f"{' and '.join(signs)}. Samples then look nearly alike to the model, and its scores may hang on "
                "little. It is a sign, not a verdict, as partial collapse can go along with a better AUROC: compare "
                "with a run that guards against it (settings of its loss)."
            )


def _signs(representation: Representation, *, num_samples: int) -> Iterator[str]:
    first, best = representation.first, representation.best
    if best.effective_rank < COLLAPSED_RANK and num_samples >= FEWEST_FOR_RANK:
        yield f"its effective rank is {best.effective_rank:.1f} (fewer than two directions are in use)"
    if best.std < COLLAPSED_SHARE * first.std:
        yield f"its spread is {best.std / first.std:.1%} of what it was after epoch {first.epoch}"


def training_section(
    metrics: Sequence[MetricRow], found: Mapping[str, Representation], *, headline: Sequence[Headline]
) -> Section:
    """How training went, epoch by epoch, and how far each representation spread.

    Args:
        metrics: the rows of the log; may be empty.
        found: the representations that were watched.
        headline: the judge's figures, of which validation measured some after each epoch.
    """
    figures = [figure for figure in (_progress(metrics, headline), _spreads(metrics, found)) if figure is not None]
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
    told = [
        Fact(key.replace("/", "_"), key.removeprefix(OF_FITTING).replace("_", " ").replace("/", ": "), figure)
        for row in metrics
        for key, figure in row.items()
        if key.startswith(OF_FITTING) and isinstance(figure, float)
    ]
    return Section(
        id="training",
        title="Training",
        facts=told,
        figures=figures,
        rows=[Rows("representations", columns, values)] if values else (),
        note=() if figures else ["The run recorded no training curve."],
    )


def _progress(metrics: Sequence[MetricRow], headline: Sequence[Headline]) -> Figure | None:
    """Loss and validation's figures over the epochs; None where no epoch recorded any, or there is but one row."""
    told = [figure for figure in headline if "list" in figure.told_in]
    tones: tuple[Tone, ...] = ("model", "third", "fourth", "control")
    wanted: list[tuple[str, str, Tone]] = [("loss", "training loss", "contrast")]
    for figure, tone in zip(told, cycle(tones), strict=False):
        wanted.append((f"val_{figure.name}", f"validation {figure.label}", tone))
    series = [(axis, tone, _series(metrics, key)) for key, axis, tone in wanted]
    panels = [Panel(axis, [Curve(x, y, tone)]) for axis, tone, (x, y) in series if x.size and len(metrics) > 1]
    measured = listed(figure.label for figure in told)
    return Curves(f"Training loss and validation {measured} by epoch", "epoch", panels) if panels else None


def _spreads(metrics: Sequence[MetricRow], found: Mapping[str, Representation]) -> Figure | None:
    """Effective rank and spread of each representation over the epochs."""
    if not found:
        return None
    tones: tuple[Tone, ...] = ("model", "contrast", "third", "fourth", "control")
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
        caption="Representations of the validation samples such as are trained on: how many directions they fill, "
        "and how far their dimensions spread (mean, with a band from the least to the most)",
    )


def _series(metrics: Sequence[MetricRow], key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Epochs and values of the rows that hold a finite number under `key`."""
    points = [(row.get("epoch"), row.get(key)) for row in metrics]
    pairs = [pair for pair in points if all(isinstance(value, int | float) and np.isfinite(value) for value in pair)]
    epochs, values = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return epochs, values
