"""`weldcache export` and `weldcache import`: a store leaves as one file and comes back as it was."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest


def test_a_real_store_comes_back_byte_for_byte(
    weldcache: Callable[..., Any], extracted: Path, tmp_path: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    file = tmp_path / "features.h5"
    outcome = weldcache("export", "--to", str(file), folder=extracted)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"{file}: ") and outcome.out.endswith(f" MB from {extracted / 'features.zarr'}")
    assert "Exporting features.zarr" in outcome.err
    with h5py.File(file) as opened:
        assert opened["features/video/tokens"].shape[0] == 38
    outcome = weldcache("import", str(file), "--cache", "back.zarr", "--json", folder=tmp_path)
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.raw_out)
    assert (told["store"], told["num_rows"]) == (str(tmp_path / "back.zarr"), 38)
    assert told["fingerprint"] == json.loads(weldcache("info", "--json", folder=extracted).raw_out)["fingerprint"]
    assert contents(tmp_path / "back.zarr") == contents(extracted / "features.zarr")


def test_neither_overwrites_unasked(
    weldcache: Callable[..., Any], extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "features.h5"
    file.write_text("mine")
    refused = weldcache("export", "--to=~/features.h5", folder=extracted)
    assert (refused.code, refused.out, file.read_text()) == (2, "", "mine")
    assert "exists already" in refused.err and "--overwrite" in refused.err
    written = weldcache("export", "--to", str(file), "--overwrite", "--json", folder=extracted)
    assert written.code == 0 and json.loads(written.raw_out)["num_bytes"] == file.stat().st_size
    refused = weldcache("import", str(file), folder=extracted)
    assert refused.code == 2 and "features.zarr exists already" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "--to", "x.h5"], "There is no feature store at"),
        (["export"], "Missing option '--to'"),
        (["import", "gone.h5"], "no file gone.h5"),
        (["import", "text.h5"], "text.h5 is not an HDF5 file"),
        (["import", "cut.h5"], "cut.h5 is damaged or cut short"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    weldcache: Callable[..., Any], tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "text.h5").write_text("key,split\n")
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        file["values"] = list(range(1000))
    (tmp_path / "cut.h5").write_bytes((tmp_path / "whole.h5").read_bytes()[:3000])
    before = sorted(tmp_path.iterdir())
    outcome = weldcache(*arguments, folder=tmp_path)
    assert outcome.code == 2 and outcome.out == "" and "Traceback" not in outcome.err
    assert message in outcome.err
    assert sorted(tmp_path.iterdir()) == before
