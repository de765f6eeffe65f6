"""Where a store is: a folder, or a prefix in a bucket, which is named by a URL.

A URL says where, and never who asks: credentials come from the environment or the machine alone, so that nothing that
is written down can hold one.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo
from pydantic_core import CoreSchema, core_schema

from ..errors import SettingsError
from ..wording import listed

SCHEMES = ("s3", "gs", "az")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_KEY = re.compile(r"[A-Za-z0-9_.=-]+(/[A-Za-z0-9_.=-]+)*")  # what means the same to every service and every shell
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class BucketUrl:
    """A prefix in a bucket: `s3://bucket/prefix`, `gs://...` or `az://container/prefix`."""

    scheme: str
    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}"


def is_url(text: str) -> bool:
    """Whether a text is a URL rather than a path."""
    return _URL.match(text) is not None


def place_of(text: str) -> Path | BucketUrl:
    """The folder or the prefix in a bucket that a text names; `file://` is a folder.

    Raises:
        SettingsError: if a URL is of another kind, names no bucket or no prefix, or holds credentials.
    """
    if not is_url(text):
        return Path(text)
    try:
        parts = urlsplit(text)
    except ValueError:
        raise SettingsError("A URL cannot be read: write it as s3://bucket/prefix.") from None
    # What follows is not quoted in the message: it may be a secret.
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise SettingsError(
            f"A URL {parts.scheme}://... holds more than a bucket and a prefix, such as credentials, which would be "
            "written into settings and runs. Leave them out: they are taken from the environment (AWS_ACCESS_KEY_ID "
            "and its like) or from the machine."
        )
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise SettingsError(f"{text} is no folder of this machine: write file:///folder, or the path alone.")
        return Path(unquote(parts.path))
    bucket, prefix = parts.netloc, parts.path.strip("/")
    if parts.scheme not in SCHEMES:
        schemes = listed([f"{scheme}://" for scheme in SCHEMES], last="or")
        raise SettingsError(f"{text} is no place for a store: that is a folder, or a URL that begins with {schemes}.")
    if not _BUCKET.fullmatch(bucket) or not _KEY.fullmatch(prefix) or {".", ".."} & set(prefix.split("/")):
        raise SettingsError(
            f"{text} names no bucket and prefix: write {parts.scheme}://bucket/prefix, of letters, digits, and _ . = -."
        )
    return BucketUrl(parts.scheme, bucket, prefix)


def require_folder(place: Path | BucketUrl, *, what: str) -> Path:
    """The folder itself, for what cannot be done in a bucket.

    Raises:
        SettingsError: if it is a prefix in a bucket; `what` is such as "extracts into".
    """
    if isinstance(place, BucketUrl):
        raise SettingsError(
            f"{place} is in a bucket, and weldcache {what} a folder alone. Name a folder with --cache, and then put "
            f"it into the bucket with `weldcache mirror FOLDER {place}`; what is in the bucket already comes into an "
            f"empty folder with `weldcache mirror {place} FOLDER`."
        )
    return place


def _serialized(place: Path | BucketUrl, info: SerializationInfo) -> Any:
    # Pydantic would take a `BucketUrl` apart, as it does with every dataclass.
    return place if isinstance(place, Path) and not info.mode_is_json() else str(place)


class _Place:
    """Marks a setting that is a folder or a prefix in a bucket, written as text."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            self._checked,
            handler.generate_schema(Path),
            serialization=core_schema.plain_serializer_function_ser_schema(_serialized, info_arg=True),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "format": "path"}, {"type": "string", "like": "s3://bucket/prefix"}]}

    def _checked(self, value: Any, path: core_schema.ValidatorFunctionWrapHandler) -> Path | BucketUrl:
        if isinstance(value, BucketUrl):
            return value
        told: Path = path(value)
        # A `Path` has one slash where a URL has two, so that only a text can be one.
        return place_of(value) if isinstance(value, str) else told


StorePlace = Annotated[Path | BucketUrl, _Place()]
PATH_TYPES = (Path, Path | BucketUrl)
"""What settings that say where something is are annotated with, as pydantic tells it."""
