"""What is to be predicted or judged of each row: labels, classes, angles, labels of points. Never an input of a model.

A target is an array `targets/<name>` beside the index, and says in its attributes which classes its codes mean, in
which unit it is, and what there is to know before figures by it are believed.
What is not known of a row is -1 in a target of integers and NaN in one of floats. A ragged target is padded with that
too, and `<name>_length` says how much of each row is real.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, cast

import numpy as np
from jaxtyping import Int32, Shaped
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from ..documents import faults_told, seal_holds, sealed
from ..errors import SourceError, StoreError
from ..wording import brief
from .nodes import ArrayMetadata, Text, Told

TYPES = ("int8", "int16", "int32", "float32", "float64")  # signed, so that -1 is at hand

NORMAL, DEFECT, UNKNOWN = 0, 1, -1
"""Codes of the target `label`; UNKNOWN is that of every target of integers."""

LENGTH_SUFFIX = "_length"

TargetValue = int | float | str | Sequence[Any] | NDArray[Any] | None
"""What a source says of one sample: a number, an array, a class by its code or its name, None where it is not known."""

_LONGEST_NAME = 1000  # as `Text` in a store
_NUM_CLASSES = {"int8": 128, "int16": 32_768, "int32": 1 << 20}  # that the codes of a type can tell apart
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")


class ToldTarget(Told):
    """What the attributes of a target's array say of it; the array itself tells type and shape."""

    classes: Annotated[tuple[Text, ...], Field(strict=False)] | None
    unit: Text | None
    ragged: bool
    caveat: Text | None = None
    value_names: Annotated[tuple[Text, ...], Field(strict=False)] | None = None
    checksum: Text  # over the rest, for what is edited here changes what every code means

    @model_validator(mode="after")
    def _classes_are_distinct(self) -> "ToldTarget":
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have one name")
        return self


@dataclass(frozen=True)
class TargetSpec:
    """A target that a source declares.

    Attributes:
        name: lower-case letters, digits and underscores; `label` and `class` are known to the anomaly task.
        dtype: int8, int16, int32, float32 or float64.
        shape: of one row; None as the first length for a ragged axis, such as the points of a cloud.
        classes: what the codes 0, 1, ... of integers mean; None where numbers are no codes.
        unit: of the numbers, such as "degree".
        caveat: what to know before figures by this target are believed; reports tell it.
        value_names: of a target with several values a row, what each of them says; None where they have no names.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] = ()
    classes: tuple[str, ...] | None = None
    unit: str | None = None
    caveat: str | None = None
    value_names: tuple[str, ...] | None = None

    @property
    def unknown(self) -> int | float:
        """What stands for a value that is not known."""
        return UNKNOWN if self.is_integer else math.nan

    @property
    def is_integer(self) -> bool:
        """Whether its values are integers, of which -1 is none."""
        return self.dtype.startswith("int")

    @property
    def is_ragged(self) -> bool:
        """Whether rows have values in different numbers."""
        return self.shape[:1] == (None,)

    def attributes(self) -> dict[str, Any]:
        """Attributes of its array in a store, under a seal: classes, unit, whether it is ragged, and any caveat
        and names of values."""
        classes = None if self.classes is None else list(self.classes)
        caveat = {} if self.caveat is None else {"caveat": self.caveat}
        names = {} if self.value_names is None else {"value_names": list(self.value_names)}
        return sealed({"classes": classes, "unit": self.unit, "ragged": self.is_ragged, **caveat, **names})

    def is_like(self, other: "TargetSpec") -> bool:
        """Whether values of both mean the same kind of thing; classes may come and go, and names may be missing."""
        kinds = [(spec.dtype, spec.shape, spec.classes is None, spec.unit) for spec in (self, other)]
        return kinds[0] == kinds[1] and not self.names_others(other)

    def names_others(self, other: "TargetSpec") -> bool:
        """Whether both name their values, and name them otherwise."""
        return None not in (self.value_names, other.value_names) and self.value_names != other.value_names

    def holds(self, other: "TargetSpec") -> bool:
        """Whether every value of the other can be told with this one."""
        has_names = other.value_names in (None, self.value_names)
        return self.is_like(other) and has_names and set(other.classes or ()) <= set(self.classes or ())


LABEL = TargetSpec("label", "int8", classes=("normal", "defect"))
CLASS = "class"  # the target that says in the data set's own words what a sample is
UNKNOWN_CLASS = "unknown"  # how a class that is not known is told


@dataclass(frozen=True, eq=False)
class Target:
    """A target of some rows, whose values are read when they are first asked for."""

    spec: TargetSpec
    read: Callable[[], tuple[Shaped[np.ndarray, "row ..."], Int32[np.ndarray, " row"] | None]]
    num_rows: int

    @cached_property
    def values(self) -> Shaped[np.ndarray, "row ..."]:
        """One entry a row; behind what is real of a ragged one, and where nothing is known, `spec.unknown`."""
        return self._read[0]

    @cached_property
    def lengths(self) -> Int32[np.ndarray, " row"] | None:
        """How much of each row is real, -1 where it is not known; None unless the target is ragged."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[Shaped[np.ndarray, "row ..."], Int32[np.ndarray, " row"] | None]:
        return self.read()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that a store keeps of it, by name."""
        lengths = {} if self.lengths is None else {f"{self.spec.name}{LENGTH_SUFFIX}": self.lengths}
        return {self.spec.name: self.values, **lengths}

    def select(self, rows: NDArray[np.int64]) -> "Target":
        """The same target of `rows`, in that order."""

        def read() -> tuple[NDArray[Any], NDArray[np.int32] | None]:
            return self.values[rows], None if self.lengths is None else self.lengths[rows]

        return Target(self.spec, read, len(rows))

    def told(self, row: int) -> str:
        """The value of one row for a message: the class's name, the number, or what is real of a list."""
        value = self.real(row)
        if value is None:
            return UNKNOWN_CLASS
        if value.ndim:
            return brief(value.tolist())
        if self.spec.classes is not None:
            return UNKNOWN_CLASS if value < 0 else self.spec.classes[int(value)]
        return "unknown" if value == self.spec.unknown or value != value else f"{value:g}"

    def real(self, row: int) -> Any:
        """The value of one row without padding; a list may be empty, and None is one that is not known."""
        if self.lengths is None:
            return self.values[row]
        length = int(self.lengths[row])
        return None if length < 0 else self.values[row][:length]

    def class_names(self) -> Shaped[np.ndarray, " row"]:
        """The class of each row by its name; UNKNOWN_CLASS where it is not known."""
        assert self.spec.classes is not None, f"{self.spec.name} has no classes"
        names: NDArray[np.str_] = np.array([*self.spec.classes, UNKNOWN_CLASS])[self.values]  # -1 is the last
        return names


