"""Both layouts of recorded welds keep to what every source does."""

import csv
from pathlib import Path

from weldcache.extract.sources.source import Source
from weldcache.extract.sources.welds.folders import FolderSource
from weldcache.extract.sources.welds.manifest import SETTINGS, ManifestSource
from weldcache.testing.sources import SourceContract

RUNS = {"TRAIN": "good", "VAL": "undercut", "TEST": "porosity"}


def write_run(folder: Path) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name in (f"{folder.name}.avi", f"{folder.name}.csv", "images/1.jpg"):
        (folder / name).touch()


class TestManifest(SourceContract):
    def make(self, root: Path) -> Source:
        with (root / "manifest.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["CATEGORY", *SETTINGS, "DIRECTORY", "SUBDIRS", "SPLIT"])
            for number, (split, category) in enumerate(RUNS.items()):
                writer.writerow([category, *"7777777", split, f"{split}/run_{number}", split])
                write_run(root / split / f"run_{number}")
        return ManifestSource(root)


class TestFolders(SourceContract):
    def make(self, root: Path) -> Source:
        for session in range(6):
            write_run(root / "good_weld" / f"s{session}" / "10-04-22-0001-00")
            write_run(root / "defect_data_weld" / f"d{session}" / "10-04-22-0001-05")
        return FolderSource(root, val_fraction=0.25, test_fraction=0.25, split_seed=0)
