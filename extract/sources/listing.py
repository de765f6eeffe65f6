"""What lies in folders, told by names alone: no file is opened, so a data set of thousands lists in a second.

Only regular files are taken. A pipe or a device that bears a file's name would hold up whoever opens it, so it is
told as what it is.
"""

import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import SourceError, reason_of
from ...wording import visible

PICTURE_FORMATS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
CLOUD_FORMATS = (".npy", ".txt", ".xyz", ".csv", ".pcd", ".off")
_OTHER_PICTURES = (".gif", ".heic", ".heif", ".avif", ".jp2", ".psd", ".svg", ".dng", ".cr2", ".nef", ".arw")

_IN_BYTES = "not named in UTF-8: rename it"


@dataclass(frozen=True)
class Listing:
    """Names in a folder without hidden ones, such as macOS's `._*` copies."""

    folder: Path
    files: Sequence[str]
    folders: Sequence[str]
    others: Mapping[str, str]  # name -> what it is instead of a file

    def strange(self, formats: Sequence[str]) -> list[str]:
        """What bears the name of a file in one of `formats` and is none, each in words."""
        kinds = {**dict.fromkeys(self.folders, "a folder"), **self.others}
        return [
            f"{visible(name)} is {kinds[name]}{'' if kinds[name] == _IN_BYTES else ', not a file'}"
            for name in of_formats(sorted(kinds), formats)
        ]


def list_folder(folder: Path) -> Listing:
    """List a folder, in the order of names.

    Raises:
        OSError: if it is none, or cannot be listed.
    """
    files, folders, others = [], [], {}
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            kind = _kind_of(entry)
            if kind == "file":
                files.append(entry.name)
            elif kind == "folder":
                folders.append(entry.name)
            else:
                others[entry.name] = kind
    return Listing(folder, files, folders, others)


class PictureTree:
    """The pictures below a data set's folder, without what weldcache has `written` itself. Its methods raise
    SourceError where a folder cannot be listed.

    Attributes:
        root: the data set's folder.
        passed_over: what was found on the way and is no picture, in words for the user.
    """

    def __init__(self, root: Path, *, written: frozenset[Path] = frozenset()) -> None:
        self.root = root
        self._written = written  # resolved, since the data set's folder may be a link
        self.passed_over: list[str] = []
        self._listings: dict[Path, Listing] = {}

    def folders(self, folder: Path) -> Sequence[str]:
        """Names of the folders in one."""
        return self._listed(folder).folders

    def pictures(self, folder: Path) -> list[Path]:
        """The pictures in a folder, in the order of names."""
        files = self._listed(folder).files
        found = of_formats(files, PICTURE_FORMATS)
        others = of_formats(files, _OTHER_PICTURES)
        for name in files:
            if name not in found:
                what = "is of a format that is not read (save it as PNG)" if name in others else "is no picture"
                self.passed_over.append(f"{self.key(folder / name)} {what}")
        return [folder / name for name in found]

    def masks(self, folder: Path) -> dict[Path, Path]:
        """Pictures anywhere below `folder`, by where the picture that each is a mask of lies in its own: at the same
        place, by the name without suffix and without `_mask` behind it.
        """
        found = {} if not folder.is_dir() else {path: path.relative_to(folder) for path in sorted(folder.rglob("*"))}
        return {
            place.with_name(path.stem.removesuffix("_mask")): path
            for path, place in found.items()
            if of_formats([path.name], PICTURE_FORMATS)
        }

    def key(self, path: Path) -> str:
        """What a file or folder is called: its path below the root, in the composed form of Unicode."""
        return composed(path.relative_to(self.root).as_posix())

    def _listed(self, folder: Path) -> Listing:
        if folder not in self._listings:
            try:
                self._listings[folder] = listing = self._not_written(list_folder(folder))
            except OSError as error:
                raise _unlistable(folder, error) from error
            others = listing.others.items()
            self.passed_over += [f"{self.key(folder)}/{visible(name)} is {kind}" for name, kind in others]
        return self._listings[folder]

    def _not_written(self, listing: Listing) -> Listing:
        ours = {path.name for path in self._written if path.parent == listing.folder.resolve()}
        files, folders = ([name for name in names if name not in ours] for names in (listing.files, listing.folders))
        return replace(listing, files=files, folders=folders)


def names_in(root: Path) -> frozenset[str]:
    """Names in a data set's folder; none where there is no folder.

    Raises:
        SourceError: if it cannot be listed.
    """
    try:
        return frozenset(path.name for path in root.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        raise _unlistable(root, error) from error


def _unlistable(folder: Path, error: OSError) -> SourceError:
    return SourceError(f"{folder} cannot be listed ({reason_of(error)}); see that you may read it.")


def of_formats(names: Iterable[str], formats: Sequence[str]) -> list[str]:
    """Those of `names` that end in one of `formats`, in capitals or not."""
    return [name for name in names if name.strip().lower().endswith(tuple(formats))]


def composed(name: str) -> str:
    """A name in the composed form of Unicode, which copying to another system may change."""
    return unicodedata.normalize("NFC", name)


def _kind_of(entry: "os.DirEntry[str]") -> str:
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return _IN_BYTES
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
        mode = entry.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing"
    except OSError as error:
        return f"a link that leads nowhere ({error.strerror})"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
