"""A store goes through an HDF5 file and comes out as it was, byte for byte, or not at all."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weldcache.atomic import locked_folder, read_locked_folder
from weldcache.cache import exchange
from weldcache.cache.arrays import NUMPY_TYPES, ArraySpec, FeatureSetSpec
from weldcache.cache.exchange import export_hdf5, import_hdf5
from weldcache.cache.hdf5_arrays import write_text
from weldcache.cache.index import Index
from weldcache.cache.status import SourceFile, Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.verification.outcome import Verification
from weldcache.cache.writer import StoreWriter
from weldcache.errors import (
    BadInputError,
    BusyError,
    FingerprintError,
    NotFoundError,
    OutputExistsError,
    StoreError,
    WeldcacheError,
    disk_errors,
)
from weldcache.tests.toy import index_of

# A signalling NaN, a negative NaN with a payload, minus zero, the smallest subnormal, infinity, one.
SPECIAL_HALVES = np.array([0x7D01, 0xFE33, 0x8000, 0x0001, 0x7C00, 0x3C00], dtype="<u2").view("<f2")
SOURCE = SourceFile("day/Schweiß 写真.avi", 12_345, 1_700_000_000_000_000_000, "ab" * 32)

Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five rows with every status, two feature sets, a constant, notes in several scripts; and full.h5 beside it."""
    index = index_of(
        keys=[f"day/00{row}" for row in range(5)],
        splits=["train"] * 5,
        class_names=["good"] * 5,
        groups=["day"] * 5,
        labels=[0] * 5,
        attributes={"CURRENT_A": [100.0 + row for row in range(5)], "STEEL_TYPE": ["S355"] * 5},
    )
    store = FeatureStore.create(tmp_path_factory.mktemp("pristine") / "full.zarr", index=index)
    video = [
        ArraySpec("tokens", (3, 2), ("time", "dim"), "float16", attributes={"windows": [0.5, 1.5], "unit": "none"}),
        ArraySpec("tokens_length", (), (), "int32"),
        ArraySpec("embedding", (4,), ("dim",), "bfloat16"),
    ]
    store.add_feature_set(FeatureSetSpec("video", video, {"backbone": {"model": "tiny"}}))
    store.add_feature_set(
        FeatureSetSpec("image/block_10", [ArraySpec("cls", (2, 3), ("view", "dim"), "float32")], {"backbone": {"k": 1}})
    )
    store.add_constant("text/prompt", np.array([0.0, -0.0, np.pi], dtype=np.float32), made_by={"prompt": "a weld"})
    store.set_batching({"video": 8})
    writer = StoreWriter(store)
    tokens = np.stack([SPECIAL_HALVES, SPECIAL_HALVES[::-1]]).reshape(2, 3, 2)
    features = {
        "tokens": tokens,
        "tokens_length": np.array([3, 2], dtype="<i4"),
        "embedding": np.array([[0x7FC1, 0x8000, 1, 0xFF80]] * 2, dtype="<u2"),
    }
    writer.write("video", [0, 3], features, sources=[[SOURCE], [SOURCE, SOURCE]], notes=["", "cut short, gekürzt"])
    writer.report("video", 1, Status.ABSENT, reason="no file: Schweiß.avi")
    writer.report("video", 2, Status.UNREADABLE, reason="写真が読めません", sources=[SOURCE])
    writer.report("video", 4, Status.MISSING, reason="the backbone failed")
    writer.write("image/block_10", [4], {"cls": np.full((1, 2, 3), np.nan, np.float32)}, sources=[[SOURCE]], notes=[""])
    Verification(store.path, store.fingerprint, len(store.index), []).write_record()
    export_hdf5(store, store.path.with_name("full.h5"))
    return store.path


@pytest.fixture
def full_store(pristine: Path, tmp_path: Path) -> FeatureStore:
    """A copy that a test may change."""
    return FeatureStore.open(Path(shutil.copytree(pristine, tmp_path / "full.zarr")))


@pytest.fixture
def exported(pristine: Path, tmp_path: Path) -> Path:
    """What was exported from it, to be changed too."""
    return Path(shutil.copy(pristine.with_name("full.h5"), tmp_path))


