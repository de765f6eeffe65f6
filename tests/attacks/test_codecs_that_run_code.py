"""A store in an older format of Zarr, or with other codecs: Zarr would decode it, and one of its codecs runs programs.

The gate that newer releases of numcodecs have before that codec is opened in these tests, so that what holds is ours.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numcodecs.pickles
import numpy as np
import pytest
import zarr

from weldcache.cache.layout import open_array
from weldcache.cache.store import FeatureStore
from weldcache.errors import StoreError


@pytest.fixture(autouse=True)
def open_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numcodecs.pickles, "ALLOW_UNSAFE_PICKLE_DECODE", True)


@pytest.fixture
def made_by_attack(tmp_path: Path) -> Iterator[Path]:
    """The file that exists once the attacker's program has run."""
    yield tmp_path / "attacked"


def put_payload(array: Path, made: Path, *, num_rows: int = 3) -> None:
    """Make the folder `array` one of Zarr's version 2 whose only chunk runs a program that makes the file `made`."""
    array.mkdir(parents=True, exist_ok=True)
    metadata = {
        "zarr_format": 2,
        "shape": [num_rows],
        "chunks": [num_rows],
        "dtype": "|O",
        "fill_value": "",
        "order": "C",
        "filters": [{"id": "vlen-utf8"}],
        "compressor": {"id": "pickle"},
    }
    (array / ".zarray").write_text(json.dumps(metadata))
    # Opcodes: the global os.system, a mark, a string, a tuple of what is behind the mark, the call, the end.
    (array / "0").write_bytes(b"cos\nsystem\n(S'touch " + str(made).encode() + b"'\ntR.")


def test_the_attack_is_real(tmp_path: Path, made_by_attack: Path) -> None:
    put_payload(tmp_path / "array", made_by_attack)
    with pytest.raises(TypeError):  # the program's exit status is no text; by then it has run
        zarr.open_array(tmp_path / "array", mode="r")[:]
    assert made_by_attack.exists()


ARRAYS = ["index/keys", "index/attributes/CURRENT_A", "constants/text/prompt", "status/sensor"]


@pytest.mark.parametrize("beside", [False, True], ids=["instead", "beside"])
@pytest.mark.parametrize("array", ARRAYS)
def test_an_array_of_the_older_format_is_never_decoded(
    store: FeatureStore, made_by_attack: Path, use_in_every_way: Callable[[Path], None], array: str, beside: bool
) -> None:
    if not beside:
        shutil.rmtree(store.path / array)
    put_payload(store.path / array, made_by_attack)
    with pytest.raises((StoreError, FileNotFoundError), match=r"\.zarray|zarr\.json"):
        open_array(store.path / array)
    with contextlib.suppress(StoreError):
        use_in_every_way(store.path)
    assert not made_by_attack.exists()


def test_no_command_runs_it(
    weldcache: Callable[..., Any], store: FeatureStore, made_by_attack: Path, tmp_path: Path
) -> None:
    put_payload(store.path / "index/keys", made_by_attack)
    for command in (["info"], ["verify", "--no-sources", "--mend"]):
        outcome = weldcache(*command, "--cache", str(store.path), folder=tmp_path)
        assert outcome.code in (1, 2) and ".zarray" in outcome.err + outcome.out, outcome
    assert not made_by_attack.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"codecs": [{"name": "numcodecs.pickle"}, {"name": "crc32c"}]},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "gzip"}]},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}, {"name": "crc32c"}]},
        {"codecs": [{"name": "sharding_indexed", "configuration": {}}, {"name": "crc32c"}]},
        {"codecs": [{"name": "vlen-utf8"}, {"name": "crc32c"}]},
        {"storage_transformers": [{"name": "x"}]},
        {"data_type": "variable_length_bytes"},
        {"data_type": {"name": "fixed_length_utf32", "configuration": {"length_bytes": 4}}},
        {"chunk_grid": {"name": "rectilinear", "configuration": {"chunk_shape": [3]}}},
        {"chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}}},
        {"zarr_format": 2},
        {"node_type": "group"},
        {"shape": [-1]},
        {"shape": [3, 3]},
        {"must_understand": False},
    ],
    ids=str,
)
def test_what_we_do_not_write_is_not_read(store: FeatureStore, change: dict[str, Any]) -> None:
    path = store.path / "constants/text/prompt/zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StoreError):
        FeatureStore.open(store.path).constant("text/prompt")


def test_metadata_of_other_nodes_in_the_root_are_not_obeyed(store: FeatureStore) -> None:
    """Zarr takes what a group has consolidated for the metadata of the arrays below it."""
    path = store.path / "zarr.json"
    metadata = json.loads(path.read_text())
    metadata["consolidated_metadata"] = {"kind": "inline", "must_understand": False, "metadata": {}}
    path.write_text(json.dumps(metadata))
    with pytest.raises(StoreError, match="consolidated_metadata"):
        FeatureStore.open(store.path)


def test_a_sound_store_is_read(store: FeatureStore, use_in_every_way: Callable[[Path], None]) -> None:
    use_in_every_way(store.path)
    np.testing.assert_array_equal(FeatureStore.open(store.path).constant("text/prompt"), 1)
