"""One run's folder: which file belongs to which modality, and what is missing."""

import os
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# Video, sound and sensors are one file each; the photographs have a folder of their own.
_SUFFIXES = {"video": ".avi", "audio": ".flac", "sensor": ".csv"}
_PHOTOGRAPH_SUFFIXES = (".jpg", ".jpeg")
_MODALITIES = ("video", "audio", "image", "sensor")


@dataclass(frozen=True)
class RunFiles:
    """The files of one run, by modality; why a modality has none; and the masks of its photographs."""

    files: Mapping[str, tuple[Path, ...]]
    absent: Mapping[str, str]
    masks: Mapping[Path, Path]


def collect_run(root: Path, *, key: str) -> RunFiles:
    """List the run in `root / key`.

    Of several files of one kind, the one that bears the run's name is taken; where none does, the modality counts as
    absent, because a guess might take another weld's. Each folder is read once and no file is touched, so a data set
    of thousands of runs lists in a second.
    """
    folder = root / key
    if not folder.is_dir():  # copied from a Mac, the same name has other bytes
        folder = root / unicodedata.normalize("NFD", key)
    names = _names_in(folder)
    if names is None:
        return RunFiles(files={}, absent=dict.fromkeys(_MODALITIES, f"there is no folder {key}"), masks={})
    files: dict[str, tuple[Path, ...]] = {}
    absent: dict[str, str] = {}
    for modality, suffix in _SUFFIXES.items():
        found = _with_suffix(names, suffix)
        chosen = _choose(found, run=folder.name)
        if chosen is None:
            absent[modality] = _why_none(found, suffix=suffix, key=key, run=folder.name)
        else:
            files[modality] = (folder / chosen,)
    photographs, masks = _photographs(folder, names=names)
    if photographs:
        files["image"] = photographs
    else:
        absent["image"] = f"no .jpg in {key}/images"
    return RunFiles(files=files, absent=absent, masks=masks)


def _names_in(folder: Path) -> set[str] | None:
    """Names in `folder`, without hidden ones such as macOS's `._*` copies; None where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not entry.name.startswith(".")}
    except (FileNotFoundError, NotADirectoryError):
        return None


def _with_suffix(names: Iterable[str], *suffixes: str) -> list[str]:
    return sorted(name for name in names if name.strip().lower().endswith(suffixes))


def _choose(found: list[str], *, run: str) -> str | None:
    if len(found) == 1:
        return found[0]
    namesakes = [name for name in found if Path(name).stem == run]
    return namesakes[0] if len(namesakes) == 1 else None


def _why_none(found: list[str], *, suffix: str, key: str, run: str) -> str:
    if not found:
        return f"no {suffix} in {key}"
    return f"{len(found)} {suffix} files in {key}, and not exactly one is named {run}{suffix}"


def _photographs(folder: Path, *, names: set[str]) -> tuple[tuple[Path, ...], dict[Path, Path]]:
    """Photographs in the order of their names, and the mask of each that has one: `masks/<stem>.png`."""
    pictures = _with_suffix(_names_in(folder / "images") or () if "images" in names else (), *_PHOTOGRAPH_SUFFIXES)
    photographs = tuple(folder / "images" / name for name in pictures)
    drawn = _names_in(folder / "masks") or set() if "masks" in names else set()
    masks = {path: folder / "masks" / f"{path.stem}.png" for path in photographs if f"{path.stem}.png" in drawn}
    return photographs, masks