def test_the_imported_store_is_the_exported_one_file_for_file(
    full_store: FeatureStore, exported: Path, tmp_path: Path, contents: Contents
) -> None:
    imported = import_hdf5(exported, tmp_path / "other" / "back.zarr")
    assert contents(imported.path) == contents(full_store.path)
    assert imported.fingerprint == full_store.fingerprint and imported.created == full_store.created
    np.testing.assert_array_equal(imported.read("video/embedding", [3]), full_store.read("video/embedding", [3]))
    assert imported.notes("video") == full_store.notes("video")
    assert imported.sources("video", [3]) == [(SOURCE, SOURCE)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full.h5", "full.zarr", "other"]
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["back.zarr"]


def test_a_store_of_the_former_schema_goes_through_as_it_is(
    tmp_path: Path, make_index: Callable[..., Index], video_spec: FeatureSetSpec, contents: Contents
) -> None:
    store = FeatureStore.create(tmp_path / "former.zarr", index=make_index(5), schema_version=2)
    store.add_feature_set(video_spec)
    StoreWriter(store).report("video", 3, Status.UNREADABLE, reason="cut short", sources=[SOURCE])
    export_hdf5(store, tmp_path / "former.h5")
    imported = import_hdf5(tmp_path / "former.h5", tmp_path / "back.zarr")
    assert contents(imported.path) == contents(store.path) and imported.schema_version == 2


def test_plain_h5py_finds_everything_under_its_name(full_store: FeatureStore, exported: Path) -> None:
    with h5py.File(exported) as file:
        tokens = file["features/video/tokens"]
        assert tokens.dtype == np.float16 and tokens[0].tobytes() == SPECIAL_HALVES.tobytes()
        assert [dimension.label for dimension in tokens.dims] == ["row", "time", "dim"]
        assert np.isnan(tokens[1]).all() and np.isnan(tokens[4]).all()
        assert (tokens.chunks, tokens.fletcher32, tokens.id.get_num_chunks()) == ((1, 3, 2), True, 2)
        assert json.loads(tokens.attrs["windows"]) == [0.5, 1.5] and tokens.attrs["unit"] == "none"
        embedding = file["features/video/embedding"]
        assert embedding.dtype == np.uint16 and embedding.attrs["storage_type"] == "bfloat16"
        np.testing.assert_array_equal(embedding[1], [0x7FC0] * 4)
        assert file["index/keys"].asstr()[:].tolist() == [f"day/00{row}" for row in range(5)]
        np.testing.assert_array_equal(file["index/attributes/CURRENT_A"], [100.0, 101.0, 102.0, 103.0, 104.0])
        np.testing.assert_array_equal(file["status/video"], [1, 2, 3, 1, 0])
        assert file["problem/video"].asstr()[2] == "写真が読めません" and file["problem/video"][0] == b""
        assert json.loads(file["source/video"].asstr()[0])[0][0] == "day/Schweiß 写真.avi"
        np.testing.assert_array_equal(file["constants/text/prompt"], full_store.constant("text/prompt"))
        described = json.loads(file.attrs["weldcache"])
    assert described["manifest"] == full_store.manifest and described["batching"] == {"video": 8}
    assert {"schema_version", "created", "versions", "fingerprint"} <= described.keys()


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes=st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=3),
    dtypes=st.lists(st.sampled_from(list(NUMPY_TYPES)), min_size=3, max_size=3),
    statuses=st.lists(st.sampled_from([None, *Status]), max_size=6),
    texts=st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1), min_size=6, max_size=6),
    seed=st.integers(0, 2**31),
)
def test_any_store_round_trips(
    tmp_path_factory: pytest.TempPathFactory,
    contents: Contents,
    shapes: list[tuple[int, ...]],
    dtypes: list[str],
    statuses: list[Status | None],
    texts: list[str],
    seed: int,
) -> None:
    """Any shapes and types with any bits in them, rows of every status and never tried, notes in any script."""
    folder, generator, num_rows = tmp_path_factory.mktemp("any"), np.random.default_rng(seed), len(statuses)
    index = index_of(
        keys=[f"{row} {texts[row]}" for row in range(num_rows)],
        splits=["test"] * num_rows,
        class_names=texts[:num_rows],
        groups=["s"] * num_rows,
        labels=[row % 2 for row in range(num_rows)],
        attributes={"number": [0.5] * num_rows},
    )
    store = FeatureStore.create(folder / "a.zarr", index=index)
    arrays = [
        ArraySpec(f"array{i}", shape, tuple(f"axis{k}" for k in range(len(shape))), dtype)  # type: ignore[arg-type]
        for i, (shape, dtype) in enumerate(zip(shapes, dtypes, strict=False))
    ]
    store.add_feature_set(FeatureSetSpec("image/block_2", arrays, {"seed": seed}))
    for row, status in enumerate(statuses):
        if status == Status.COMPLETE:
            features = {
                spec.name: np.frombuffer(generator.bytes(spec.row_bytes), NUMPY_TYPES[spec.dtype]).reshape(
                    1, *spec.shape
                )
                for spec in arrays
            }
            StoreWriter(store).write("image/block_2", [row], features, sources=[[SOURCE]], notes=[texts[row]])
        elif status is not None:
            StoreWriter(store).report("image/block_2", row, status, reason=texts[row])
    export_hdf5(store, folder / "a.h5")
    assert contents(import_hdf5(folder / "a.h5", folder / "b.zarr").path) == contents(store.path)


