"""The story of `weldcache data check`: what a data set holds, before anything is extracted, and what is odd about it.

listing -> samples by part, class and group -> files by stream -> the checks of an audit that need no store
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import RenderableType

from ...cache.describe import class_counts, label_counts
from ...cache.notes import Note, grouped
from ...cache.status import Status
from ...cache.store_tables import class_table
from ...cache.targets import LABEL, NORMAL
from ...extract.sources.source import Sample
from ...findings import Severity
from ...progress import said_once
from ...settings import Settings
from ...tables import literal, make_table
from ...wording import count_of
from .check import AuditCheck, Tell, answers, few
from .giveaways import GIVEAWAY_CHECKS
from .listing import Listing, listed, listing_of_data
from .outcome import Audit, audit_tables
from .parts import PART_CHECKS

_LARGE = 2 / 3  # of a part: a group that holds more of it decides what is found there
_FEWEST_NORMALS = 10  # of a part that judges: one false alarm among fewer is more than a tenth
_CLASSES_SHOWN = 12


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set as its source lists it: the samples with their files, and what they are by part, class and group."""

    samples: Sequence[Sample]
    listing: Listing

    @property
    def streams(self) -> Sequence[str]:
        """Kinds of files or numbers that some sample has or should have."""
        named = (stream for each in self.samples for stream in (*each.files, *each.vectors, *each.absent))
        return sorted(set(named))

    def having(self, stream: str) -> int:
        """How many samples have it."""
        return sum(each.why_absent(stream) is None for each in self.samples)


@dataclass(frozen=True, eq=False)
class CheckedData:
    """What a data set holds, and what was found of it."""

    data: DataSet
    audited: Audit

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values: samples by class and part, groups by part, samples by stream; then as an audit's."""
        index, data = self.data.listing.index, self.data
        return {
            "root": data.listing.where,
            "noun": data.listing.noun,
            "samples": len(data.samples),
            "classes": class_counts(index),
            "labels": label_counts(index),
            "groups": {part: _num_groups(data.listing, part) for part in data.listing.parts},
            "streams": {stream: data.having(stream) for stream in data.streams},
            **self.audited.to_json(),
        }


@said_once()
def check_data(settings: Settings) -> CheckedData:
    """List the data set that the settings name, and look for what is odd; no backbone and no store is looked at.

    Raises:
        NotFoundError: if there is no data set.
        SourceError: if it cannot be listed.
    """
    request = listed(settings)
    data = DataSet(request.samples, listing_of_data(settings, request))
    checks = [*answers(_FILE_CHECKS, data), *answers([*PART_CHECKS, *GIVEAWAY_CHECKS], data.listing)]
    counted = count_of(len(data.samples), data.listing.noun)
    return CheckedData(data, Audit([f"{data.listing.where}: {counted}"], (), checks))


def data_tables(checked: CheckedData, *, details: bool) -> Iterator[RenderableType]:
    """The verdict and its findings, then the counts; with `details` every class and every check."""
    yield from audit_tables(checked.audited, details=details)
    listing = checked.data.listing
    classes = class_counts(listing.index)
    shown = classes if details else dict(list(classes.items())[:_CLASSES_SHOWN])
    if shown:
        yield class_table(shown, labels=label_counts(listing.index), noun=listing.noun, all_of=classes)
    if len(classes) > len(shown):
        yield literal(f"... and {len(classes) - len(shown):,} more classes; --verbose lists all")
    parts = make_table("", left=["part"], right=[f"{listing.noun}s", "groups"], whole=True)
    for part in listing.parts:
        parts.add_row(part, f"{len(listing.rows(part)):,}", f"{_num_groups(listing, part):,}")
    yield parts
    streams = make_table("", left=["stream"], right=["there", "not there"], whole=True)
    for stream in checked.data.streams:
        having = checked.data.having(stream)
        streams.add_row(literal(stream), f"{having:,}", f"{len(checked.data.samples) - having:,}")
    yield streams


def _num_groups(listing: Listing, part: str) -> int:
    return len(set(listing.index.groups[listing.rows(part)].tolist()) - {""})