def target_of(spec: TargetSpec, values: Sequence[TargetValue], *, keys: Sequence[str]) -> Target:
    """The target of the samples `keys` from what a source says of each.

    Raises:
        SourceError: if the source says what the target cannot hold; the message names the sample.
    """
    check_spec(spec)
    row_of: dict[object, NDArray[Any] | None] = {}
    rows = []
    for value, key in zip(values, keys, strict=True):
        # A class is looked at once, however many have it.
        seen = (type(value), value) if isinstance(value, int | str | None) else key
        if seen not in row_of:
            row_of[seen] = _row(spec, value, key=key)
        rows.append(row_of[seen])
    if not spec.is_ragged:
        shape = cast(tuple[int, ...], spec.shape)
        blank = np.full(shape, spec.unknown, dtype=spec.dtype)
        whole = np.array([blank if row is None else row for row in rows], dtype=spec.dtype).reshape(len(rows), *shape)
        return Target(spec, lambda: (whole, None), len(rows))
    lengths = np.array([-1 if row is None else len(row) for row in rows], dtype=np.int32)
    longest = max(1, int(lengths.max(initial=0)))
    room = cast(tuple[int, ...], (len(rows), longest, *spec.shape[1:]))
    padded = np.full(room, spec.unknown, dtype=spec.dtype)
    for place, row in enumerate(rows):
        if row is not None:
            padded[place, : len(row)] = row
    return Target(spec, lambda: (padded, lengths), len(rows))