def test_a_store_without_rows_and_one_that_has_grown_round_trip(
    store: FeatureStore, tmp_path: Path, make_index: Callable[..., Index], contents: Contents
) -> None:
    empty = FeatureStore.create(tmp_path / "empty.zarr", index=make_index(0))
    store.follow(make_index(9))
    for number, grown in enumerate((empty, store)):
        export_hdf5(grown, tmp_path / f"{number}.h5")
        imported = import_hdf5(tmp_path / f"{number}.h5", tmp_path / f"{number}.zarr")
        assert contents(imported.path) == contents(grown.path)


def test_data_without_status_does_not_travel(full_store: FeatureStore, tmp_path: Path, contents: Contents) -> None:
    full_store.forget("video", [3])
    (full_store.path / "features/video/tokens/.c.4.0.0.part").write_bytes(b"left by a crash")
    export_hdf5(full_store, tmp_path / "x.h5")
    imported = import_hdf5(tmp_path / "x.h5", tmp_path / "back.zarr")
    gone = contents(full_store.path).keys() - contents(imported.path).keys()
    assert gone == {f"features/video/{name}" for name in ("tokens/c.3.0.0", "tokens_length/c.3", "embedding/c.3.0")} | {
        "features/video/tokens/.c.4.0.0.part"
    }
    assert imported.status("video").tolist() == [1, 2, 3, 0, 0]


def test_what_an_import_reads_is_never_of_unguarded_length(exported: Path) -> None:
    """HDF5 keeps texts of any length in a heap without checksums; one flipped bit in it made reading never end."""
    with h5py.File(exported) as file:
        names = ["."]
        file.visit(names.append)
        texts = [(file[name], "zarr.json") for name in names] + [(file, "weldcache"), (file, "sha256")]
        lengths = [h5py.check_string_dtype(node.attrs.get_id(name).dtype).length for node, name in texts]
        datasets = [file[name] for name in names if isinstance(file[name], h5py.Dataset)]
        lengths += [h5py.check_string_dtype(node.dtype).length for node in datasets if node.dtype.kind not in "fiu"]
    assert len(lengths) > 30 and None not in lengths


def test_every_chunk_is_guarded(exported: Path, tmp_path: Path) -> None:
    data = exported.read_bytes()
    positions = []
    with h5py.File(exported) as file:

        def note(name: str, node: h5py.Group | h5py.Dataset) -> None:
            if isinstance(node, h5py.Dataset):
                chunks = [node.id.get_chunk_info(i) for i in range(node.id.get_num_chunks())]
                positions.extend(chunk.byte_offset + chunk.size // 2 for chunk in chunks)

        file.visititems(note)
    assert len(positions) > 20
    for position in positions:
        _refused(data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :], tmp_path)


