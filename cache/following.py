"""What a data set says now, and what a store knew before: where the two disagree, and the index that follows it.

Rows are appended, left out and taken in again; what is said otherwise of a row is taken over only where that is asked
for. No feature depends on any of it.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from ..errors import FingerprintError
from ..wording import count_of, lined_up
from .index import Column, Index
from .splits import LEFT_OUT
from .targets import UNKNOWN, Target, TargetSpec, check_spec


def following(held: Index, data_set: Index, *, relabel: bool = False) -> Index:
    """A store's index as `data_set` is now, or `held` itself where nothing has changed.

    Rows that only `data_set` has are appended, and targets and attributes that only it has taken over. Rows that it
    does not have are left out: their split becomes `LEFT_OUT`, until it has them again. With `relabel`, what it says
    otherwise of a row (its split, group, targets or attributes) is taken over; no feature depends on it.

    Raises:
        FingerprintError: without `relabel`, if a key that both have differs in anything but its row: a sample would
            be trained on that was held back before. So are attributes and targets that it does not have any more.
    """
    row_of = held.row_of()
    places = np.array([row_of.get(key, -1) for key in data_set.keys.tolist()], dtype=np.int64)
    known = places >= 0
    rows = places[known]
    mine, theirs = held.select(rows), data_set.select(np.flatnonzero(known))
    if not relabel:
        told = disagreements(mine, theirs)
        lines = [*_declared_otherwise(held, data_set), *(f"{key}: {line}" for key in told for line in told[key])]
        if lines:
            raise FingerprintError(
                f"The cache and the data disagree on {count_of(len(lines), 'entry', 'entries')}:\n"
                f"{lined_up(lines)}\n"
                "Restore the data as it was; or take over what it says now, without computing a feature again, with "
                "`weldcache extract --relabel`."
            )
    gone = np.ones(len(held), dtype=bool)
    gone[rows] = False
    changed = (
        not known.all()
        or (held.parts[gone] != LEFT_OUT).any()
        or bool(disagreements(mine, theirs, even_left_out=True))
        or held.targets.keys() != data_set.targets.keys()
        or held.attributes.keys() != data_set.attributes.keys()
        or any(not held.targets[name].spec.holds(target.spec) for name, target in data_set.targets.items())
    )
    if not changed:
        return held
    return Index(
        keys=np.concatenate([held.keys, data_set.keys[~known]]),
        groups=_column_taken_over(held.groups, data_set.groups, rows=rows, known=known),
        parts=_column_taken_over(np.where(gone, LEFT_OUT, held.parts), data_set.parts, rows=rows, known=known),
        targets={
            name: _target_taken_over(held.targets.get(name), target, num_rows=len(held), rows=rows, known=known)
            for name, target in data_set.targets.items()
        },
        attributes={
            name: _column_taken_over(
                held.attributes.get(name, _unknown(column, len(held))), column, rows=rows, known=known
            )
            for name, column in data_set.attributes.items()
        },
    )


def disagreements(held: Index, other: Index, *, even_left_out: bool = False) -> dict[str, list[str]]:
    """What `other`, of the same keys, says otherwise, in words by key; not of rows that `held` leaves out, unless
    these are asked for too."""
    compared = np.ones(len(held), dtype=bool) if even_left_out else held.parts != LEFT_OUT
    found: dict[str, list[str]] = {}
    mine, theirs = _plain_columns(held), _plain_columns(other)
    for name in (name for name in mine if name in theirs):
        for row in np.flatnonzero(_columns_differ(mine[name], theirs[name]) & compared).tolist():
            told = f"{name} is {mine[name][row]} in the cache, {theirs[name][row]} in the data"
            found.setdefault(str(held.keys[row]), []).append(told)
    for name in (name for name in held.targets if name in other.targets):
        here, there = held.targets[name], other.targets[name]
        for row in np.flatnonzero(targets_differ(here, there) & compared).tolist():
            told = f"{name} is {here.told(row)} in the cache, {there.told(row)} in the data"
            found.setdefault(str(held.keys[row]), []).append(told)
    return found


def targets_differ(mine: Target, theirs: Target) -> Bool[np.ndarray, " row"]:
    """Where two targets of the same rows say something else; everywhere if the two are of different kinds."""
    if not mine.spec.is_like(theirs.spec):
        return np.ones(mine.num_rows, dtype=bool)
    common = mine.spec
    if mine.spec.classes is not None and theirs.spec.classes is not None:
        together = tuple(dict.fromkeys([*mine.spec.classes, *theirs.spec.classes]))
        common = replace(mine.spec, classes=together, dtype="int32")  # which may be more than either's type holds
    length = max(target.values.shape[1] if common.is_ragged else 0 for target in (mine, theirs))
    first, second = (_padded(_recoded(target, common), length) for target in (mine, theirs))
    unequal = (first != second) & ~((first != first) & (second != second))  # NaN is as unknown as NaN
    differs = unequal.reshape(len(unequal), -1).any(axis=1)
    return np.asarray(differs if mine.lengths is None else differs | (mine.lengths != theirs.lengths))


def _declared_otherwise(held: Index, asked: Index) -> Iterator[str]:
    """Attributes and targets that only the store has, or targets that are something else by now, in words."""
    for name in sorted(held.attributes.keys() - asked.attributes.keys()):
        yield f"only the cache has the attribute {name}"
    for name in sorted(held.targets.keys() | asked.targets.keys()):
        mine, theirs = held.targets.get(name), asked.targets.get(name)
        if mine is None:
            continue  # what is said for the first time contradicts nothing
        if theirs is None:
            yield f"only the cache has the target {name}"
        elif mine.spec.names_others(theirs.spec):
            yield f"the values of the target {name} have other names in the cache than in the data"
        elif not mine.spec.is_like(theirs.spec):
            yield f"the target {name} is declared as {mine.spec} in the cache, {theirs.spec} in the data"


def _plain_columns(index: Index) -> dict[str, Column]:
    attributes = {f"attributes/{name}": column for name, column in index.attributes.items()}
    return {"split": index.parts, "group": index.groups, **attributes}


def _columns_differ(mine: Column, theirs: Column) -> Bool[np.ndarray, " row"]:
    if mine.dtype.kind != theirs.dtype.kind:  # numbers that are text by now
        return np.ones(len(mine), dtype=bool)
    differs: NDArray[np.bool_] = mine != theirs
    return differs & ~(np.isnan(mine) & np.isnan(theirs)) if mine.dtype.kind == "f" else differs


def _column_taken_over(
    mine: NDArray[Any], theirs: NDArray[Any], *, rows: NDArray[np.int64], known: NDArray[np.bool_]
) -> Column:
    column = np.concatenate([mine, theirs[~known]])
    column[rows] = theirs[known]
    return column


def _unknown(like: NDArray[Any], num_rows: int) -> NDArray[Any]:
    """An attribute of which nothing is known: NaN, or nothing where it is text."""
    return np.full(num_rows, np.nan if like.dtype.kind == "f" else "", dtype=like.dtype)


def _target_taken_over(
    held: Target | None,
    asked: Target,
    *,
    num_rows: int,
    rows: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> Target:
    """A store's target as the data set has it now.

    `held` is that of the store's `num_rows` rows, if it has one; those samples of `asked` that are `known` belong to
    `rows`, the others follow behind. Rows of which the data set says nothing keep what they had, or become unknown
    where that was something else.
    """
    spec, kept = asked.spec, None
    if held is not None and held.spec.is_like(spec):
        gone = np.setdiff1d(np.arange(num_rows), rows)
        used = np.unique(held.values[gone]).tolist() if spec.classes is not None else []
        more = [held.spec.classes[code] for code in used if code >= 0] if held.spec.classes is not None else []
        if spec.classes is not None:
            spec = replace(spec, classes=tuple(dict.fromkeys([*spec.classes, *more])))
        kept = _recoded(held, spec)
    check_spec(spec)
    given = _recoded(asked, spec)
    length = max(target.values.shape[1] if spec.is_ragged else 0 for target in (given, kept or given))
    shape = (num_rows + int(np.sum(~known)), *_padded(given, length).shape[1:])
    values = np.full(shape, spec.unknown, dtype=spec.dtype)
    lengths = np.full(shape[0], UNKNOWN, dtype=np.int32) if spec.is_ragged else None
    places = np.empty(len(known), dtype=np.int64)
    places[known], places[~known] = rows, np.arange(num_rows, shape[0])
    for target, at in ((kept, np.arange(num_rows)), (given, places)):
        if target is not None:
            values[at] = _padded(target, length)
            if lengths is not None and target.lengths is not None:
                lengths[at] = target.lengths
    return Target(spec, lambda: (values, lengths), len(values))


def _recoded(target: Target, spec: TargetSpec) -> Target:
    """The target with the codes that its classes have in `spec`."""
    if target.spec.classes is None or target.spec.classes == spec.classes or spec.classes is None:
        return Target(spec, lambda: (target.values, target.lengths), target.num_rows)
    place = {name: code for code, name in enumerate(spec.classes)}
    codes = np.array([*(place.get(name, UNKNOWN) for name in target.spec.classes), UNKNOWN], dtype=spec.dtype)
    return Target(spec, lambda: (codes[target.values], target.lengths), target.num_rows)


def _padded(target: Target, length: int) -> NDArray[Any]:
    """Values with room for `length` entries a row, if the target is ragged."""
    values = target.values
    if not target.spec.is_ragged or values.shape[1] == length:
        return values
    room = [(0, 0), (0, length - values.shape[1]), *[(0, 0)] * (values.ndim - 2)]
    return np.pad(values, room, constant_values=target.spec.unknown)
