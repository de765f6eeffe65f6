"""What lies in a folder, told by names alone: no file is opened, so a data set of thousands lists in a second.

Only regular files are taken. A pipe or a device that bears a recording's name would hold up whoever opens it, so it is
told as what it is.
"""

import os
import stat
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import SourceError
from ...wording import visible

PICTURE_FORMATS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")

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
        raise SourceError(f"{root} cannot be listed ({error.strerror}); see that you may read it.") from error


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
