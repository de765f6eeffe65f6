"""Which data set the settings mean: one with a manifest, or one of folders alone."""

from pathlib import Path

from ...configs.schema import DataSettings
from ...errors import NotFoundError, SourceError
from .source import Source
from .welds.folders import DEFECT_FOLDER, GOOD_FOLDER, FolderSource
from .welds.manifest import MANIFEST_NAME, ManifestSource


def open_source(settings: DataSettings) -> Source:
    """The data set in `data.root`, of the layout that `data.layout` names; `auto` takes the manifest if there is one.

    Raises:
        NotFoundError: if the folder holds no data set of that layout.
        SourceError: if it cannot be listed.
    """
    root = settings.root
    names = _names_in(root)
    if settings.layout != "folders" and MANIFEST_NAME in names:
        return ManifestSource(
            root,
            normal_classes=settings.normal_classes,
            unlabelled=settings.unlabelled,
            run_codes=settings.run_codes,
        )
    if settings.layout != "manifest" and names & {GOOD_FOLDER, DEFECT_FOLDER}:
        return FolderSource(
            root,
            val_fraction=settings.val_fraction,
            test_fraction=settings.test_fraction,
            split_seed=settings.split_seed,
        )
    expected = {
        "auto": f"neither {MANIFEST_NAME} nor {GOOD_FOLDER}/",
        "manifest": f"no {MANIFEST_NAME}",
        "folders": f"no {GOOD_FOLDER}/",
    }[settings.layout]
    where = f"{root} holds {expected}" if root.is_dir() else f"There is no folder {root}"
    raise NotFoundError(
        f"{where} (data.layout is {settings.layout}). Name the data set's folder with --data or --set data.root=PATH, "
        "or make one with `weldcache synth PATH`."
    )


def _names_in(root: Path) -> set[str]:
    try:
        return {path.name for path in root.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise SourceError(f"{root} cannot be listed ({error.strerror}); see that you may read it.") from error
