"""Settings to source: the one that `data.source` names, or the one whose layout lies in the folder."""

from collections.abc import Collection
from pathlib import Path

from pydantic import Field

from ...errors import NotFoundError
from ...progress import say
from ..settings import SOURCE, SOURCES, DataSettings
from .folder import FolderSettings, FolderSource, name_that_tells
from .listing import names_in
from .source import LooksAround, Source
from .welds.classes import WeldsSettings
from .welds.folders import GOOD_FOLDER
from .welds.open import find_welds

_MEND = (
    "Name the data set's folder with --data or --set data.root=PATH, and what it is with --set data.source=NAME; or "
    "make one with `weldcache synth PATH`."
)


class AutoSettings(WeldsSettings, FolderSettings):
    """Those of every source that a folder's names can tell; a source that is chosen knows its own alone."""

    source: str = Field("auto", description=SOURCE)


def open_source(settings: DataSettings, *, written: Collection[Path] = ()) -> Source:
    """The data set that the settings name, without what weldcache has `written` itself, which may lie in its folder.

    Raises:
        NotFoundError: if there is none of that source in `data.root`.
        SourceError: if it cannot be listed.
    """
    if not settings.root.is_dir():
        raise NotFoundError(f"There is no folder {settings.root}. {_MEND}")
    source: Source = SOURCES.code(settings.source)(settings)
    return source.without(frozenset(map(Path.resolve, written))) if isinstance(source, LooksAround) else source


def open_auto(settings: AutoSettings) -> Source:
    """The data set whose layout the names in its folder tell; says which it is, unless it is of welds."""
    names = names_in(settings.root)
    if (welds := find_welds(settings, names)) is not None:
        return welds
    if (told := name_that_tells(names, normal=settings.normal_classes)) is not None:
        say(f"{settings.root} has the folder {told}/, so data.source is folder.")
        return FolderSource(settings)
    raise NotFoundError(
        f"{settings.root} holds nothing that tells a data set: neither manifest.csv, {GOOD_FOLDER}/, good/ nor train/ "
        f"(data.source is auto). {_MEND}"
    )
