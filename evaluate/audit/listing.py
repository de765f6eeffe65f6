"""Who the samples are and which files they have: by a store's index, or by a data set's own listing without a store."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Integer

from ...cache.index import Index
from ...cache.splits import LEFT_OUT, parts_in
from ...cache.status import Status
from ...cache.store import FeatureStore
from ...cache.targets import CLASS, UNKNOWN
from ...documents import open_regular
from ...extract.sources.open import open_source
from ...extract.sources.source import SPLITS, Sample
from ...settings import Settings

if TYPE_CHECKING:
    from ...extract.request import Request

Digests = Sequence[frozenset[str]]
"""For each sample, what stands for the contents of each of its files: equal for equal contents, and for no others."""


@dataclass(frozen=True, eq=False)
class Listing:
    """Samples without their media.

    Attributes:
        where: what tells of them, for messages.
        index: of those that take part in the split.
        read_digests: of their files.
        read_numbers: of what the data set gives of them beside their files, such as how a copy of an object is turned.
        readings: reads the data set twice; None where there is none.
        pictures: photographs of each, as far as the data set itself is there.
    """

    where: str
    noun: str
    index: Index
    read_digests: Callable[[], Digests]
    read_numbers: Callable[[], Digests]
    readings: Callable[[], tuple[Index, Index]] | None = None
    pictures: Sequence[Sequence[Path]] = ()

    @cached_property
    def digests(self) -> Digests:
        """Read when they are first asked for."""
        return self.read_digests()

    @cached_property
    def numbers(self) -> Digests:
        """Read when they are first asked for."""
        return self.read_numbers()

    @property
    def parts(self) -> Sequence[str]:
        """Names of the parts that there are, such as train."""
        return parts_in(self.index.parts)

    def rows(self, part: str) -> Integer[np.ndarray, " row"]:
        """The samples of a part."""
        return np.flatnonzero(self.index.parts == part)

    def named(self, rows: Iterable[int]) -> list[str]:
        """Keys of samples."""
        return [str(self.index.keys[row]) for row in rows]

    @cached_property
    def kinds(self) -> tuple[Sequence[str], Integer[np.ndarray, " row"]]:
        """What the samples are told apart by, see `kinds_of`."""
        return kinds_of(self.index)


def kinds_of(index: Index) -> tuple[Sequence[str], Integer[np.ndarray, " row"]]:
    """What samples are told apart by: the names, and the code of each sample, -1 where it is not known. These are
    labels where some are known, and otherwise classes."""
    labels, classes = index.labels.astype(np.int64), index.targets.get(CLASS)
    if (labels != UNKNOWN).any() or classes is None or classes.spec.classes is None:
        return ("normal", "defect"), labels
    return classes.spec.classes, classes.values.astype(np.int64)


def listing_of_store(store: FeatureStore) -> Listing:
    """The samples of a store as it is divided, without those that take no part; contents by its hashes."""
    rows = np.flatnonzero(store.index.parts != LEFT_OUT)

    def digests(*, of_numbers: bool) -> Digests:
        found: dict[int, set[str]] = defaultdict(set)
        for name in store.feature_sets:
            complete = rows[store.status(name)[rows] == Status.COMPLETE]
            for row, files in zip(complete.tolist(), store.sources(name, complete), strict=True):
                found[row].update(file.sha256 for file in files if file.is_numbers == of_numbers and file.size)
        return [frozenset(found[row]) for row in rows.tolist()]

    read, read_numbers = (partial(digests, of_numbers=of_numbers) for of_numbers in (False, True))
    return Listing(f"{store.path}", store.noun, store.index.select(rows), read, read_numbers)


def listing_of_data(settings: Settings, request: "Request") -> Listing:
    """The samples of a data set as they were `listed` by these settings; no backbone is looked at."""
    return Listing(
        where=str(request.root),
        noun=request.noun,
        index=request.index,
        read_digests=lambda: _digests([_files_of(sample) for sample in request.samples]),
        read_numbers=lambda: [
            frozenset(file.sha256 for stream in sample.vectors for file in sample.numbers(stream))
            for sample in request.samples
        ],
        readings=lambda: (request.index, listed(settings).index),
        pictures=[sample.files.get("image", ()) for sample in request.samples],
    )


def listed(settings: Settings) -> "Request":
    """A request for nothing: of a data set's listing it knows all.

    Raises:
        NotFoundError: if there is no data set.
        SourceError: if it cannot be listed.
    """
    # Not at the top: it brings the library of backbones along, seconds that a report on a store's listing can spare.
    from ...extract.pool.decoder import Limits
    from ...extract.request import Request, own_folders

    source = open_source(settings.data, written=own_folders(settings))
    return Request(
        root=settings.data.root,
        samples=source.samples(),
        splits=SPLITS,
        encoders={},
        constants={},
        limits=Limits.of(settings.extract),
        targets=source.targets(),
        noun=source.noun,
    )


def _files_of(sample: Sample) -> list[Path]:
    return sorted({path for paths in sample.files.values() for path in paths})


def _digests(files: Sequence[Sequence[Path]]) -> Digests:
    """Only files of one size are read: those of different sizes differ anyway."""
    sizes = {path: path.stat().st_size for paths in files for path in paths if path.is_file()}
    alike: Mapping[int, list[Path]] = defaultdict(list)
    for path, size in sizes.items():
        alike[size].append(path)
    digests = {}
    for size, paths in alike.items():
        for path in paths:
            digests[path] = _content(path) if len(paths) > 1 else str(path)
        if not size:
            for path in paths:
                del digests[path]  # nothing is no content that two could share
    return [frozenset(digests[path] for path in paths if path in digests) for paths in files]


def _content(path: Path) -> str:
    with open_regular(path) as file:
        return file_digest(file, "sha256").hexdigest()
