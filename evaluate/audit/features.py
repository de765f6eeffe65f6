"""Whether features say of each sample what is in its files, and of no other what is in these: by the features alone.

A sample's neighbour is the one whose features are nearest. How far neighbours lie apart where nothing is wrong is read
from train: pairs in two parts or two groups that are far nearer than that are two copies of one recording.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from ...cache.arrays import ArraySpec
from ...cache.splits import LEFT_OUT
from ...cache.status import Status
from ...cache.store import FeatureStore
from ...cache.targets import UNKNOWN
from ...cache.tensors import read_tensor
from ...findings import Severity
from ...wording import count_of, listed
from .check import AuditCheck, Tell, few
from .listing import kinds_of

_DEVIATIONS = 6.0  # robust ones, of the logarithm of distances, below which a pair is too near
_SHARE = 0.25  # of the usual distance to a neighbour that it must be below, too
_COPY = 0.01  # of it: nothing but another encoding lies between
_FEWEST = 8  # samples of train, before their distances tell what is usual
_AT_ONCE = 256  # rows in memory
_LARGEST_TABLE = 1 << 20  # bytes of a row
_OF_FILES = 0.02  # of a deviation that features of equal files may differ, by how they were grouped

_ONE_OF_TWO = "Look at both. If they show one thing, put both into one part and one group, or keep one."
_LABEL_INSIDE = (
    "Do not learn from it: it holds the answer. Predict it from media instead, or declare results with it as those of "
    "an oracle."
)
_NOT_OF_FILES = (
    "Extract again: `weldcache extract --refresh`. If it stays so, what makes the features draws at random or reads "
    "something else."
)


def _arrays(store: FeatureStore) -> Iterator[tuple[str, ArraySpec, NDArray[np.int64]]]:
    """Every array that describes samples, with the rows that have it and take part."""
    part = store.index.parts != LEFT_OUT
    for name in store.feature_sets:
        rows = np.flatnonzero((store.status(name) == Status.COMPLETE) & part)
        for array, spec in store.arrays(name).items():
            if spec.distinct and spec.dtype not in ("uint8", "int32") and len(rows):
                yield f"{name}/{array}", spec, rows


def _near_duplicates(store: FeatureStore, tell: Tell) -> str:
    index, looked_at = store.index, []
    found: dict[tuple[int, int], list[str]] = defaultdict(list)
    copies: set[tuple[int, int]] = set()
    for array, _, rows in _arrays(store):
        is_train = index.parts[rows] == "train"
        if is_train.sum() < _FEWEST:
            continue
        looked_at.append(array)
        together = np.unique(np.stack([index.parts[rows], index.groups[rows]]), axis=1, return_inverse=True)[1]
        values = _standardised(_summaries(store, array, rows), is_train)
        usual, pairs = _too_near(values, is_train, together=together.reshape(-1))
        for first, second, distance in pairs:
            pair = (int(rows[first]), int(rows[second]))
            found[pair].append(array)
            if distance <= _COPY * usual:
                copies.add(pair)
    by_parts: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for pair in found:
        one, other = sorted(str(index.parts[row]) for row in pair)
        by_parts[one, other].append(pair)
    for (one, other), pairs_there in by_parts.items():
        same = [pair for pair in pairs_there if pair in copies]
        severity: Severity = "error" if same and one != other else "warning"
        where = f"between {one} and {other}" if one != other else f"within {one}, of two groups"
        arrays = sorted({array for pair in pairs_there for array in found[pair]})
        told = few(" = ".join(str(index.keys[row]) for row in pair) for pair in (same or pairs_there))
        tell(
            severity,
            f"{count_of(len(pairs_there), 'pair')} {where} far nearer than neighbours in train are ({told}), "
            f"{len(same):,} of them as good as equal",
            _ONE_OF_TWO,
            part=listed(arrays),
        )
    if not looked_at:
        return "not looked at: there are too few samples in train to tell what distance is usual"
    return f"nearest neighbours in {count_of(len(looked_at), 'array')}"


def _summaries(store: FeatureStore, array: str, rows: NDArray[np.int64]) -> Float32[np.ndarray, "row dim"]:
    """Mean and deviation over all axes but the last of each row: what is left of a recording that was encoded anew."""
    parts = []
    for start in range(0, len(rows), _AT_ONCE):
        values = read_tensor(store, array, rows[start : start + _AT_ONCE]).float()
        tokens = values.reshape(len(values), -1, values.shape[-1] if values.ndim > 1 else 1)
        both = (tokens.mean(dim=1), tokens.std(dim=1, correction=0)) if tokens.shape[1] > 1 else (tokens[:, 0],)
        parts.append(torch.cat(both, dim=1).nan_to_num())
    return torch.cat(parts).numpy()


def _standardised(
    values: Float32[np.ndarray, "row dim"], is_train: NDArray[np.bool_]
) -> Float64[np.ndarray, "row dim"]:
    """In deviations of train, from its mean."""
    known = values[is_train].astype(np.float64)
    deviation = known.std(axis=0)
    return np.asarray((values - known.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0))


def _too_near(
    values: Float64[np.ndarray, "row dim"], is_train: NDArray[np.bool_], *, together: NDArray[np.int64]
) -> tuple[float, list[tuple[int, int, float]]]:
    """The usual distance of a sample of train from its neighbour there; and of each row and its nearest one that is not
    in the same group of the same part, with the number of which in `together`, those pairs that are too near."""
    of_train = values[is_train]
    nearest = np.concatenate([_distances(of_train, start, of_train).min(axis=1) for start in _starts(of_train)])
    apart = nearest[nearest > 0]
    if len(apart) < _FEWEST / 2:
        return 0.0, []
    logarithms = np.log(apart)
    middle = float(np.median(logarithms))
    deviation = 1.4826 * float(np.median(np.abs(logarithms - middle)))
    usual = float(np.exp(middle))
    limit = min(float(np.exp(middle - _DEVIATIONS * deviation)), _SHARE * usual)
    pairs = set()
    for start in _starts(values):
        distances = _distances(values, start, values)
        distances[together[start : start + _AT_ONCE, np.newaxis] == together] = np.inf
        for place in np.flatnonzero(distances.min(axis=1) < limit).tolist():
            other = int(distances[place].argmin())
            first, second = sorted((start + place, other))
            pairs.add((first, second, float(distances[place, other])))
    return usual, sorted(pairs)


def _starts(values: Float64[np.ndarray, "row dim"]) -> range:
    return range(0, len(values), _AT_ONCE)


def _distances(
    values: Float64[np.ndarray, "row dim"], start: int, others: Float64[np.ndarray, "other dim"]
) -> Float64[np.ndarray, "some other"]:
    """Euclidean distances of some rows from all; a row's own is infinite."""
    some = values[start : start + _AT_ONCE]
    exact = "donot_use_mm_for_euclid_dist"  # by products, small distances are lost in rounding
    distances = torch.cdist(torch.from_numpy(some), torch.from_numpy(others), compute_mode=exact)
    distances[torch.arange(len(some)), torch.arange(start, start + len(some))] = torch.inf
    return np.asarray(distances.numpy())


