"""Overwriting that outlasts an interruption: a mark in the list's folder says since when trials are made anew.

What is younger than the mark was made by this overwriting, so the same command goes on with it. A list that comes to
its end takes the mark away.
"""

from pathlib import Path

from ...atomic import remove_partial, write_text
from ...train.runs.folder import RunFolder


def begin_overwriting(folder: Path) -> None:
    """Set the mark of a list's folder; one that an interruption left stands."""
    mark = _mark(folder)
    remove_partial(mark)
    if not mark.is_file():
        write_text(mark, "Every trial that is older than this file is being replaced: `weldcache bench --overwrite`.\n")


def end_overwriting(folder: Path) -> None:
    """Take the mark away."""
    _mark(folder).unlink(missing_ok=True)


def is_overwritten(run: RunFolder) -> bool:
    """Whether a trial was made by an overwriting of its list that has not come to its end."""
    mark = _mark(run.path.parent)
    return mark.is_file() and run.exists and run.manifest_path.stat().st_mtime_ns >= mark.stat().st_mtime_ns


def _mark(folder: Path) -> Path:
    return folder / "overwriting.txt"
