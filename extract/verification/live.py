"""Cached against live: random samples decoded and put through the backbones again, and held against the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...cache.arrays import ArraySpec
from ...cache.chunk_files import HOW_TO_MEND
from ...cache.status import SourceFile, Status
from ...cache.store import FeatureStore
from ...cache.verification.chunk_scan import to_float64
from ...cache.verification.outcome import MEND, StoreFinding
from ...documents import Json
from ...errors import StoreError
from ...findings import Check, Finding, Severity
from ...progress import Progress
from ...wording import count_of
from ..batching import CPU_GROUP_SIZE, AdaptiveEncoder
from ..changes import sets_of_others
from ..features.kind import Constant, Encoder, Prepared
from ..plan import Job
from ..pool.decode_pool import DecodePool
from ..request import Request
from ..sources.source import Sample
from .comparison import FLOORS, TOLERANCE, Comparison, LiveArray, compare

_REMEDY_OF_FILES = "Restore the files, or compute the sample from them as they are now: `weldcache extract --refresh`."
_REMEDY_OF_NOTHING = "Name the data set and the backbones that made the store, with --config or --set."

NOT_ASKED_FOR = "not compared: the settings do not ask for it"
REMEDY_OF_NOT_ASKED_FOR = "Name its settings with --config or --set."
_NOT_AMONG_THESE = "not compared: none of the samples that were taken has it"
_REMEDY_OF_NOT_AMONG_THESE = "Take more samples with --live, or others with --seed."


@dataclass(frozen=True)
class LiveResult:
    """What was compared, as JSON and as a check."""

    description: Mapping[str, Json]
    check: Check


def compare_live(
    store: FeatureStore, request: Request, *, feature_sets: frozenset[str], num_samples: int, seed: int
) -> LiveResult:
    """Recompute `num_samples` random complete samples and compare every array of `feature_sets`, and the constants.

    `feature_sets` are those that the request's backbones made; others cannot be compared, and those that the request
    does not name are noted.

    Raises:
        BackboneError: if a backbone cannot be loaded.
    """
    readers = {feature: encoder.reader for feature, encoder in request.encoders.items()}
    with DecodePool(readers, workers=0, root=request.root, limits=request.limits) as pool:
        comparer = _Comparer(store, request, feature_sets, pool)
        rows = comparer.choose(num_samples, seed=seed)
        total = len(rows) * len(request.encoders)
        with Progress("Comparing with live features", total=total, unit="rows") as progress:
            for feature, encoder in request.encoders.items():
                comparer.compare_feature(feature, encoder, rows, progress)
    for constant in request.constants.values():
        comparer.compare_constant(constant)
    if not comparer.arrays:
        evidence = "nothing could be compared: no complete sample is in the data set and made by what the settings name"
        comparer.findings.append(Finding("live", "warning", evidence, _REMEDY_OF_NOTHING))
    passed = not comparer.findings
    comparer.findings += [
        Finding("live", "note", NOT_ASKED_FOR, REMEDY_OF_NOT_ASKED_FOR, part=name)
        for name in sets_of_others(store, request.encoders)
    ]
    comparer.findings += [
        Finding("live", "note", _NOT_AMONG_THESE, _REMEDY_OF_NOT_AMONG_THESE, part=name)
        for name in comparer.sets_without(rows)
    ]
    arrays = list(comparer.arrays.values())
    description: dict[str, Json] = {
        "samples": len(rows),
        "noun": request.noun,
        "seed": seed,
        "keys": [str(store.index.keys[row]) for row in rows],
        "passed": passed,
        "tolerance": TOLERANCE,
        "arrays": [array.to_json() for array in arrays],
    }
    looked_at = f"{count_of(len(rows), request.noun)}, seed {seed}, {count_of(len(arrays), 'array')}"
    return LiveResult(description, Check("live", looked_at, comparer.findings))


@dataclass(frozen=True)
class _Read:
    """A sample's feature decoded again, and the files that it was decoded from."""

    prepared: Prepared
    sources: Sequence[SourceFile]


