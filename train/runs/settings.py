"""The settings of a run on the disk: with paths that may be shared, and that are found again by whoever reads them.

A folder of runs is copied with its project and given to others. So what lies in the project is written from the run's
folder, what lies elsewhere in the user's home from there (`~/...`), and reading turns both round.
"""

import os
from collections.abc import Callable
from pathlib import Path

from ...configs.load import fields, settings_from_file
from ...configs.schema import Settings
from ...wording import under_home

_PATHS = [name.partition(".")[::2] for name, field in fields() if field.annotation is Path]


def shareable(settings: Settings) -> Settings:
    """Settings whose paths are meant from the folder of a run in `runs.folder`, or begin with `~`."""
    return _with_paths(settings, lambda path: _shareable(path, runs=settings.runs.folder))


def read_settings(path: Path) -> Settings:
    """The settings of the run in whose folder `path` is, with the paths as they are on this machine.

    Raises:
        SettingsError: if the file is not of this version of the schema.
        OSError: if it cannot be read.
    """
    here = path.parent.absolute()
    # Without `..` by the names alone: the run's folder may be a link to another disk, and the project is where it is.
    return _with_paths(settings_from_file(path), lambda told: Path(os.path.normpath(here / told.expanduser())))


def _with_paths(settings: Settings, change: Callable[[Path], Path]) -> Settings:
    for section, name in _PATHS:
        own = getattr(settings, section)
        settings = settings.model_copy(update={section: own.model_copy(update={name: change(getattr(own, name))})})
    return settings


def _shareable(path: Path, *, runs: Path) -> Path:
    """From a run's folder for what lies in the project of `runs`, which for a list of variants is one folder higher."""
    for project in (runs.parent, runs.parent.parent):
        if path.is_relative_to(project) and not Path.home().is_relative_to(project):
            return Path(os.path.relpath(path, runs / "run"))
    return Path(under_home(path))