def test_a_flipped_bit_anywhere_is_found_or_harms_nothing(
    full_store: FeatureStore, exported: Path, tmp_path: Path, contents: Contents
) -> None:
    """Some bytes of an HDF5 file mean nothing: with them changed, the store is still the one that was exported."""
    data, expected, generator = exported.read_bytes(), contents(full_store.path), np.random.default_rng(0)
    path, found = tmp_path / "flipped.h5", 0
    for position in generator.integers(len(data), size=40).tolist():
        path.write_bytes(data[:position] + bytes([data[position] ^ 16]) + data[position + 1 :])
        destination = tmp_path / "flipped.zarr"
        try:
            assert contents(import_hdf5(path, destination).path) == expected
            destination.rename(tmp_path / f"harmless{position}.zarr")
        except (BadInputError, FingerprintError):
            found += 1
        assert not list(tmp_path.glob(".*"))
    assert found > 20


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_file_that_is_cut_short_is_refused(exported: Path, tmp_path: Path, share: float) -> None:
    data = exported.read_bytes()
    _refused(data[: int(len(data) * share)], tmp_path, match=r"damaged or cut short|not an HDF5 file")


def _refused(data: bytes, folder: Path, *, match: str = "is damaged or cut short") -> None:
    path = folder / "bad.h5"
    path.write_bytes(data)
    with pytest.raises(BadInputError, match=match):
        import_hdf5(path, folder / "never.zarr")
    assert not (folder / "never.zarr").exists() and not list(folder.glob(".*"))


