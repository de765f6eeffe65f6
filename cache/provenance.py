"""What made an artefact: library versions, and the differences between two descriptions."""

import functools
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata

from ..documents import Json

ABSENT = "(absent)"

_LONGEST_VALUE = 60  # characters of one in a message

_LIBRARIES = (
    "weldcache",
    "torch",
    "transformers",
    "numpy",
    "zarr",
    "opencv-python-headless",
    "soundfile",
    "librosa",
    "pandas",
    "scipy",
    "scikit-learn",
)


def library_versions(libraries: Sequence[str] = _LIBRARIES) -> dict[str, str]:
    """Versions of installed libraries, read from their metadata without importing them, and of Python."""
    return {"python": platform.python_version()} | {name: _version(name) for name in libraries}


@functools.cache
def _version(library: str) -> str:
    """Read once: all that a library says of itself is parsed for it, which takes milliseconds."""
    return metadata.version(library)


def differences(mine: Json, theirs: Json) -> list[tuple[str, Json, Json]]:
    """Every leaf in which two descriptions differ: its dotted path, and both values (`ABSENT` where one lacks it)."""
    first, second = dict(_leaves(mine)), dict(_leaves(theirs))
    return [
        (path, first.get(path, ABSENT), second.get(path, ABSENT))
        for path in sorted(first.keys() | second.keys())
        if first.get(path, ABSENT) != second.get(path, ABSENT)
    ]


def differences_told(found: Iterable[tuple[str, Json, Json]], *, mine: str, theirs: str) -> list[str]:
    """What `differences` found in words, a line each: `train.lr: 0.001 there, 0.5 now`."""
    return [f"{path}: {_short(first)} {mine}, {_short(second)} {theirs}" for path, first, second in found]


def _short(value: Json) -> str:
    text = str(value)
    if len(text) <= _LONGEST_VALUE:
        return text
    size = f" ({len(value):,} entries)" if isinstance(value, list) else ""
    return f"{text[: _LONGEST_VALUE - 3]}...{size}"


def _leaves(value: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    if isinstance(value, Mapping) and value:
        for name, child in value.items():
            yield from _leaves(child, f"{path}.{name}" if path else name)
    else:
        yield path, list(value) if isinstance(value, tuple) else value
