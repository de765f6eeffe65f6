"""Stage one, from a folder of recordings to complete rows in the store.

    source -> samples -> plan -> decode workers -> encoders -> writer -> status

Kill it at any point: what is complete stays, and the next run does the rest.
"""

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..cache.index import Index, index_of
from ..cache.provenance import Json, differences
from ..cache.status import Status
from ..cache.store import FeatureStore
from ..cache.writer import StoreWriter
from ..configs.schema import Settings
from ..errors import FingerprintError, NotFoundError
from ..locking import locked_folder
from ..progress import Progress, format_seconds, say
from .interrupts import kept_interrupt
from .loader import Failure, ReadTask, read_groups
from .modalities.load import TextVector, load_encoders, load_text_vector
from .modalities.modality import Encoder, Features, Prepared
from .plan import ExtractPlan, plan_extraction
from .sample import SPLITS, Sample
from .sources.open import open_source

_WRITES_AHEAD = 4  # groups that may wait for the disk before the device waits too


@dataclass(frozen=True)
class ExtractSummary:
    """What a run did and what the store holds now, for the rows asked for."""

    num_rows: int
    num_tried: int  # rows that this run worked on
    counts: Mapping[str, Mapping[str, int]]  # modality -> status name -> rows
    problems: Sequence[tuple[str, str, str]]  # key, modality, reason
    seconds: float
    busy: Mapping[str, float]  # seconds that the run waited for: decode, backbones, disk
    random_backbones: bool


def extract(settings: Settings, *, split: str = "all") -> ExtractSummary:
    """Bring the rows of `split` (train, val, test or all) into the store that `settings` name.

    Raises:
        NotFoundError: if there is no data set, or it has no such split.
        FingerprintError: if the store was made from something else; the message names each difference.
    """
    started = time.monotonic()
    samples = open_source(settings.data).samples()
    splits = SPLITS if split == "all" else (split,)
    if not any(sample.split in splits for sample in samples):
        raise NotFoundError(f"{settings.data.root} has no welds in the split {split}.")
    encoders = load_encoders(settings)
    text = load_text_vector(settings)
    index = _index(samples)
    path = settings.cache.path
    if not (path / "zarr.json").exists():
        FeatureStore.create(path, index=index)
    with locked_folder(path):
        store = FeatureStore.open(path)
        _reconcile(store, index, encoders, text)
        plan = plan_extraction(
            store,
            samples,
            splits=splits,
            row_bytes={name: encoder.spec.row_bytes for name, encoder in encoders.items()},
            batch_size=settings.extract.batch_size,
        )
        _announce(plan, store)
        busy = _run(plan, store, encoders, workers=settings.extract.workers)
    return _summarise(
        store,
        encoders,
        plan,
        samples=[sample for sample in samples if sample.split in splits],
        busy=busy,
        seconds=time.monotonic() - started,
    )


def _index(samples: Sequence[Sample]) -> Index:
    names = list(samples[0].attributes)
    return index_of(
        keys=[sample.key for sample in samples],
        splits=[sample.split for sample in samples],
        class_names=[sample.class_name for sample in samples],
        sessions=[sample.session for sample in samples],
        labels=[sample.label for sample in samples],
        attributes={name: [sample.attributes[name] for sample in samples] for name in names},
    )


def _reconcile(store: FeatureStore, index: Index, encoders: Mapping[str, Encoder], text: TextVector) -> None:
    """Refuse a store of other making; otherwise give it the rows, modalities and constants that it lacks."""
    requested: dict[str, Mapping[str, Json]] = {name: encoder.spec.to_manifest() for name, encoder in encoders.items()}
    requested["text"] = {"made_by": text.made_by}
    held = {name: store.manifest[name] for name in requested if name in store.manifest}
    found = differences(held, {name: requested[name] for name in held})
    if found:
        shown = "\n  ".join(f"{path}: the cache has {mine}, the request {theirs}" for path, mine, theirs in found)
        raise FingerprintError(
            f"{store.path} was made by something else than what is asked for:\n  {shown}\n"
            "Ask for what it was made with, or extract into another cache with --cache."
        )
    _add_rows(store, index)
    for name, encoder in encoders.items():
        if name not in held:
            store.add_modality(encoder.spec)
    if "text" not in held:
        store.add_constant("text/prompt", text.vector, made_by=text.made_by)


def _add_rows(store: FeatureStore, index: Index) -> None:
    held, asked = set(store.index.keys.tolist()), set(index.keys.tolist())
    if not held & asked:
        raise FingerprintError(
            f"None of the {len(asked)} welds of the data set is among the {len(held)} of {store.path}, which holds "
            "another data set. Extract into another cache with --cache."
        )
    if asked - held:
        say(f"{len(asked - held)} welds are new and get rows of their own.")
    if held - asked:
        say(f"{len(held - asked)} welds of {store.path} are not in the data set any more; their rows stay.")
    store.add_rows(index)


