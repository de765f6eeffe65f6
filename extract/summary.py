"""What an extraction came to, for the rows asked for: what the store holds now, what not and why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cache.notes import Note, grouped, notes_of
from ..cache.status import Status
from ..cache.store import FeatureStore
from ..wording import count_of, first_of, format_seconds
from .request import Request
from .sides import bottleneck, describe_busy
from .sources.source import Sample

_KINDS_SHOWN = 20  # of notes, at the end


@dataclass(frozen=True)
class ExtractSummary:
    """What a run did and what the store holds now, for the rows asked for."""

    noun: str  # what one row is called
    num_rows: int
    num_tried: int  # rows that this run worked on
    counts: Mapping[str, Mapping[str, int]]  # feature set -> status name -> rows
    notes: Sequence[Note]
    num_failed: int  # rows on which a backbone failed, or memory ran out
    seconds: float
    busy: Mapping[str, float]  # share of the run that each side was at work; empty where there was nothing to do
    random_backbones: bool
    is_all: bool  # whether these are all rows that were asked for, and not the part of one rank

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, each note with the statuses that it explains."""
        notes = [
            {
                "key": note.key,
                "reason": note.reason,
                "statuses": {name: status.name.lower() for name, status in note.statuses.items()},
            }
            for note in self.notes
        ]
        return {**asdict(replace(self, notes=())), "notes": notes}

    @property
    def unusable(self) -> list[str]:
        """Feature sets of which no row is complete, although files are there; of a part that is not known."""
        return [
            name
            for name, counts in self.counts.items()
            if self.is_all and not counts.get("complete") and (counts.get("unreadable") or counts.get("missing"))
        ]


def summarise(
    store: FeatureStore,
    request: Request,
    samples: Sequence[Sample],
    *,
    num_tried: int,
    seconds: float,
    busy: Mapping[str, float] | None = None,
    is_all: bool = True,
) -> ExtractSummary:
    """What the store holds of `samples` after a run; the other arguments are as in the summary."""
    keys = {sample.key for sample in samples}
    asked = np.array([key in keys for key in store.index.keys.tolist()], dtype=bool)
    statuses = {name: store.status(name)[asked] for name in request.feature_sets}
    notes = notes_of(store, feature_sets=request.feature_sets)
    return ExtractSummary(
        noun=request.noun,
        num_rows=len(samples),
        num_tried=num_tried,
        counts={name: _count(status) for name, status in statuses.items()},
        notes=[note for note in notes if note.key in keys],
        num_failed=int(np.any([status == Status.MISSING for status in statuses.values()], axis=0).sum()),
        seconds=seconds,
        busy=busy or {},
        random_backbones=store.random_backbones,
        is_all=is_all,
    )


def _count(status: NDArray[np.uint8]) -> dict[str, int]:
    values, counts = np.unique(status, return_counts=True)
    return {Status(value).name.lower(): count for value, count in zip(values.tolist(), counts.tolist(), strict=True)}


def describe_summary(summary: ExtractSummary) -> str:
    """The end of a run in a few lines: what is there, what is not and why, where the time went."""
    lines = [
        f"{name}: " + ", ".join(f"{count:,} {state}" for state, count in sorted(counts.items()))
        for name, counts in summary.counts.items()
    ]
    notes = [group.told(summary.noun) for group in grouped(summary.notes)]
    lines += [f"  {line}" for line in first_of(notes, most=_KINDS_SHOWN, rest="; `weldcache info --json` lists all")]
    if summary.busy:
        lines.append(f"Busy: {describe_busy(summary.busy)}. The bottleneck is {bottleneck(summary.busy)}.")
        rate = summary.num_tried / max(summary.seconds, 1e-9)
        tried = count_of(summary.num_tried, summary.noun)
        lines.append(f"{tried} in {format_seconds(summary.seconds)}, {rate:.1f} {summary.noun}s/s.")
    return "\n".join(lines)
