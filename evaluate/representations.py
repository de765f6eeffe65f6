"""The representations that training watched, read from its log: whether they collapsed."""

from collections.abc import Iterator, Mapping, Sequence

from ..train.runs.log import MetricRow
from .results import Representation, Spread

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
                "with a run that guards against it (settings of the section `loss`)."
            )


def _signs(representation: Representation, *, num_normal: int) -> Iterator[str]:
    first, best = representation.first, representation.best
    if best.effective_rank < COLLAPSED_RANK and num_normal >= FEWEST_FOR_RANK:
        yield f"its effective rank is {best.effective_rank:.1f} (fewer than two directions are in use)"
    if best.std < COLLAPSED_SHARE * first.std:
        yield f"its spread is {best.std / first.std:.1%} of what it was after epoch {first.epoch}"
