"""Splits: which rows a model is trained on, validated on and tested on, as named tables beside the rows.

The data set's own split is called `official`. Others are made with `weldcache split`, from the same rows and without a
feature being touched. A split is known by its hash, over the keys of the rows that take part and where they belong: a
run records it, and rows that join the store later, which take no part in splits made before, do not change it.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from jaxtyping import Int8, Shaped
from pydantic import Field, ValidationError

from ..documents import Json, faults_told
from ..errors import SettingsError, SourceError, StoreError
from .nodes import ArrayMetadata, JsonObject, Text, Told

OFFICIAL = "official"

LEFT_OUT = "left_out"
"""The part of rows that take none: what the data set does not list any more, or a split does not name."""

_USUAL = ("train", "val", "test")  # parts in the order in which they are told
_MOST_PARTS = 127
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")


class ToldSplit(Told):
    """What the attributes of a split's array say of it."""

    parts: Annotated[tuple[Text, ...], Field(strict=False, max_length=_MOST_PARTS)]  # by their codes; -1 is none
    hash: Text
    made_by: JsonObject


@dataclass(frozen=True, eq=False)
class Split:
    """A named assignment of rows to parts, such as train, val and test.

    Attributes:
        parts: of each row; LEFT_OUT where it takes part in none.
        made_by: what it was made with; nothing for the data set's own.
    """

    name: str
    parts: Shaped[np.ndarray, " row"]
    made_by: Mapping[str, Json] = field(default_factory=dict)

    def hash_of(self, keys: Shaped[np.ndarray, " row"]) -> str:
        """SHA-256 over who takes part and where, in whatever order the rows are."""
        told = sorted(f"{key}\0{part}\n" for key, part in zip(keys, self.parts, strict=True) if part != LEFT_OUT)
        return hashlib.sha256("".join(told).encode()).hexdigest()

    def counts(self) -> dict[str, int]:
        """Number of rows in each part."""
        return {part: int(np.count_nonzero(self.parts == part)) for part in parts_in(self.parts)}

    def extended(self, num_rows: int) -> "Split":
        """The same split of a store that has more rows by now, which take no part in it."""
        more = np.full(num_rows - len(self.parts), LEFT_OUT)
        return Split(self.name, np.concatenate([self.parts, more]), self.made_by)

    def codes(self) -> Int8[np.ndarray, " row"]:
        """What is stored of each row: the place of its part in `attributes`, -1 where it takes part in none.

        Raises:
            SourceError: if there are more parts than codes.
        """
        if len(parts_in(self.parts)) > _MOST_PARTS:
            raise SourceError(f"The split {self.name} has more than {_MOST_PARTS} parts, such as train, val and test.")
        codes = np.full(len(self.parts), -1, dtype=np.int8)
        for code, part in enumerate(parts_in(self.parts)):
            codes[self.parts == part] = code
        return codes

    def attributes(self, keys: Shaped[np.ndarray, " row"]) -> dict[str, Any]:
        """Attributes of its array in a store: the parts by code, the hash, and what it was made with."""
        return {"parts": parts_in(self.parts), "hash": self.hash_of(keys), "made_by": dict(self.made_by)}


def parts_in(parts: Shaped[np.ndarray, " row"]) -> list[str]:
    """The parts that there are, the usual ones first."""
    there = set(parts.tolist()) - {LEFT_OUT}
    return [part for part in _USUAL if part in there] + sorted(there - set(_USUAL))


def check_name(name: str) -> str:
    """The name, if a split can have it.

    Raises:
        SettingsError: if it is the data set's own split's, or no name.
    """
    if name == OFFICIAL:
        raise SettingsError(f"{OFFICIAL} is the data set's own split, which follows it; choose another name.")
    if not _NAME.fullmatch(name):
        raise SettingsError(f"A split cannot be called {name!r}: use lower-case letters, digits and underscores.")
    return name


def parse_split(
    name: str, metadata: ArrayMetadata, codes: Shaped[np.ndarray, " row"], *, keys: Shaped[np.ndarray, " row"]
) -> Split:
    """The split that the array `splits/<name>` holds; keys behind its end belong to an interrupted extension.

    Raises:
        StoreError: if it holds none, or another than its hash is of.
    """
    try:
        told = ToldSplit.model_validate(metadata.attributes)
    except ValidationError as error:
        raise StoreError(f"splits/{name} is no split: {faults_told(error)}.") from None
    if (
        not _NAME.fullmatch(name)
        or metadata.data_type != "int8"
        or len(set(told.parts) | {LEFT_OUT}) <= len(told.parts)
    ):
        raise StoreError(f"splits/{name} is no split: its name, its type or its parts are none.")
    if len(codes) > len(keys) or (codes.size and not -1 <= codes.min() <= codes.max() < len(told.parts)):
        raise StoreError(f"splits/{name} holds codes that stand for no part, or of another number of rows.")
    split = Split(name, np.array([*told.parts, LEFT_OUT])[codes], told.made_by)  # -1 is the last
    if split.hash_of(keys[: len(codes)]) != told.hash:
        raise StoreError(f"splits/{name} is damaged, or was changed by hand: it does not agree with its own hash.")
    return split
