"""Which data set the settings mean: the source that `data.source` names, or the one whose layout lies in the folder."""

from pathlib import Path

from ...configs.schema import DataSettings
from ...errors import NotFoundError, SourceError
from ...progress import say
from .folder import FolderSource, tells_folders
from .source import Source
from .welds.folders import DEFECT_FOLDER, GOOD_FOLDER
from .welds.folders import FolderSource as WeldFolders
from .welds.manifest import MANIFEST_NAME, ManifestSource


def open_source(settings: DataSettings) -> Source:
    """The data set in `data.root`, of the source that `data.source` names or, with `auto`, the names there tell.

    Raises:
        NotFoundError: if the folder holds no data set of that source.
        SourceError: if it cannot be listed.
    """
    names = _names_in(settings.root)
    if settings.source in ("auto", "welds") and (welds := _welds(settings, names)):
        return welds
    if settings.source in ("auto", "folder") and (told := tells_folders(names, normal=settings.normal_classes)):
        if settings.source == "auto":
            say(f"{settings.root} has the folder {told}/, so data.source is folder.")
        return FolderSource(
            settings.root,
            normal_classes=settings.normal_classes,
            val_fraction=settings.val_fraction,
            test_fraction=settings.test_fraction,
            split_seed=settings.split_seed,
        )
    raise _nothing_found(settings)


def _welds(settings: DataSettings, names: set[str]) -> Source | None:
    if settings.layout != "folders" and MANIFEST_NAME in names:
        return ManifestSource(
            settings.root,
            normal_classes=settings.normal_classes,
            unlabelled=settings.unlabelled,
            run_codes=settings.run_codes,
        )
    if settings.layout != "manifest" and names & {GOOD_FOLDER, DEFECT_FOLDER}:
        return WeldFolders(
            settings.root,
            val_fraction=settings.val_fraction,
            test_fraction=settings.test_fraction,
            split_seed=settings.split_seed,
        )
    return None


def _nothing_found(settings: DataSettings) -> NotFoundError:
    root = settings.root
    of_welds = {
        "auto": f"{MANIFEST_NAME} nor {GOOD_FOLDER}/",
        "manifest": MANIFEST_NAME,
        "folders": f"{GOOD_FOLDER}/",
    }[settings.layout]
    pictures = "good/ nor train/"
    expected = {
        "auto": f"neither {of_welds.replace(' nor', ',')}, {pictures}",
        "welds": f"neither {of_welds}" if " nor " in of_welds else f"no {of_welds}",
        "folder": f"neither {pictures}",
    }[settings.source]
    where = f"{root} holds {expected}" if root.is_dir() else f"There is no folder {root}"
    return NotFoundError(
        f"{where} (data.source is {settings.source}). Name the data set's folder with --data or --set data.root=PATH, "
        "say what it is with --set data.source=NAME, or make one with `weldcache synth PATH`."
    )


def _names_in(root: Path) -> set[str]:
    try:
        return {path.name for path in root.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise SourceError(f"{root} cannot be listed ({error.strerror}); see that you may read it.") from error
