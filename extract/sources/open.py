"""Which data set the settings mean: one with a manifest, or one of folders alone."""

from ...configs.schema import DataSettings
from ...errors import NotFoundError
from .folders import DEFECT_FOLDER, GOOD_FOLDER, FolderSource
from .manifest import MANIFEST_NAME, ManifestSource


def open_source(settings: DataSettings) -> ManifestSource | FolderSource:
    """The data set in `data.root`, of the layout that `data.layout` names; `auto` takes the manifest if there is one.

    Raises:
        NotFoundError: if the folder holds no data set of that layout.
    """
    root = settings.root
    if settings.layout != "folders" and (root / MANIFEST_NAME).is_file():
        return ManifestSource(root)
    if settings.layout != "manifest" and any((root / name).is_dir() for name in (GOOD_FOLDER, DEFECT_FOLDER)):
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
