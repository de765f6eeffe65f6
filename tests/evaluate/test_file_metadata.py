"""What a control knows of files: how many, how large, how long, and nothing of what they show."""

import shutil
from pathlib import Path

import numpy as np

from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.evaluate.controls import file_metadata_control
from weldcache.evaluate.file_metadata import file_metadata
from weldcache.evaluate.scores import score_table
from weldcache.train.runs.trained_run import load_run


def test_numbers_are_those_of_the_files(judged: Path) -> None:
    store, recipe = FeatureStore.open(judged / "features.zarr"), load_run(judged / "runs/first").recipe
    rows = np.array([0, 9, 20])
    found = file_metadata(store, rows, recipe=recipe)
    assert set(found) == {
        *(f"{modality} {what}" for modality in ("video", "audio", "image", "sensor") for what in ("files", "bytes")),
        "audio tokens_length",
        "sensor times",
    }
    for position, key in enumerate(store.index.keys[rows]):
        files = {suffix: list((judged / str(key)).rglob(f"*.{suffix}")) for suffix in ("avi", "flac", "jpg", "csv")}
        for modality, suffix in (("video", "avi"), ("audio", "flac"), ("image", "jpg"), ("sensor", "csv")):
            assert found[f"{modality} files"][position] == len(files[suffix])
            size = sum(path.stat().st_size for path in files[suffix])
            np.testing.assert_allclose(found[f"{modality} bytes"][position], np.log1p(size))
        times = store.read("sensor/times", [int(rows[position])])[0]
        assert found["sensor times"][position] == times[-1] - times[0] > 0


def test_what_is_not_there_tells_on_its_own(judged: Path, tmp_path: Path) -> None:
    """All defects without a film: the control finds them all."""
    store = FeatureStore.open(Path(shutil.copytree(judged / "features.zarr", tmp_path / "features.zarr")))
    recipe = load_run(judged / "runs/first").recipe
    test, train = (np.flatnonzero(store.index.splits == split) for split in ("test", "train"))
    for row in test[store.index.labels[test] == 1].tolist():
        StoreWriter(store).report("video", row, Status.ABSENT, reason="no file")
    entries = store.index.select(test)
    table = score_table(entries, scores=np.zeros(len(test)), raw_scores=np.zeros(len(test)))
    files, of_train = (
        {name: values for name, values in file_metadata(store, rows, recipe=recipe).items() if "video" in name}
        for rows in (test, train)
    )
    assert files["video files"].tolist() == (1 - table.labels).tolist()
    control = file_metadata_control(table, files=files, train_files=of_train)
    assert control.auroc is not None and control.auroc.value == 1