def test_what_is_not_an_export_is_refused(exported: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        file["features/video/tokens"] = np.zeros(3)
    _refused((tmp_path / "bad.h5").read_bytes(), tmp_path, match="was not made by `weldcache export`")
    _refused(b"key,split\n", tmp_path, match="is not an HDF5 file")
    with pytest.raises(NotFoundError, match=r"no file .*gone\.h5"):
        import_hdf5(tmp_path / "gone.h5", tmp_path / "never.zarr")


def test_a_description_that_was_changed_is_found(exported: Path, tmp_path: Path) -> None:
    with h5py.File(exported, "r+") as file:
        write_text(file, "zarr.json", file.attrs["zarr.json"].decode().replace("tiny", "huge"))
    _refused(exported.read_bytes(), tmp_path, match="does not agree with its own checksum")


def test_names_that_lead_out_of_the_store_are_refused(exported: Path, tmp_path: Path) -> None:
    with h5py.File(exported, "r+") as file:
        file["features"].create_group("..").create_group("..").create_group("evil")
    _refused(exported.read_bytes(), tmp_path, match="not named by the store's description")


def test_another_schema_is_refused(exported: Path, tmp_path: Path) -> None:
    with h5py.File(exported, "r+") as file:
        metadata = json.loads(file.attrs["zarr.json"])
        metadata["attributes"]["weldcache"]["schema_version"] = 99
        write_text(file, "zarr.json", json.dumps(metadata))
    with pytest.raises(FingerprintError, match="schema version 99"):
        import_hdf5(exported, tmp_path / "never.zarr")
    assert not (tmp_path / "never.zarr").exists()


def test_nothing_is_overwritten_unasked(full_store: FeatureStore, exported: Path) -> None:
    with pytest.raises(OutputExistsError, match=r"full\.h5 exists already.*--overwrite"):
        export_hdf5(full_store, exported)
    with pytest.raises(OutputExistsError, match=r"full\.zarr exists already"):
        import_hdf5(exported, full_store.path)
    before = exported.stat().st_ino
    export_hdf5(full_store, exported, overwrite=True)
    assert exported.stat().st_ino != before


@pytest.mark.parametrize(
    "chunk",
    [
        "features/video/tokens/c.3.0.0",
        "status/video/c.0",
        "problem/video/c.0",
        "digest/video/c.0",
        "source/video/c.0",
        "constants/text/prompt/c/0",
    ],
)
def test_a_damaged_store_is_not_exported(full_store: FeatureStore, tmp_path: Path, chunk: str) -> None:
    path = full_store.path / chunk
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(StoreError, match="damaged"):
        export_hdf5(full_store, tmp_path / "x.h5")
    assert [entry.name for entry in tmp_path.iterdir()] == ["full.zarr"]


def test_a_store_that_is_being_written_is_not_exported(full_store: FeatureStore, tmp_path: Path) -> None:
    with locked_folder(full_store.path), pytest.raises(BusyError):
        export_hdf5(full_store, tmp_path / "x.h5")


def test_a_disk_that_is_full_leaves_nothing_behind(full_store: FeatureStore, exported: Path, tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk: writing past it fails as writing to a full one does."""
    before = sorted(path.name for path in tmp_path.iterdir())
    with _largest_file(4096), pytest.raises(StoreError, match=r"Writing .*x\.h5 failed: .*Nothing was left there"):
        export_hdf5(full_store, tmp_path / "x.h5")
    with _largest_file(8), pytest.raises(StoreError, match=r"Writing .* failed: File too large"):
        import_hdf5(exported, tmp_path / "never.zarr")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@contextmanager
def _largest_file(num_bytes: int):  # type: ignore[no-untyped-def]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_a_killed_import_left_goes_and_what_a_living_one_holds_stays(exported: Path, tmp_path: Path) -> None:
    abandoned, held, others = (
        tmp_path / name for name in (".back.zarr.11111111.tmp", ".back.zarr.22222222.tmp", ".other.zarr.33333333.tmp")
    )
    for folder in (abandoned, held, others):
        (folder / "features").mkdir(parents=True)
        (folder / "features" / "c.0").write_bytes(b"half")
    with locked_folder(held):
        import_hdf5(exported, tmp_path / "back.zarr")
    left = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("."))
    assert left == [held.name, others.name]
    assert (held / "features" / "c.0").read_bytes() == b"half"


def test_what_a_killed_export_left_goes_and_is_named(
    full_store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    abandoned, held, others = (tmp_path / name for name in (".x.11111111.tmp.h5", ".x.22222222.tmp.h5", ".x.3.tmp.txt"))
    for file in (abandoned, held, others):
        file.write_bytes(b"half of a store")
    with held.open("rb") as living:
        flock(living, LOCK_EX)
        export_hdf5(full_store, tmp_path / "x.h5")
    assert sorted(path.name for path in tmp_path.glob(".*")) == [held.name, others.name]
    told = capsys.readouterr().err
    assert str(abandoned) in told and str(held) not in told
    assert len(list(tmp_path.glob(".x*"))) == 2 and (tmp_path / "x.h5").exists()


def test_two_may_export_at_once_and_nobody_writes_meanwhile(full_store: FeatureStore, tmp_path: Path) -> None:
    with read_locked_folder(full_store.path):
        export_hdf5(full_store, tmp_path / "x.h5")
        with pytest.raises(BusyError, match="copying"), locked_folder(full_store.path):
            pass


def test_a_file_that_somebody_writes_is_busy_and_not_damaged(exported: Path, tmp_path: Path) -> None:
    with exported.open("rb") as living:
        flock(living, LOCK_EX)
        with pytest.raises(BusyError, match=r"full\.h5"):
            import_hdf5(exported, tmp_path / "back.zarr")


def test_a_drive_without_locks_is_read_all_the_same(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(exchange, "flock", refuse)
    assert len(import_hdf5(exported, tmp_path / "back.zarr").index) == 5


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_what_the_system_refuses_while_reading_is_not_damage(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "file read failed")

    monkeypatch.setattr(exchange, "import_whole", refuse)
    with pytest.raises(OSError) as caught:
        import_hdf5(exported, tmp_path / "back.zarr")
    assert (caught.value.errno, caught.value.filename) == (number, str(exported))
    assert not isinstance(caught.value, WeldcacheError)
    assert not list(tmp_path.glob("*back*"))


def test_a_full_disk_is_told_by_its_name_and_others_are_not(tmp_path: Path) -> None:
    for number, advice in ((errno.ENOSPC, "make room"), (errno.EROFS, "can be written")):
        with pytest.raises(StoreError, match=advice), disk_errors(tmp_path, kept="Nothing"):
            raise OSError(number, os.strerror(number))


def test_an_import_takes_an_empty_folder_and_a_link_to_what_is_not_there(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "scratch" / "real.zarr")
    for name in ("empty.zarr", "link.zarr"):
        assert len(import_hdf5(exported, tmp_path / name).index) == 5
    assert (tmp_path / "link.zarr").is_symlink() and (tmp_path / "scratch/real.zarr/zarr.json").exists()


def test_an_export_follows_a_link_to_what_is_not_there(full_store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "x.h5").symlink_to(tmp_path / "scratch" / "real.h5")
    export_hdf5(full_store, tmp_path / "x.h5")
    assert (tmp_path / "x.h5").is_symlink() and h5py.is_hdf5(tmp_path / "scratch" / "real.h5")


def test_names_may_be_as_long_as_the_drive_allows(full_store: FeatureStore, tmp_path: Path) -> None:
    path, back = tmp_path / ("e" * 252 + ".h5"), tmp_path / ("i" * 255)
    export_hdf5(full_store, path)
    assert len(import_hdf5(path, back).index) == 5
    for too_long in (tmp_path / ("x" * 300), tmp_path / ("é" * 200)):
        with pytest.raises(OSError) as caught:
            import_hdf5(path, too_long)
        assert caught.value.errno == errno.ENAMETOOLONG
        with pytest.raises(OSError):
            export_hdf5(full_store, too_long)


def test_a_store_that_appears_meanwhile_is_kept(
    exported: Path, full_store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = tmp_path / "back.zarr"
    copy_rows = exchange.import_rows

    def first_of_two(*arguments: Any, **more: Any) -> None:
        copy_rows(*arguments, **more)
        if not destination.exists():
            shutil.copytree(full_store.path, destination)

    monkeypatch.setattr(exchange, "import_rows", first_of_two)
    with pytest.raises(OutputExistsError, match=r"back\.zarr"):
        import_hdf5(exported, destination)
    assert FeatureStore.open(destination).fingerprint == full_store.fingerprint
    assert not list(tmp_path.glob(".back*"))


@pytest.mark.parametrize("node", [".", "features", "index/keys", "status/video", "features/video/tokens"])
@pytest.mark.parametrize("text", ["{", "[" * 100_000, "", None])
def test_a_store_with_damaged_metadata_is_not_exported(
    full_store: FeatureStore, tmp_path: Path, node: str, text: str | None
) -> None:
    path = full_store.path / node / "zarr.json"
    path.write_text(text) if text is not None else path.unlink()
    with pytest.raises((StoreError, NotFoundError), match=r"zarr\.json|feature store"):
        export_hdf5(full_store, tmp_path / "x.h5")
    assert [entry.name for entry in tmp_path.iterdir()] == ["full.zarr"]


def test_a_folder_is_no_place_for_a_file(full_store: FeatureStore, tmp_path: Path) -> None:
    for overwrite in (False, True):
        with pytest.raises(OutputExistsError, match="is a folder"):
            export_hdf5(full_store, tmp_path, overwrite=overwrite)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path, child_environment: dict[str, str]) -> None:
    """Peak memory of a process that exports and imports 16 MB, and of one that does so with 64 MB."""
    code = """
import resource, sys
from pathlib import Path
import numpy as np
import weldcache.cache.hdf5_arrays as hdf5_arrays
from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.exchange import export_hdf5, import_hdf5
from weldcache.cache.index import class_and_label, index_with
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
hdf5_arrays._BLOCK_BYTES = 1 << 20
folder, num_rows = Path(sys.argv[1]), int(sys.argv[2])
same = ["x"] * num_rows
targets = class_and_label(np.array(same), np.zeros(num_rows, np.int64))
index = index_with(keys=[str(row) for row in range(num_rows)], parts=same, groups=same, targets=targets, attributes={})
store = FeatureStore.create(folder / "a.zarr", index=index)
store.add_feature_set(FeatureSetSpec("image", [ArraySpec("tokens", (256, 256), ("patch", "dim"), "float32")], {}))
for first in range(0, num_rows, 16):
    rows = list(range(first, first + 16))
    values = np.tile(np.array(rows, np.float32)[:, None, None], (1, 256, 256))
    StoreWriter(store).write("image", rows, {"tokens": values}, sources=[[]] * 16, notes=[""] * 16)
export_hdf5(store, folder / "a.h5")
import_hdf5(folder / "a.h5", folder / "b.zarr")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    peaks = []
    for num_rows in (64, 256):
        folder = tmp_path / str(num_rows)
        folder.mkdir()
        command = [sys.executable, "-c", code, str(folder), str(num_rows)]
        done = subprocess.run(command, env=child_environment, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 16, peaks  # MB; holding all rows would take 48 more
