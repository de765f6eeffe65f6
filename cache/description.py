"""What a store says of itself in its root `zarr.json`: typed and bounded before anything is made of it, and sealed.

A store may come from anybody, and its checksum has no key. So nothing that it says becomes a path, a shape or an
allocation before it has gone through the types here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, JsonValue, ValidationError, model_validator

from ..documents import faults_told, fingerprint, read_document, sealed
from ..errors import FingerprintError, NotFoundError, StoreError, WeldcacheError
from .arrays import ArraySpec, StorageType
from .nodes import (
    MOST_DOCUMENT_BYTES,
    MOST_ROWS,
    JsonObject,
    Length,
    Text,
    Told,
    parse_group_metadata,
)
from .provenance import library_versions

SCHEMA_VERSION = 4
RENEWABLE_VERSION = 3  # brought up to date by an extraction: only its tables of rows are others, see `row_tables.py`
_READABLE_VERSIONS = (2, RENEWABLE_VERSION, SCHEMA_VERSION)
USUAL_NOUN = "sample"  # where the data set has no word of its own
ATTRIBUTE = "weldcache"  # all of ours lies under this one attribute of the root group
_MOST_ROW_BYTES = 1 << 30  # of one row in one array; the largest honest ones have 30 MB


def _check_making(made_by: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """What is read of a making, beside being shown and compared, has the type that it is read as."""
    backbone = made_by.get("backbone") or {}
    if not isinstance(backbone, dict) or not isinstance(made_by.get("decoding", {}), dict):
        raise ValueError("backbone and decoding must be objects")
    if not isinstance(backbone.get("model", ""), str) or not isinstance(backbone.get("random_weights", False), bool):
        raise ValueError("the backbone's model must be text, and random_weights true or false")
    return made_by


# Names become paths. A part begins with no dot and holds no separator, so that no name leads out of the store.
ArrayName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=100)]
NodeName = Annotated[str, Field(pattern=r"^[a-z0-9_]+(/[a-z0-9_]+)*$", max_length=200)]
# What one row is called, in every message: a plain word, whoever wrote it.
Noun = Annotated[str, Field(pattern=r"^[a-z]+( [a-z]+)*$", max_length=40)]
MadeBy = Annotated[JsonObject, AfterValidator(_check_making)]
_Shape = Annotated[tuple[Length, ...], Field(strict=False, max_length=8)]  # not strict: JSON has lists only
_Dims = Annotated[tuple[Annotated[str, Field(pattern=r"^\w{1,100}$")], ...], Field(strict=False)]


class ToldArray(Told):
    """One array of a feature set; see `ArraySpec`."""

    shape: _Shape
    dims: _Dims
    dtype: StorageType
    allows_nan: bool
    distinct: bool
    attributes: JsonObject

    @model_validator(mode="after")
    def _is_of_sane_size(self) -> "ToldArray":
        if len(self.shape) != len(self.dims):
            raise ValueError(f"it has {len(self.shape)} axes and names {len(self.dims)}")
        if (row_bytes := self.spec("").row_bytes) > _MOST_ROW_BYTES:
            raise ValueError(f"a row of it would have {row_bytes:,} bytes; {_MOST_ROW_BYTES:,} are possible")
        return self

    def spec(self, name: str) -> ArraySpec:
        """This array under its name."""
        return ArraySpec(
            name=name,
            shape=self.shape,
            dims=self.dims,
            dtype=self.dtype,
            allows_nan=self.allows_nan,
            distinct=self.distinct,
            attributes=self.attributes,
        )


class ToldFeatureSet(Told):
    """Arrays that are made together, and what made them."""

    made_by: MadeBy
    arrays: Annotated[dict[ArrayName, ToldArray], Field(min_length=1)]

    @model_validator(mode="after")
    def _lengths_belong_to_ragged_arrays(self) -> "ToldFeatureSet":
        for name, ragged in self.arrays.items():
            lengths = self.arrays.get(f"{name}_length")
            if lengths and (not ragged.shape or (lengths.shape, lengths.dtype) != ((), "int32")):
                raise ValueError(f"{name}_length must be one int32 a row, and {name} have an axis")
        return self

    @cached_property
    def specs(self) -> Mapping[str, ArraySpec]:
        """The arrays by name."""
        return {name: array.spec(name) for name, array in self.arrays.items()}


class ToldConstant(Told):
    """A vector that belongs to no row, and what made it."""

    made_by: MadeBy


def _check_nesting(named: dict[str, Any]) -> dict[str, Any]:
    for name in named:
        if below := next((other for other in named if other.startswith(f"{name}/")), None):
            raise ValueError(f"{below} would lie inside {name}")
    return named


class Manifest(Told):
    """What made everything that the store holds."""

    features: Annotated[dict[NodeName, ToldFeatureSet], AfterValidator(_check_nesting)]
    constants: Annotated[dict[NodeName, ToldConstant], AfterValidator(_check_nesting)]


class Description(Told):
    """All that a store says of itself as a whole."""

    schema_version: Annotated[int, Field(ge=0)]
    created: Text
    versions: dict[Text, Text]
    num_rows: Annotated[int, Field(ge=0, le=MOST_ROWS)]
    batching: dict[Text, Length]
    noun: Noun = USUAL_NOUN
    manifest: Manifest
    fingerprint: Text  # of the manifest
    checksum: Text  # over all the rest

    @cached_property
    def plain_manifest(self) -> Mapping[str, Any]:
        """The manifest as plain JSON values."""
        return self.manifest.model_dump(mode="json")

    def changed(self, **changes: Any) -> "Description":
        """This description with other values in some of its fields, sealed anew."""
        return _parse_description(sealed_description({**self.model_dump(mode="json"), **changes}))


def empty_description(*, num_rows: int, schema_version: int = SCHEMA_VERSION) -> dict[str, Any]:
    """The description of a store without features, as plain JSON values."""
    return sealed_description(
        {
            "schema_version": schema_version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": library_versions(),
            "num_rows": num_rows,
            "batching": {},
            "noun": USUAL_NOUN,
            "manifest": {"features": {}, "constants": {}},
        }
    )


def sealed_description(description: Mapping[str, Any]) -> dict[str, Any]:
    """The description with the fingerprint of its manifest, and a checksum over everything else in it."""
    return sealed({**description, "fingerprint": fingerprint(description["manifest"])})


def read_description(path: Path) -> Description:
    """The description in the root `zarr.json` at `path`.

    Raises:
        NotFoundError: if the file describes no store of ours.
        FingerprintError: if it describes one of another version of the schema.
        StoreError: if it is damaged, or describes what no store can hold.
    """
    try:
        return description_in(read_document(path, most_bytes=MOST_DOCUMENT_BYTES), path=path)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, WeldcacheError):
            raise
        if (path.parent / "features").is_dir():
            raise _damaged(path) from None
        raise NotFoundError(
            f"{path.parent} is not a feature store of weldcache: {path} does not describe one."
        ) from None


def description_in(document: Any, *, path: Path) -> Description:
    """The description in the content of a root `zarr.json`; `path` is where it is from, for messages.

    Raises:
        FingerprintError: if it is of another version of the schema.
        StoreError: if it does not agree with its checksum, or describes what no store can hold.
        KeyError, TypeError, AttributeError: if there is none.
    """
    described = document["attributes"][ATTRIBUTE]
    version, intact = described["schema_version"], described == sealed_description(described)
    if version not in _READABLE_VERSIONS:
        raise FingerprintError(
            f"{path.parent} has schema version {version}, this weldcache reads {SCHEMA_VERSION}. "
            "Use the weldcache that made it, or extract again into another --cache."
        )
    if not intact:
        raise _damaged(path)
    parse_group_metadata(document, path=path)
    try:
        return _parse_description(described)
    except ValueError as error:
        raise StoreError(
            f"{path} describes what no store can hold: {error}. weldcache did not write this: have the store made "
            "anew, and ask where it comes from."
        ) from None


def _parse_description(described: Any) -> Description:
    """The description in plain JSON values.

    Raises:
        ValueError: if it is not one; the message says where.
    """
    try:
        return Description.model_validate(described)
    except ValidationError as error:
        raise ValueError(faults_told(error)) from None


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"{path} is damaged, or was changed by hand: it does not agree with its own checksum. Restore the file from a "
        "copy; the features themselves are not touched by this."
    )


def has_random_backbones(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest, or a part of one, names a backbone with random weights."""
    return bool(made_with_random_weights(manifest)[0])


def made_with_random_weights(manifest: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Names of what backbones with random weights made, and of what others did; what none made is in neither."""
    random: list[str] = []
    trained: list[str] = []
    for kind in manifest.values():
        for name, entry in kind.items():
            if backbone := entry["made_by"].get("backbone"):
                (random if backbone.get("random_weights", False) else trained).append(name)
    return random, trained
