"""Settings to source: the one that `data.source` names, or the one whose layout lies in the folder."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from ...errors import NotFoundError
from ...progress import say
from ..settings import SOURCE, SOURCES, DataSettings
from .folder import FolderSettings, FolderSource, name_that_tells, new_pictures
from .listing import names_in
from .new import NewSamples
from .source import LooksAround, Source
from .welds.classes import WeldsSettings
from .welds.folders import GOOD_FOLDER
from .welds.new import holds_welds, machine_formats, new_welds
from .welds.open import find_welds

_MEND = (
    "Name the data set's folder with --data or --set data.root=PATH, and what it is with --set data.source=NAME; or "
    "make one with `weldcache synth PATH`."
)


class AutoSettings(WeldsSettings, FolderSettings):
    """Those of every source that a folder's names can tell; a source that is chosen knows its own alone."""

    lists_new: ClassVar[str] = "weldcache.extract.sources.open:new_auto"

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
    """The data set whose layout the names in its folder tell; says which it is, unless it is of welds.

    Raises:
        NotFoundError: if they tell none.
    """
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


def new_auto(settings: AutoSettings, path: Path, *, num_views: int) -> NewSamples:
    """Welds where `path` holds some, else pictures, that nobody has judged yet; raises as their own sources."""
    if holds_welds(path):
        return new_welds(settings, path, num_views=num_views)
    # The run may be one of welds all the same, and its folder be empty yet: its features know the machine's files.
    return replace(new_pictures(settings, path, num_views=num_views), formats=machine_formats(settings))