def _holds_the_answer(store: FeatureStore, tell: Tell) -> str:
    """Values that all samples of a class share, and no sample of another: a table of classes, and no media."""
    codes, looked_at = kinds_of(store.index)[1], 0
    for array, spec, rows in _arrays(store):
        known = rows[codes[rows] != UNKNOWN]
        if len(known) < _FEWEST or len(np.unique(codes[known])) < 2 or spec.row_bytes > _LARGEST_TABLE:
            continue
        looked_at += 1
        kinds_of_value: dict[bytes, set[int]] = defaultdict(set)
        for row, values in zip(known.tolist(), store.read(array, known), strict=True):
            kinds_of_value[values.tobytes()].add(int(codes[row]))
        several = 1 < len(kinds_of_value) <= len(known) / 2
        if several and all(len(kinds) == 1 for kinds in kinds_of_value.values()):
            evidence = (
                f"{len(kinds_of_value):,} different rows stand for {count_of(len(known), store.noun)}, each for "
                "samples of one kind: who sees it knows the answer"
            )
            tell("error", evidence, _LABEL_INSIDE, part=array)
    return f"{count_of(looked_at, 'array')} of rows that are small enough for a table"


def _follow_files(store: FeatureStore, tell: Tell) -> str:
    """Rows that were made from equal files are equal; features that were drawn by chance are not."""
    looked_at = 0
    for array, _, rows in _arrays(store):
        made_from: dict[frozenset[str], list[int]] = defaultdict(list)
        for row, files in zip(rows.tolist(), store.sources(array.rpartition("/")[0], rows), strict=True):
            made_from[frozenset(file.sha256 for file in files)].append(row)
        for contents, alike in made_from.items():
            if not contents or len(alike) < 2:
                continue
            looked_at += 1
            pair = np.array(alike[:2], dtype=np.int64)
            first, second = read_tensor(store, array, pair).float().nan_to_num()
            if float((first - second).abs().max()) > _OF_FILES * float(first.std(correction=0)):
                told = " and ".join(store.index.keys[pair].tolist())
                tell("error", f"{told} were made from equal files and have other features", _NOT_OF_FILES, part=array)
                break
    return f"{count_of(looked_at, 'pair')} of rows that were made from equal files"


STORE_CHECKS: Sequence[AuditCheck[FeatureStore]] = (
    AuditCheck("near duplicates", "data", _near_duplicates),
    AuditCheck("answer among the features", "data", _holds_the_answer),
    AuditCheck("features follow files", "cache", _follow_files),
)
