"""What stands above and below the table of a bench: what was compared; what failed, what calls for care, how intervals
were made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...metrics.auroc import SMALLEST_CLASS_FOR_DELONG
from ...metrics.estimate import with_span
from ...metrics.repeats import Method, RepeatsEstimate
from ..report.verdict import DEMO_SENTENCE
from .comparison import Comparison

_WHY_NOT_DELONG = f"fewer than {SMALLEST_CLASS_FOR_DELONG} samples of a class, or complete separation"
_WAYS_OF_AUROC: Mapping[Method, str] = {
    "delong": "DeLong's covariances and the spread of the seeds, as by Obuchowski and Rockette, on the logit scale",
    "newcombe": f"Newcombe's score interval, widened by the spread of the seeds ({_WHY_NOT_DELONG})",
}
_WAYS_OF_DIFFERENCE: Mapping[Method, str] = {
    "delong": "DeLong's covariances and the spread of the seeds, paired by sample and by seed",
    "newcombe": f"the intervals of both AUROCs as if they were independent, rather too wide ({_WHY_NOT_DELONG})",
    "equal": "none, where both place every sample alike",
}


@dataclass(frozen=True)
class BenchHeader:
    """What was compared, where, and by which command.

    Attributes:
        fingerprint: of all that the store holds.
        backbones_are_random: whether any of its features come from random weights, as in a demo.
    """

    list_name: str
    question: str
    split: str
    created: str
    command: str
    fingerprint: str
    backbones_are_random: bool
    versions: Mapping[str, str]

    @property
    def title(self) -> str:
        """The list, the split and the list's question."""
        return f"{self.list_name} on {self.split}" + (f": {self.question}" if self.question else "")


def notes_below(comparison: Comparison, *, header: BenchHeader) -> list[str]:
    """A sentence or two each; the same in all forms of the table."""
    return list(_notes(comparison, header=header))


def method_notes(comparison: Comparison) -> list[str]:
    """How the intervals were made; where that is not one way throughout, of which variants each is."""
    aurocs = {variant.name: variant.auroc for variant in comparison.variants if variant.auroc is not None}
    differences = {
        variant.name: variant.difference for variant in comparison.variants if variant.difference is not None
    }
    notes = []
    if aurocs:
        ways = _ways(aurocs, _WAYS_OF_AUROC)
        notes.append(f"95% intervals of AUROCs, for other samples and other seeds: {ways}.")
    if differences:
        ways = _ways(differences, _WAYS_OF_DIFFERENCE)
        notes.append(
            f"Differences are from {comparison.reference}, over the seeds that both have, and not corrected for how "
            f"many there are; their 95% intervals: {ways}."
        )
    return notes


def _notes(comparison: Comparison, *, header: BenchHeader) -> Iterator[str]:
    yield from (f"{variant.name}: {failure}" for variant in comparison.variants for failure in variant.failures)
    if comparison.random is None:
        return
    yield from comparison.caveats
    media_free = comparison.media_free
    assert media_free is not None
    control = f"not to be had ({media_free.reason})" if media_free.auroc is None else with_span(media_free.auroc)
    yield (
        f"On {comparison.num_normal} normals and {comparison.num_defect} defects of {header.split}: media-free control "
        f"{control}, random scores {with_span(comparison.random)}."
    )
    yield from method_notes(comparison)
    if comparison.num_not_shared:
        yield f"Samples that only some variants scored, and that are in no figure: {comparison.num_not_shared}."
    if any(len(variant.seeds) == 1 for variant in comparison.variants):
        yield "The interval of a single seed says nothing about other seeds."
    if header.backbones_are_random:
        yield DEMO_SENTENCE


def _ways(estimates: Mapping[str, RepeatsEstimate], words: Mapping[Method, str]) -> str:
    users = {method: [name for name, estimate in estimates.items() if estimate.method == method] for method in words}
    used = {method: names for method, names in users.items() if names}
    if len(used) == 1:
        return words[next(iter(used))]
    return "; ".join(f"{words[method]}, for {', '.join(names)}" for method, names in used.items())