def _announce(plan: ExtractPlan, store: FeatureStore) -> None:
    size = plan.bytes_todo / 1e6
    say(f"{store.path}: {plan.num_todo} of {plan.num_rows} welds to do, {size:,.1f} MB to write.")
    if store.random_backbones:
        say("These are random-weight demo backbones: they show that everything works, not what a trained one can do.")


def _run(plan: ExtractPlan, store: FeatureStore, encoders: Mapping[str, Encoder], *, workers: int) -> dict[str, float]:
    """Overlap decoding, backbones and disk; return the seconds that the run stood waiting for each."""
    busy = {"decode": 0.0, "backbones": 0.0, "disk": 0.0}
    if not plan.groups:
        return busy
    readers = {name: encoder.reader for name, encoder in encoders.items()}
    writer = StoreWriter(store)
    pending: deque[Future[None]] = deque()
    done = plan.num_rows - plan.num_todo
    with (
        _cores_left_to(workers),
        Progress("extract", total=plan.num_rows, unit="welds", done=done) as progress,
        ThreadPoolExecutor(1) as disk,
        kept_interrupt() as raise_if_interrupted,
    ):
        mark = time.monotonic()
        for group in read_groups(plan.groups, readers=readers, workers=workers):
            mark = _charge(busy, "decode", mark)
            features = {name: _encode(encoder, name, group) for name, encoder in encoders.items()}
            mark = _charge(busy, "backbones", mark)
            pending.append(disk.submit(_write, writer, group, features))
            while len(pending) > _WRITES_AHEAD or (pending and pending[0].done()):
                pending.popleft().result()
            progress.advance(sum(bool(item.task.write) for item in group))
            raise_if_interrupted()
            mark = _charge(busy, "disk", mark)
        while pending:
            pending.popleft().result()
        _charge(busy, "disk", mark)
    return busy


@contextmanager
def _cores_left_to(workers: int) -> Iterator[None]:
    """Leave the decode workers their cores: small models run several times slower when threads fight for one."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before - workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _charge(busy: dict[str, float], side: str, since: float) -> float:
    now = time.monotonic()
    busy[side] += now - since
    return now


def _readable(group: Sequence[ReadTask], modality: str) -> dict[int, Prepared]:
    """What could be read of a modality, by row."""
    found = {item.task.row: item.prepared.get(modality) for item in group}
    return {row: prepared for row, prepared in found.items() if isinstance(prepared, Prepared)}


def _encode(encoder: Encoder, modality: str, group: Sequence[ReadTask]) -> dict[int, Features]:
    """Features by row, for the samples of the group that could be read."""
    readable = _readable(group, modality)
    return dict(zip(readable, encoder.encode(list(readable.values())), strict=True)) if readable else {}


def _write(writer: StoreWriter, group: Sequence[ReadTask], features: Mapping[str, Mapping[int, Features]]) -> None:
    for modality, by_row in features.items():
        wanted = [item.task.row for item in group if modality in item.task.write and item.task.row in by_row]
        prepared = _readable(group, modality)
        notes = ["; ".join(prepared[row].notes) for row in wanted]
        writer.write(modality, wanted, [by_row[row] for row in wanted], notes=notes)
    for item in group:
        for modality in sorted(item.task.write):
            outcome = item.prepared[modality]
            if isinstance(outcome, Failure):
                writer.report(modality, item.task.row, outcome.status, reason=outcome.reason)


def _summarise(
    store: FeatureStore,
    encoders: Mapping[str, Encoder],
    plan: ExtractPlan,
    *,
    samples: Sequence[Sample],
    busy: Mapping[str, float],
    seconds: float,
) -> ExtractSummary:
    keys = {sample.key for sample in samples}
    asked = np.isin(store.index.keys, list(keys))
    statuses = {name: store.status(name) for name in encoders}
    return ExtractSummary(
        num_rows=plan.num_rows,
        num_tried=plan.num_todo,
        counts={name: _count(status[asked]) for name, status in statuses.items()},
        problems=[
            (key, name, reason) for name in encoders for key, reason in store.problems(name).items() if key in keys
        ],
        seconds=seconds,
        busy=busy,
        random_backbones=store.random_backbones,
    )


def _count(status: NDArray[np.uint8]) -> dict[str, int]:
    counted = Counter(Status(value).name.lower() for value in status.tolist())
    return dict(counted)


def describe_summary(summary: ExtractSummary) -> str:
    """The end of a run in a few lines: what is there, what is not and why, where the time went."""
    lines = [
        f"{modality}: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
        for modality, counts in summary.counts.items()
    ]
    lines += [f"  {key}, {modality}: {reason}" for key, modality, reason in summary.problems]
    total = sum(summary.busy.values())
    if total > 0:
        shares = ", ".join(f"{side} {seconds / total:.0%}" for side, seconds in summary.busy.items())
        slowest = max(summary.busy, key=lambda side: summary.busy[side])
        lines.append(f"Waited for: {shares}. The bottleneck is {slowest}.")
    lines.append(f"{summary.num_tried} welds gone through in {format_seconds(summary.seconds)}.")
    return "\n".join(lines)
