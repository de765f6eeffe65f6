"""Samples that no store holds: decoded and put through the encoders as `extract` does it, kept in memory as the arrays
that a store would have, to the last bit where the same samples stand in the same groups.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from torch import Tensor

from ..cache.arrays import FeatureSetSpec
from ..cache.status import SourceFile, Status
from ..cache.tensors import from_storage, to_storage
from ..errors import PrecisionError
from ..settings import Settings
from .batching import CPU_GROUP_SIZE, AdaptiveEncoder, encode_group
from .features.kind import Encoder, Prepared
from .plan import Job
from .pool.decode_pool import DecodePool
from .pool.decoder import Limits
from .pool.read_job import Failure, ReadJob
from .sides import cores_left_to, num_workers
from .sources.source import Sample


@dataclass(frozen=True, eq=False)
class MemoryRow:
    """What a store would hold of one sample.

    Attributes:
        arrays: by `<set>/<array>`, of the sets that are complete; in their storage types.
        statuses: by feature set.
        problems: by feature set why it is not complete.
        sources: by feature set the files that it was made from, of those that are complete.
        notes: what is not whole about those that are.
    """

    sample: Sample
    arrays: Mapping[str, Tensor]
    statuses: Mapping[str, Status]
    problems: Mapping[str, str]
    sources: Mapping[str, Sequence[SourceFile]]
    notes: tuple[str, ...]


class MemoryExtraction:
    """Makes the feature sets `wanted` of samples. Use as a context manager: its decode processes end with it.

    Backbones are loaded once, when the first samples come.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        *,
        wanted: frozenset[str],
        settings: Settings,
        root: Path,
        at_most: int | None,
    ) -> None:
        """`encoders` by feature; all files lie below `root`; no more than `at_most` samples come, for which more decode
        processes would be started in vain (None: nobody knows)."""
        at_once = settings.extract.batch_size
        self.group_size = CPU_GROUP_SIZE if at_once == "auto" else at_once
        self._encoders = {name: AdaptiveEncoder(encoder, name, self.group_size) for name, encoder in encoders.items()}
        self._sets = {
            name: {spec.name: spec for spec in encoder.specs if spec.name in wanted}
            for name, encoder in encoders.items()
        }
        workers = num_workers(settings.extract)
        self._workers = workers if at_most is None else min(workers, at_most)
        readers = {name: encoder.reader for name, encoder in encoders.items()}
        limits = Limits.of(settings.extract)
        self._pool = DecodePool(readers, workers=self._workers, root=root, limits=limits)
        self._loaded = False

    def __enter__(self) -> "MemoryExtraction":
        self._pool.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.__exit__(kind, error, trace)

    @property
    def streams(self) -> frozenset[str]:
        """What of a sample the features are made from."""
        return frozenset(each.encoder.reader.stream for each in self._encoders.values())

    def rows(self, samples: Sequence[Sample]) -> Iterator[list[MemoryRow]]:
        """The samples in their order, a group at a time, which goes through each backbone together.

        Raises:
            BackboneError: if a backbone cannot be loaded.
            Exception: as `DecodePool.read` and `encode_group`.
        """
        if not self._loaded:
            for encoder in self._encoders.values():
                encoder.encoder.load()
            self._loaded = True
        everything = frozenset(self._encoders)
        jobs = [Job(row, sample, decode=everything, write=frozenset()) for row, sample in enumerate(samples)]
        groups = [jobs[start : start + self.group_size] for start in range(0, len(jobs), self.group_size)]
        with cores_left_to(self._workers):
            for group in self._pool.read(groups):
                made = {feature: self._made(feature, group) for feature in self._encoders}
                yield [
                    _row(item, {feature: of_feature[item.job.row] for feature, of_feature in made.items()})
                    for item in group
                ]

    def _made(self, feature: str, group: Sequence[ReadJob]) -> dict[int, "_Made"]:
        """What a feature's encoder makes of every sample of the group."""
        read = {item.job.row: item.prepared[feature] for item in group}
        keys = {item.job.row: item.job.sample.key for item in group}
        sets = self._sets[feature]
        made = {
            row: _Made(sets, problem=outcome.reason, status=outcome.status)
            for row, outcome in read.items()
            if isinstance(outcome, Failure)
        }
        readable = {row: outcome for row, outcome in read.items() if isinstance(outcome, Prepared)}
        if not readable:
            return made
        encoded = encode_group(self._encoders[feature], readable, feature_sets=frozenset(sets))
        made |= {row: _Made(sets, problem=why, status=Status.MISSING) for row, why in encoded.failures.items()}
        for place, row in enumerate(encoded.rows):
            arrays = {name: {array: values[place] for array, values in encoded.features[name].items()} for name in sets}
            made[row] = _stored(arrays, sets, key=keys[row], notes=readable[row].notes)
        return made


@dataclass(frozen=True, eq=False)
class _Made:
    """What was made of one sample's feature: the arrays of its sets, or why there are none."""

    sets: Mapping[str, FeatureSetSpec]
    arrays: Mapping[str, Tensor] | None = None
    notes: tuple[str, ...] = ()
    problem: str = ""
    status: Status = Status.COMPLETE


def _stored(
    arrays: Mapping[str, Mapping[str, Tensor]],
    sets: Mapping[str, FeatureSetSpec],
    *,
    key: str,
    notes: tuple[str, ...],
) -> _Made:
    """One sample's arrays in the types in which they would be stored, on the host."""
    held: dict[str, Tensor] = {}
    try:
        for name, spec in sets.items():
            for array in spec.arrays:
                values = to_storage(arrays[name][array.name].unsqueeze(0), array, owners=[f"{key}, {name}"])
                held[f"{name}/{array.name}"] = from_storage(values, array).squeeze(0)
    except PrecisionError as error:
        return _Made(sets, problem=str(error), status=Status.MISSING)
    return _Made(sets, arrays=held, notes=notes)


def _row(item: ReadJob, made: Mapping[str, _Made]) -> MemoryRow:
    """The row of a sample, of what was made of each of its features."""
    lost = [each for each in made.values() if each.arrays is None]
    return MemoryRow(
        sample=item.job.sample,
        arrays={name: values for each in made.values() for name, values in (each.arrays or {}).items()},
        statuses={name: each.status for each in made.values() for name in each.sets},
        problems={name: each.problem for each in lost for name in each.sets},
        sources={
            name: item.sources[feature]
            for feature, each in made.items()
            if each.arrays is not None
            for name in each.sets
        },
        notes=tuple(note for each in made.values() for note in each.notes),
    )
