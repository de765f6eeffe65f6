"""A store that says its features were made from pictures outside the data set's folder: no map shows them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from weldcache.cache.status import SourceFile
from weldcache.cache.store import FeatureStore
from weldcache.evaluate.localise.export import export_maps
from weldcache.evaluate.localise.localiser import Localiser, folder_of_files
from weldcache.evaluate.scoring import scorer_of
from weldcache.tests.toy import read_picture
from weldcache.train.runs.trained_run import load_run

Claim = Callable[[str], None]


@pytest.fixture
def localiser(judged: Path, tmp_path: Path) -> Localiser:
    """Of a run whose data set has one picture in its folder, and the user another beside the folder."""
    import cv2

    root = tmp_path / "parts"
    root.mkdir()
    for path in (root / "own.png", tmp_path / "secret.png"):
        assert cv2.imwrite(str(path), np.full((40, 60, 3), 120, np.uint8))
    return Localiser(scorer_of(load_run(judged / "runs" / "first"), cache=None, device="cpu"), root)


@pytest.fixture
def claim(monkeypatch: pytest.MonkeyPatch) -> Claim:
    """Have the store say that every row was made from the file of this path."""

    def claim_path(path: str) -> None:
        monkeypatch.setattr(
            FeatureStore, "sources", lambda _, __, rows: [(SourceFile(path, 1, 1, "0" * 64),)] * len(rows)
        )

    return claim_path


def test_a_picture_below_the_folder_is_shown(localiser: Localiser, claim: Claim, tmp_path: Path) -> None:
    claim("own.png")
    keys = localiser.scorer.store.index.keys[localiser.scorer.rows_of("test").usable[:1]].tolist()
    assert folder_of_files(localiser.scorer, folders=[localiser.root]) == localiser.root
    export_maps(localiser, keys, tmp_path / "maps", run_name="first")
    (overlay,) = (tmp_path / "maps").glob("*.png")
    assert read_picture(overlay).shape == (40, 60, 3)


@pytest.mark.parametrize("how", ["upwards", "upwards inside", "absolute", "null"])
def test_a_picture_outside_it_is_in_no_map(localiser: Localiser, claim: Claim, tmp_path: Path, how: str) -> None:
    (localiser.root / "a").mkdir()
    claim(
        {
            "upwards": "../secret.png",
            "upwards inside": "a/../../secret.png",
            "absolute": str(tmp_path / "secret.png"),
            "null": "own\0.png",
        }[how]
    )
    keys = localiser.scorer.store.index.keys[localiser.scorer.rows_of("test").usable[:1]].tolist()
    assert folder_of_files(localiser.scorer, folders=[localiser.root]) is None
    export_maps(localiser, keys, tmp_path / "maps", run_name="first")  # of what has times: it is in the store
    assert not list((tmp_path / "maps").glob("*.png"))
