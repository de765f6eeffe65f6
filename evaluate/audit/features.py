"""Whether features say of each sample what is in its files, and of no other what is in these: by the features alone.

A sample's neighbour is the one whose features are nearest. How far neighbours lie apart where nothing is wrong is read
from train: pairs in two parts or two groups that are far nearer than that are two copies of one recording.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import prod

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
_ROUNDING = 1e-12  # of squares in double precision, by products
_AT_ONCE = 256  # rows in memory
_LARGEST_TABLE = 1 << 20  # bytes of a row
_FEWEST_COLUMNS, _MOST_COLUMNS, _MOST_ROWS = 32, 512, 1000  # whose correlations are looked at
_OF_CHANCE = 4.0  # deviations within which the mean square of correlations is what chance makes it
_OF_FILES = 0.02  # of a deviation that features of equal files may differ, by how they were grouped

_ONE_OF_TWO = "Look at both. If they show one thing, put both into one part and one group, or keep one."
_LABEL_INSIDE = (
    "Do not learn from it: it holds the answer. Predict it from media instead, or declare results with it as those of "
    "an oracle."
)
_DRAWN = (
    "Look at what makes it: numbers that were drawn instead of read come out otherwise when they are made again "
    "(`weldcache audit --live 3`). Learn nothing from it."
)
_NOT_OF_FILES = (
    "Extract again: `weldcache extract --refresh`. If it stays so, what makes the features draws at random or reads "
    "something else."
)


Array = tuple[str, ArraySpec, NDArray[np.int64]]
"""`<set>/<name>`, what it is, and the rows that have it and take part."""


@dataclass(frozen=True, eq=False)
class Stored:
    """A store, and how much of it is looked at.

    Attributes:
        most_work: multiply-adds that all arrays together may take; those that take the least come first, and what goes
            beyond is passed over. None: all are looked at.
        read: the feature sets that the run reads which is looked at, too; None: there is none.
    """

    store: FeatureStore
    most_work: float | None = None
    read: Collection[str] | None = None

    def arrays(self) -> list[Array]:
        """Every array that describes samples and is not passed over."""
        of_all = self._all_arrays()
        if self.most_work is None:
            return of_all
        order = sorted(range(len(of_all)), key=lambda place: _work_of(of_all[place]))
        spent = np.cumsum([_work_of(of_all[place]) for place in order])
        affordable = {place for place, so_far in zip(order, spent.tolist(), strict=True) if so_far <= self.most_work}
        return [array for place, array in enumerate(of_all) if place in affordable]

    @property
    def passed_over(self) -> str:
        """In words, that there are arrays which are not looked at; empty where there are none."""
        num = len(self._all_arrays()) - len(self.arrays())
        return f"; {count_of(num, 'larger one is', 'larger ones are')} left to `weldcache audit`" if num else ""

    def _all_arrays(self) -> list[Array]:
        part, found = self.store.index.parts != LEFT_OUT, list[Array]()
        for name in self.store.feature_sets:
            rows = np.flatnonzero((self.store.status(name) == Status.COMPLETE) & part)
            for array, spec in self.store.arrays(name).items():
                describes = not spec.tells_of_others and not spec.is_target
                if describes and spec.dtype not in ("uint8", "int32") and len(rows):
                    found.append((f"{name}/{array}", spec, rows))
        return found


def _work_of(array: Array) -> float:
    """Multiply-adds that nearest neighbours take; a number that is read and summarised counts as ten of them."""
    _, spec, rows = array
    width = spec.shape[-1] if spec.shape else 1
    return 10.0 * len(rows) * prod(spec.shape) + 2.0 * len(rows) ** 2 * width


def _near_duplicates(stored: Stored, tell: Tell) -> str:
    store, index, looked_at = stored.store, stored.store.index, []
    found: dict[tuple[int, int], list[str]] = defaultdict(list)
    copies: set[tuple[int, int]] = set()
    for array, spec, rows in stored.arrays():
        if not spec.distinct:
            continue
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
    if not looked_at and not stored.passed_over:
        return "not looked at: there are too few samples in train to tell what distance is usual"
    return f"nearest neighbours in {count_of(len(looked_at), 'array')}{stored.passed_over}"


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
    lengths = (some**2).sum(axis=1)[:, np.newaxis] + (others**2).sum(axis=1)
    squares = lengths - 2 * some @ others.T
    squares[squares < _ROUNDING * lengths] = 0  # of equal rows
    distances = np.sqrt(squares)
    distances[np.arange(len(some)), np.arange(start, start + len(some))] = np.inf
    return np.asarray(distances)


def _holds_the_answer(stored: Stored, tell: Tell) -> str:
    """Values that all samples of a class share, and no sample of another: a table of classes, and no media."""
    store, codes, looked_at = stored.store, kinds_of(stored.store.index)[1], 0
    for array, spec, rows in stored.arrays():
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
            is_read = stored.read is None or array.rpartition("/")[0] in stored.read
            tell("error" if is_read else "note", evidence, _LABEL_INSIDE, part=array)
    return f"{count_of(looked_at, 'array')} of rows that are small enough for a table{stored.passed_over}"


def _noise(stored: Stored, tell: Tell) -> str:
    """Samples differ in a few ways, in which many columns go together; those of numbers drawn one by one do not."""
    looked_at = []
    for array, spec, rows in stored.arrays():
        if not spec.dtype.startswith(("float", "bfloat")):
            continue
        values = _summaries(stored.store, array, rows[:: -(-len(rows) // _MOST_ROWS)]).astype(np.float64)
        # Of a code of ones and zeros little can be told: that it has no correlations may be how it was made.
        continuous = [column for column in values.T if len(np.unique(column)) > len(values) / 2][:_MOST_COLUMNS]
        if len(values) < _FEWEST or len(continuous) < _FEWEST_COLUMNS:
            continue
        looked_at.append(array)
        squares = np.corrcoef(continuous)[np.triu_indices(len(continuous), k=1)] ** 2
        # Of independent columns a squared correlation has this mean, whatever they are distributed as, and about this
        # deviation. Columns made uncorrelated on purpose, by whitening, lie far below.
        mean, by_chance = float(squares.mean()), 1 / (len(values) - 1)
        if abs(mean - by_chance) <= _OF_CHANCE * by_chance * (2 / len(squares)) ** 0.5:
            evidence = (
                f"its columns have no more to do with each other than numbers drawn at random: of {len(continuous)} "
                f"the mean squared correlation is {mean:.3g}, and {by_chance:.3g} by chance"
            )
            tell("error", evidence, _DRAWN, part=array)
    return f"correlations of columns in {count_of(len(looked_at), 'array')}{stored.passed_over}"


def _follow_files(stored: Stored, tell: Tell) -> str:
    """Rows that were made from equal files are equal; features that were drawn by chance are not."""
    store, looked_at = stored.store, 0
    alike_in = {name: _made_from_equal_files(store, name) for name in store.feature_sets}
    for array, _, _ in stored.arrays():
        for alike in alike_in[array.rpartition("/")[0]]:
            looked_at += 1
            pair = np.array(alike[:2], dtype=np.int64)
            first, second = read_tensor(store, array, pair).float().nan_to_num()
            if float((first - second).abs().max()) > _OF_FILES * float(first.std(correction=0)):
                told = " and ".join(store.index.keys[pair].tolist())
                tell("error", f"{told} were made from equal files and have other features", _NOT_OF_FILES, part=array)
                break
    return f"{count_of(looked_at, 'pair')} of rows that were made from equal files{stored.passed_over}"


def _made_from_equal_files(store: FeatureStore, feature_set: str) -> list[list[int]]:
    """Rows of a feature set that take part, in groups of those whose files have the same contents."""
    is_there = (store.status(feature_set) == Status.COMPLETE) & (store.index.parts != LEFT_OUT)
    rows, made_from = np.flatnonzero(is_there), defaultdict[frozenset[str], list[int]](list)
    for row, files in zip(rows.tolist(), store.sources(feature_set, rows), strict=True):
        made_from[frozenset(file.sha256 for file in files)].append(row)
    return [alike for contents, alike in made_from.items() if contents and len(alike) > 1]


STORE_CHECKS: Sequence[AuditCheck[Stored]] = (
    AuditCheck("near duplicates", "data", _near_duplicates),
    AuditCheck("answer among the features", "data", _holds_the_answer),
    AuditCheck("features follow files", "cache", _follow_files),
    AuditCheck("noise", "cache", _noise),
)