def _absent(data: DataSet, tell: Tell) -> str:
    """What is not there is known before extraction, and the same reason is told once, with its samples."""
    noun, num = data.listing.noun, len(data.samples)
    notes = [
        Note(sample.key, why, {stream: Status.UNREADABLE if stream in sample.unreadable else Status.ABSENT})
        for sample in data.samples
        for stream, why in sample.absent.items()
    ]
    for group in grouped(notes):
        of_all = len(group.keys) == num and group.status is Status.ABSENT
        tell("note" if of_all else "warning", group.told(noun), _MEND_FILES)
    return f"{count_of(len(data.streams), 'stream')} of {count_of(num, noun)}"


def _empty(data: DataSet, tell: Tell) -> str:
    """A file without a byte is there for whoever lists, and for nobody who reads."""
    files = {(stream, path) for each in data.samples for stream, paths in each.files.items() for path in paths}
    empty: Mapping[str, list[str]] = defaultdict(list)
    for stream, path in sorted(files):
        if not path.is_file() or not path.stat().st_size:
            empty[stream].append(path.name)
    for stream, names in empty.items():
        evidence = f"{count_of(len(names), 'file')} of {stream} without a byte: {few(names)}"
        tell("warning", evidence, _MEND_FILES, part=stream)
    return count_of(len(files), "file")


def _passed_over(data: DataSet, tell: Tell) -> str:
    """What the source noted while listing, each sentence once."""
    notes = Counter((stream, note) for each in data.samples for stream, found in each.notes.items() for note in found)
    for (stream, note), count in sorted(notes.items()):
        times = "" if count == 1 else f" ({count_of(count, data.listing.noun)})"
        tell("note", f"{note}{times}", "", part=stream)
    return count_of(sum(notes.values()), "note")


def _large_groups(data: DataSet, tell: Tell) -> str:
    """A session that is most of a part: what is found there is found of that session."""
    for part in data.listing.parts:
        rows = data.listing.rows(part)
        names, counts = np.unique(data.listing.index.groups[rows], return_counts=True)
        largest = int(counts.argmax())
        if names[largest] and len(names) > 1 and counts[largest] > _LARGE * len(rows):
            tell(
                "warning",
                f"{names[largest]} is one of {len(names)} groups of {part} and has {counts[largest]:,} of its "
                f"{count_of(len(rows), data.listing.noun)}",
                _MORE_GROUPS,
                part=part,
            )
        elif names[largest] and len(names) == 1 and len(rows) > 1:
            severity: Severity = "note" if part == "train" else "warning"
            tell(severity, f"all of {part} is one group, {names[largest]}", _MORE_GROUPS, part=part)
    return count_of(len(data.listing.parts), "part")


def _few_normals(data: DataSet, tell: Tell) -> str:
    """Thresholds rest on the normals of validation, and false alarms are counted on those of test."""
    index = data.listing.index
    if LABEL.name not in index.targets:
        return "no labels"
    for part in sorted({"val", "test"} & set(data.listing.parts)):
        num_normal = int((index.labels[data.listing.rows(part)] == NORMAL).sum())
        if 0 < num_normal < _FEWEST_NORMALS:  # of none the check of kinds tells
            evidence = f"{part} has no more than {count_of(num_normal, f'normal {data.listing.noun}')}"
            tell("warning", evidence, _MORE_NORMALS, part=part)
    return f"{count_of(int((index.labels == NORMAL).sum()), f'normal {data.listing.noun}')}"


_MEND_FILES = "Bring the files, or leave it: `weldcache extract` reports these, and goes on with what is there."
_MORE_GROUPS = "Judge on several groups of like size: deal them with `weldcache split NAME`, or record more."
_MORE_NORMALS = (
    "Record more, or take more of those that there are: where splits are drawn, with data.val_fraction and "
    "data.test_fraction, and else with `weldcache split NAME`."
)

_FILE_CHECKS: Sequence[AuditCheck[DataSet]] = (
    AuditCheck("absent", "data", _absent, "never"),
    AuditCheck("empty files", "data", _empty, "never"),
    AuditCheck("passed over", "data", _passed_over, "never"),
    AuditCheck("large groups", "data", _large_groups, "never"),
    AuditCheck("few normals", "data", _few_normals, "never"),
)