class _Comparer:
    """Decodes, computes and compares, one feature after the other, so that one backbone is at work at a time."""

    def __init__(self, store: FeatureStore, request: Request, feature_sets: frozenset[str], pool: DecodePool) -> None:
        self._store = store
        self._pool = pool
        self._sets = feature_sets
        self._status = {name: store.status(name) for name in sorted(feature_sets)}
        row_of = store.index.row_of()
        self._sample_of: Mapping[int, Sample] = {
            row_of[sample.key]: sample for sample in request.samples if sample.key in row_of
        }
        self._group_size = store.batching.get("group_size", CPU_GROUP_SIZE)
        self.arrays: dict[str, LiveArray] = {}
        self.findings: list[Finding] = []

    def choose(self, num_samples: int, *, seed: int) -> list[int]:
        """Random rows that are complete in some feature set and in the data set; all of them if there are no more."""
        complete = np.zeros(len(self._store.index), dtype=bool)
        for status in self._status.values():
            complete |= status == Status.COMPLETE
        candidates = [row for row in np.flatnonzero(complete).tolist() if row in self._sample_of]
        generator = np.random.default_rng(seed)
        chosen = generator.choice(candidates, size=min(num_samples, len(candidates)), replace=False)
        return sorted(int(row) for row in chosen)

    def sets_without(self, rows: Sequence[int]) -> list[str]:
        """Feature sets that some sample has and none of `rows`: not compared, which must not pass for passed."""
        complete = {name: status == Status.COMPLETE for name, status in self._status.items()}
        return [name for name, of_set in complete.items() if of_set.any() and not of_set[list(rows)].any()]

    def compare_feature(self, feature: str, encoder: Encoder, rows: Sequence[int], progress: Progress) -> None:
        """Compare all feature sets of a feature."""
        names = [spec.name for spec in encoder.specs if spec.name in self._sets]
        wanted = {row: frozenset(name for name in names if self._status[name][row] == Status.COMPLETE) for row in rows}
        todo = [row for row in rows if wanted[row]]
        progress.advance(len(rows) - len(todo))
        if not todo:
            return
        encoder.load()
        adaptive = AdaptiveEncoder(encoder, name=feature, at_once=self._group_size)
        for start in range(0, len(todo), self._group_size):
            group = todo[start : start + self._group_size]
            read = {row: self._read(row, feature) for row in group}
            readable = {row: item for row, item in read.items() if item is not None}
            if readable:
                self._compare_group(adaptive, readable, wanted)
            progress.advance(len(group))

    def compare_constant(self, constant: Constant) -> None:
        """Compare a constant, where the store has it from the same model."""
        name = constant.name
        if name not in self._store.constants or name not in self._sets:
            return
        vector = constant.vector()
        spec = ArraySpec(name, vector.shape, ("dim",), "float32")
        try:
            cached = self._store.constant(name)
        except StoreError:
            return  # the checks of the store alone tell of it
        if cached.shape != vector.shape:
            self._tell_constant(name, f"its shape is {cached.shape}, live it is {vector.shape}")
            return
        floor = FLOORS[constant.arithmetic]
        compared = compare(cached, together=vector, alone=constant.vector(), spec=spec, floor=floor)
        self._array(name).add("", compared, cached.astype(np.float64))
        if not compared.passed:
            self._tell_constant(name, f"live and cached differ by up to {compared.difference:.2e}")

    def _tell_constant(self, name: str, evidence: str) -> None:
        self.findings.append(StoreFinding("live", "error", evidence, HOW_TO_MEND, part=name, mend="drop"))

    def _read(self, row: int, feature: str) -> _Read | None:
        """Decode a sample again; tells of what cannot be decoded any more."""
        job = Job(row=row, sample=self._sample_of[row], decode=frozenset({feature}), write=frozenset())
        ((item,),) = self._pool.read([[job]])
        outcome = item.prepared[feature]
        if isinstance(outcome, Prepared):
            return _Read(outcome, item.sources[feature])
        evidence = f"complete in the cache, and cannot be read any more: {outcome.reason}"
        key = job.sample.key
        # Where memory ran out, nothing is known of the files.
        severity: Severity = "warning" if outcome.status == Status.MISSING else "error"
        self.findings.append(Finding("live", severity, evidence, _REMEDY_OF_FILES, key=key, part=feature))
        return None

    def _compare_group(
        self, encoder: AdaptiveEncoder, read: Mapping[int, _Read], wanted: Mapping[int, frozenset[str]]
    ) -> None:
        names = frozenset(name for row in read for name in wanted[row])
        items = [item.prepared for item in read.values()]
        # Repeated up to the size of the store's groups: the same shapes give the same sums, to the last bit.
        together = encoder.encode([items[place % len(items)] for place in range(self._group_size)], feature_sets=names)
        for place, (row, item) in enumerate(read.items()):
            alone = encoder.encode([item.prepared], feature_sets=names)
            for name in sorted(wanted[row]):
                for spec in self._store.arrays(name).values():
                    live = together[name][spec.name][place], alone[name][spec.name][0]
                    self._compare_array(row, name, spec, *live, sources=item.sources)

    def _compare_array(
        self, row: int, name: str, spec: ArraySpec, together: Tensor, alone: Tensor, *, sources: Sequence[SourceFile]
    ) -> None:
        try:
            cached = np.asarray(self._store.read(f"{name}/{spec.name}", [row])[0])
        except StoreError:
            return  # the checks of the store alone tell of it
        floor = self._floor(name, spec)
        compared = compare(cached, together=_on_host(together), alone=_on_host(alone), spec=spec, floor=floor)
        key = str(self._store.index.keys[row])
        self._array(f"{name}/{spec.name}").add(key, compared, to_float64(cached, spec.dtype))
        if not compared.passed:
            self._tell(row, name, spec, compared, sources)

    def _tell(self, row: int, name: str, spec: ArraySpec, compared: Comparison, sources: Sequence[SourceFile]) -> None:
        allowed = "they have to be equal"
        if np.isfinite(compared.of_tolerance):
            allowed = f"{compared.of_tolerance:,.1f} times what is allowed"
        evidence = f"live and cached differ by up to {compared.difference:.2e}: {allowed}"
        remedy, mend = MEND, True
        if not self._made_from(row, name, sources):
            evidence += "; the sample's files are not those that it was made from"
            remedy, mend = _REMEDY_OF_FILES, False
        self.findings.append(
            StoreFinding(
                "live",
                "error",
                evidence,
                remedy,
                key=str(self._store.index.keys[row]),
                part=f"{name}/{spec.name}",
                mend="forget" if mend else "",
                feature_set=name,
                row=row,
            )
        )

    def _made_from(self, row: int, name: str, sources: Sequence[SourceFile]) -> bool:
        try:
            (recorded,) = self._store.sources(name, [row])
        except StoreError:
            return True  # not known to be otherwise
        return [file.sha256 for file in recorded] == [file.sha256 for file in sources] or not recorded

    def _array(self, name: str) -> LiveArray:
        return self.arrays.setdefault(name, LiveArray(name))

    def _floor(self, name: str, spec: ArraySpec) -> float | None:
        """Relative to an array's rms; None for what goes through no backbone."""
        backbone = self._store.manifest["features"][name]["made_by"].get("backbone")
        if backbone is None or spec.dtype not in ("float16", "bfloat16", "float32"):
            return None
        return FLOORS[backbone["arithmetic"]]


def _on_host(values: Tensor) -> NDArray[np.float64]:
    return values.to("cpu", torch.float64).numpy()
