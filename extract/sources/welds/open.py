"""Recorded welds: with a manifest, or in folders alone."""

from collections.abc import Collection

from ....errors import NotFoundError
from ..listing import names_in
from ..source import Source
from .classes import WeldsSettings
from .folders import DEFECT_FOLDER, GOOD_FOLDER, FolderSource
from .manifest import MANIFEST_NAME, ManifestSource


def open_welds(settings: WeldsSettings) -> Source:
    """The data set in `data.root`, of the layout that `data.layout` names; `auto` takes the manifest if there is one.

    Raises:
        NotFoundError: if the folder holds no data set of that layout.
        SourceError: if it cannot be listed.
    """
    found = find_welds(settings, names_in(settings.root))
    if found is None:
        expected = {
            "auto": f"neither {MANIFEST_NAME} nor {GOOD_FOLDER}/",
            "manifest": f"no {MANIFEST_NAME}",
            "folders": f"no {GOOD_FOLDER}/",
        }[settings.layout]
        raise NotFoundError(
            f"{settings.root} holds {expected} (data.layout is {settings.layout}). Name the data set's folder with "
            "--data or --set data.root=PATH, or make one with `weldcache synth PATH`."
        )
    return found


def find_welds(settings: WeldsSettings, names: Collection[str]) -> Source | None:
    """The data set whose folder has these names; None where it is of no such layout."""
    if settings.layout != "folders" and MANIFEST_NAME in names:
        return ManifestSource(
            settings.root,
            normal_classes=settings.normal_classes,
            unlabelled=settings.unlabelled,
            run_codes=settings.run_codes,
            further_channels=settings.further_channels,
        )
    if settings.layout != "manifest" and {GOOD_FOLDER, DEFECT_FOLDER} & set(names):
        return FolderSource(
            settings.root,
            val_fraction=settings.val_fraction,
            test_fraction=settings.test_fraction,
            split_seed=settings.split_seed,
            further_channels=settings.further_channels,
        )
    return None
