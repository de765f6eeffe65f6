"""What is noted of samples: why features are not there, or what is not quite whole about them; like notes together."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import StoreError
from ..wording import count_of, shortened, visible
from .splits import LEFT_OUT
from .status import Status
from .store import FeatureStore

_KEYS_SHOWN = 3
# Worst first: what was tried and failed, what cannot be read, what is not there, what is there with a note.
_ORDER = (Status.MISSING, Status.UNREADABLE, Status.ABSENT, Status.COMPLETE)
_CALLED = {Status.COMPLETE: "note"}


@dataclass(frozen=True)
class Note:
    """What is noted of one sample; what is the same in several feature sets is one note."""

    key: str
    reason: str
    statuses: Mapping[str, Status]  # by feature set that it is noted of


@dataclass(frozen=True)
class NoteGroup:
    """Samples of which the same is noted, of the same feature sets."""

    reason: str  # of several samples: with what differs between them left out
    status: Status  # the worst of the feature sets
    feature_sets: tuple[str, ...]
    keys: tuple[str, ...]

    def told(self, noun: str) -> str:
        """`5 parts, video (unreadable): it is cut short: a, b, c and 2 more`; fit for a terminal."""
        what = f"{', '.join(self.feature_sets)} ({_CALLED.get(self.status, self.status.name.lower())})"
        if len(self.keys) == 1:
            return visible(f"{self.keys[0]}, {what}: {self.reason}")
        keys = shortened(self.keys, most=_KEYS_SHOWN)
        return visible(f"{count_of(len(self.keys), noun)}, {what}: {self.reason.removesuffix('.')}: {keys}")


def notes_of(
    store: FeatureStore,
    *,
    feature_sets: Iterable[str] | None = None,
    damage: list[str] | None = None,
) -> list[Note]:
    """What is noted of the store's samples in these feature sets (all of them), in the order of rows.

    Samples that are left out are, too. Where `damage` is given, notes that cannot be read are told there.

    Raises:
        StoreError: if notes cannot be read, and `damage` is not given.
    """
    row_of = store.index.row_of()
    grouped: dict[tuple[int, str], dict[str, Status]] = {}
    for name in store.feature_sets if feature_sets is None else feature_sets:
        try:
            noted, statuses = store.notes(name), store.status(name)
        except StoreError as error:
            if damage is None:
                raise
            damage.append(str(error))
            continue
        for key, reason in noted.items():
            row = row_of[key]
            if store.index.parts[row] != LEFT_OUT:
                grouped.setdefault((row, reason), {})[name] = Status(int(statuses[row]))
    return [
        Note(str(store.index.keys[row]), reason, statuses_of)
        for (row, reason), statuses_of in sorted(grouped.items(), key=lambda item: item[0])
    ]


def grouped(notes: Sequence[Note]) -> list[NoteGroup]:
    """Like notes together, the worst first, and of these the most frequent.

    Reasons that differ in the sample's own name or in numbers alone are alike.
    """
    alike: dict[tuple[Status, tuple[str, ...], str], list[Note]] = {}
    for note in notes:
        worst = min(note.statuses.values(), key=_ORDER.index)
        alike.setdefault((worst, tuple(note.statuses), _shape(_nameless(note))), []).append(note)
    groups = [
        NoteGroup(_common(members), status, feature_sets, tuple(note.key for note in members))
        for (status, feature_sets, _), members in alike.items()
    ]
    return sorted(groups, key=lambda group: (_ORDER.index(group.status), -len(group.keys)))


def _nameless(note: Note) -> str:
    """The reason without the sample's key, and without the name that its folder gives to its files."""
    nameless = note.reason
    for name in (note.key, note.key.rpartition("/")[2]):
        nameless = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", nameless)
    return nameless


_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def _shape(reason: str) -> str:
    return _NUMBER.sub("…", reason)


def _common(members: Sequence[Note]) -> str:
    """The reason of a single note; of several, what their reasons have in common."""
    if len(members) == 1:
        return members[0].reason
    nameless = [_nameless(note) for note in members]
    # Numbers that all of them have stay: a setting to write, or a limit, is one mostly.
    numbers = zip(*map(_NUMBER.findall, nameless), strict=True)
    common = iter(each[0] if len(set(each)) == 1 else "…" for each in numbers)
    return _NUMBER.sub(lambda _: next(common), nameless[0])
