"""Welds that nobody has judged yet: a run's folder, folders of such, or a manifest that says where they are."""

import os
from collections.abc import Iterator
from pathlib import Path

from ....errors import SourceError, reason_of
from ....wording import listed, shortened
from ..listing import Listing, composed, list_folder, of_formats
from ..new import NewSamples
from ..source import Sample, SeriesFormat
from .classes import WeldsSettings
from .manifest import MANIFEST_NAME, ManifestSource, keys_of_new
from .run_folder import RECORDING_SUFFIXES, collect_run, machine_with

_SHOWN = 5  # names in a message


def new_welds(settings: WeldsSettings, path: Path, *, num_views: int) -> NewSamples:
    """The welds at `path`, a manifest, a run's folder or one above several; a run's photographs are its views.

    Raises:
        SourceError: if `path` is neither a manifest nor a folder, or cannot be read.
    """
    manifest = path / MANIFEST_NAME if path.is_dir() else path
    told: list[str] = []
    if manifest.suffix.lower() == ".csv" and os.path.lexists(manifest):
        root = manifest.parent
        keys, others = keys_of_new(manifest)
        told += [f"{manifest}: not looked at: {listed(others)}."] if others else []
    elif path.is_dir():
        passed_over: list[Path] = []
        folders = list(_run_folders(path, seen=set(), passed_over=passed_over))
        others = [file.relative_to(path).as_posix() for file in passed_over]
        if others:
            told.append(f"{path}: not read: {shortened(others, most=_SHOWN)}, in no folder of recordings.")
        root = path.parent if folders == [path] else path
        keys = [composed(folder.relative_to(root).as_posix()) for folder in folders]
    else:
        raise SourceError(f"{path} is no manifest, and a file alone is no weld: name the folder of its recordings.")
    samples = [_sample(root, key) for key in keys]
    return NewSamples(ManifestSource.noun, root, samples, machine_formats(settings), told)


def machine_formats(settings: WeldsSettings) -> dict[str, SeriesFormat]:
    """What the machine's files hold, by the name of their stream."""
    return {"sensor": machine_with(settings.further_channels)}


def holds_welds(path: Path) -> bool:
    """Whether a file is a manifest, or a folder has one or a run's recordings somewhere in it."""
    if not path.is_dir():
        return path.suffix.lower() == ".csv"
    run_folders = _run_folders(path, seen=set(), passed_over=[])
    return os.path.lexists(path / MANIFEST_NAME) or next(run_folders, None) is not None


def _run_folders(folder: Path, *, seen: set[tuple[int, int]], passed_over: list[Path]) -> Iterator[Path]:
    """Folders with recordings, each once, whatever links lead to it; files in no such folder are `passed_over`."""
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        listing = list_folder(folder)
    except OSError as error:
        raise SourceError(f"{folder} cannot be listed ({reason_of(error)}); see that you may read it.") from error
    if _is_run(listing):
        yield folder
        return
    passed_over += [folder / name for name in listing.files]
    for name in listing.folders:
        yield from _run_folders(folder / name, seen=seen, passed_over=passed_over)


def _is_run(listing: Listing) -> bool:
    own = composed(listing.folder.name)
    return (
        bool(of_formats(listing.files, RECORDING_SUFFIXES))
        or "images" in [name.lower() for name in listing.folders]
        or f"{own}.csv" in [composed(name) for name in listing.files]
    )


def _sample(root: Path, key: str) -> Sample:
    run = collect_run(root, key=key)
    return Sample(
        key=key,
        split="test",
        group=key,
        files=run.files,
        absent=run.absent,
        unreadable=frozenset(run.unreadable),
        notes=run.notes,
    )
