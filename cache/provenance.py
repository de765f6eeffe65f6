"""What made an artefact: library versions, and the differences between two descriptions."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata

from ..documents import Json

ABSENT = "(absent)"

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
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in libraries}


def differences(mine: Json, theirs: Json) -> list[tuple[str, Json, Json]]:
    """Every leaf in which two descriptions differ: its dotted path, and both values (`ABSENT` where one lacks it)."""
    first, second = dict(_leaves(mine)), dict(_leaves(theirs))
    return [
        (path, first.get(path, ABSENT), second.get(path, ABSENT))
        for path in sorted(first.keys() | second.keys())
        if first.get(path, ABSENT) != second.get(path, ABSENT)
    ]


def _leaves(value: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    if isinstance(value, Mapping) and value:
        for name, child in value.items():
            yield from _leaves(child, f"{path}.{name}" if path else name)
    else:
        yield path, list(value) if isinstance(value, tuple) else value