def check_spec(spec: TargetSpec) -> None:
    """Refuse a declaration that no store can keep.

    Raises:
        SourceError: with the name and the reason.
    """
    faults = {
        "its name is not one of lower-case letters, digits and underscores": _NAME.fullmatch(spec.name) is None
        or spec.name.endswith(LENGTH_SUFFIX),
        f"its type is {spec.dtype}": spec.dtype not in TYPES,
        "only its first axis can be ragged, and no axis is empty": None in spec.shape[1:] or 0 in spec.shape,
        "it has classes and is not of integers": spec.classes is not None and not spec.is_integer,
        f"one of its classes has a name of more than {_LONGEST_NAME} characters": spec.classes is not None
        and max(map(len, spec.classes), default=0) > _LONGEST_NAME,
        f"its caveat has more than {_LONGEST_NAME} characters": len(spec.caveat or "") > _LONGEST_NAME,
        "its values have names, and are not as many, or one name stands twice or is too long": spec.value_names
        is not None
        and not (
            spec.shape == (len(set(spec.value_names)),) == (len(spec.value_names),)
            and max(map(len, spec.value_names), default=0) <= _LONGEST_NAME
        ),
        "its classes are too many for its type, or two have one name": spec.classes is not None
        and not len(set(spec.classes)) == len(spec.classes) <= _NUM_CLASSES.get(spec.dtype, 0),
    }
    if fault := next((fault for fault, found in faults.items() if found), None):
        raise SourceError(f"The source declares a target {spec.name!r} that cannot be stored: {fault}.")


def read_spec(name: str, metadata: ArrayMetadata) -> TargetSpec:
    """What the array `targets/<name>` declares.

    Raises:
        StoreError: if it declares what is no target, or was changed by hand.
    """
    try:
        told = ToldTarget.model_validate(metadata.attributes)
        if not seal_holds(metadata.attributes):
            raise ValueError("it does not agree with its own checksum")
        shape = (None, *metadata.shape[2:]) if told.ragged else metadata.shape[1:]
        spec = TargetSpec(name, metadata.data_type, shape, told.classes, told.unit, told.caveat, told.value_names)
        if told.ragged and len(metadata.shape) < 2:
            raise ValueError("it is ragged and has no axis")
        check_spec(spec)
    except ValidationError as error:
        raise StoreError(f"targets/{name} is no target: {faults_told(error)}.") from None
    except (ValueError, SourceError) as error:
        raise StoreError(f"targets/{name} is no target: {error}.") from None
    return spec


def check_values(spec: TargetSpec, values: NDArray[Any], lengths: NDArray[np.int32] | None) -> None:
    """Refuse stored values that mean nothing.

    Raises:
        StoreError: if a code stands for no class, or a row has more than there is room for.
    """
    most = len(spec.classes) if spec.classes is not None else None
    if spec.is_integer and values.size and (values.min() < UNKNOWN or (most is not None and values.max() >= most)):
        raise StoreError(f"targets/{spec.name} holds codes that stand for no class.")
    if lengths is not None and (
        len(lengths) != len(values) or (lengths < -1).any() or (lengths > values.shape[1]).any()
    ):
        raise StoreError(f"targets/{spec.name}{LENGTH_SUFFIX} holds lengths that rows cannot have.")


def _row(spec: TargetSpec, value: TargetValue, *, key: str) -> NDArray[Any] | None:
    if value is None:
        return None
    if isinstance(value, str):
        if spec.classes is None or value not in spec.classes:
            raise SourceError(f"{key}: {value!r} is no class of the target {spec.name}.")
        return np.array(spec.classes.index(value), dtype=spec.dtype)
    given = np.asarray(value)
    if given.shape == (0,) and spec.is_ragged:  # an empty list has neither type nor other axes
        given = np.empty((0, *cast(tuple[int, ...], spec.shape[1:])), dtype=spec.dtype)
    wanted = (given.shape[:1] + spec.shape[1:]) if spec.is_ragged else spec.shape
    if given.dtype.kind not in ("iub" if spec.is_integer else "iubf") or given.shape != wanted:
        raise SourceError(
            f"{key}: the target {spec.name} is {given.dtype} of shape {given.shape}, and was declared as {spec.dtype} "
            f"of shape {spec.shape}."
        )
    row = given.astype(spec.dtype)
    most = len(spec.classes) if spec.classes is not None else None
    if spec.is_integer and ((row != given).any() or (row < UNKNOWN).any() or (most and (row >= most).any())):
        raise SourceError(f"{key}: the target {spec.name} has a value that is no class, or beyond {spec.dtype}.")
    if not spec.is_integer and np.isinf(row).any():
        raise SourceError(f"{key}: the target {spec.name} has a value beyond {spec.dtype}.")
    return row
