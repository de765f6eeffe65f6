"""Cached against live: what is stored passes, and a wrong number or a row of another weld does not."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weldcache.atomic import locked_folder
from weldcache.cache.arrays import ArraySpec
from weldcache.cache.status import SourceFile, Status, source_file
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import to_storage
from weldcache.cache.verification.chunk_scan import to_float64
from weldcache.cache.verification.outcome import Verification
from weldcache.cache.writer import StoreWriter
from weldcache.errors import BusyError, NotFoundError
from weldcache.extract.changes import CurrentFiles, find_changes
from weldcache.extract.pipeline import extract
from weldcache.extract.request import make_request
from weldcache.extract.verification.comparison import compare, half_ulp
from weldcache.extract.verification.verify import verify
from weldcache.settings import load_settings

WELDS = 10  # of the tiny data set: 4 train, 3 val, 3 test


@pytest.fixture(scope="module")
def few(
    synthetic: Path,
    tmp_path_factory: pytest.TempPathFactory,
    manifest_rows: Callable[[Path], list[dict[str, str]]],
    write_rows: Callable[..., None],
    contents: Callable[[Path], dict[str, bytes]],
) -> Iterator[Path]:
    """A data set of a few welds with its store. Not to be changed."""
    project, rows = tmp_path_factory.mktemp("few") / "project", manifest_rows(synthetic)
    of_split = {split: [row for row in rows if row["SPLIT"].lower() == split] for split in ("train", "val", "test")}
    chosen = [*of_split["train"][:4], *of_split["val"][:3], *of_split["test"][-3:]]
    for row in chosen:
        shutil.copytree(synthetic / row["SUBDIRS"], project / row["SUBDIRS"])
    shutil.copytree(synthetic / "demo_backbones", project / "demo_backbones")
    shutil.copy(synthetic / "weldcache.yaml", project)
    write_rows(project, [row for row in rows if row in chosen])
    extract(load_settings(folder=project))
    before = contents(project)
    yield project
    assert before.items() <= contents(project).items()  # to which verifying adds its record


def verified(project: Path, *overrides: str, **options: int | bool) -> Verification:
    return verify(load_settings(folder=project, overrides=overrides), **options)  # type: ignore[arg-type]


def store_of(project: Path) -> FeatureStore:
    return FeatureStore.open(project / "features.zarr")


def change_value(store: FeatureStore, array: str, row: int, change: Callable[[np.ndarray], None]) -> None:
    """Change a stored row and give it checksums and a digest that are right."""
    feature_set, _, name = array.rpartition("/")
    values = {each: np.array(store.read(f"{feature_set}/{each}", [row])) for each in store.arrays(feature_set)}
    change(values[name][0])
    rewrite(store, feature_set, [row], values)


def swap_rows(store: FeatureStore, feature_set: str, first: int, second: int) -> None:
    rows = [first, second]
    values = {name: store.read(f"{feature_set}/{name}", rows)[::-1].copy() for name in store.arrays(feature_set)}
    rewrite(store, feature_set, rows, values)


def rewrite(store: FeatureStore, feature_set: str, rows: list[int], values: Mapping[str, np.ndarray]) -> None:
    noted = store.notes(feature_set)
    notes = [noted.get(str(store.index.keys[row]), "") for row in rows]
    StoreWriter(store).write(feature_set, rows, values, sources=store.sources(feature_set, rows), notes=notes)


# The tolerance


@given(
    dtype=st.sampled_from(["float16", "bfloat16", "float32"]),
    exponent=st.integers(-20, 14),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40)
def test_rounding_alone_always_passes_and_one_more_unit_never_does(dtype: str, exponent: int, seed: int) -> None:
    spec = ArraySpec("a", (50,), ("dim",), dtype)  # type: ignore[arg-type]
    exact = np.random.default_rng(seed).normal(size=(1, 50)).astype(np.float32) * np.float32(2.0**exponent)
    stored = to_storage(torch.from_numpy(exact), spec, owners=["weld"])[0]
    live = exact[0].astype(np.float64)
    assert compare(stored, together=live, alone=live, spec=spec, floor=0.0).passed
    beyond = to_float64(stored, spec.dtype) + 2.5 * half_ulp(to_float64(stored, spec.dtype), spec)
    assert not compare(stored, together=beyond, alone=beyond, spec=spec, floor=0.0).passed


def test_half_a_unit_in_the_last_place_by_hand() -> None:
    values = np.array([1.0, -1.5, 2.0, 1000.0])
    # 10 bits behind the point in float16, 7 in bfloat16; 1000 lies between 2**9 and 2**10.
    half = ArraySpec("a", (4,), ("dim",), "float16")
    np.testing.assert_array_equal(half_ulp(values, half), [2**-11, 2**-11, 2**-10, 2**-2])
    brain = ArraySpec("a", (4,), ("dim",), "bfloat16")
    np.testing.assert_array_equal(half_ulp(values, brain), [2**-8, 2**-8, 2**-7, 2.0])


def test_noise_between_two_computations_widens_the_tolerance_and_no_more_than_said() -> None:
    spec = ArraySpec("a", (3,), ("dim",), "float32")
    cached = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    live = np.array([1.0, 2.0, 3.0 + 0.003])
    assert compare(cached, together=live, alone=live - 0.001, spec=spec, floor=0.0).of_tolerance == pytest.approx(
        0.75, rel=1e-3
    )
    assert not compare(cached, together=live, alone=live, spec=spec, floor=0.0).passed


def test_nan_equals_nan_and_nothing_else() -> None:
    spec = ArraySpec("arc_on", (2,), ("bound",), "float64", allows_nan=True)
    nan, number = np.array([np.nan, np.nan]), np.array([1.0, np.nan])
    assert compare(nan, together=nan, alone=nan, spec=spec, floor=None).passed
    assert not compare(nan, together=number, alone=number, spec=spec, floor=None).passed


# Whole stores


def test_an_extracted_store_is_as_good_as_live(few: Path) -> None:
    verification = verified(few, live=3, seed=5)
    assert verification.findings == [] and verification.trustworthy
    assert verification.live is not None
    live = dict(verification.live)
    assert live["samples"] == 3 and live["passed"] and "half a unit in the last place" in str(live["tolerance"])
    arrays = {array["array"]: array for array in live["arrays"]}
    store = store_of(few)
    every = {f"{name}/{array}" for name in store.feature_sets for array in store.arrays(name)} | {"text/prompt"}
    assert arrays.keys() == every
    for array in ("video/tokens", "audio/embedding", "image/block_4/patch_tokens"):
        assert 0 < arrays[array]["difference_of_std"] < 0.01 and 0.1 < arrays[array]["of_tolerance"] <= 1
    assert arrays["sensor/values"]["difference"] == 0
    again = verified(few, live=3, seed=5, sources=False).live
    assert again is not None and again["keys"] == live["keys"]
    other = verified(few, live=3, seed=6, sources=False).live
    assert other is not None and other["keys"] != live["keys"]


def test_live_finds_one_wrong_value_and_mending_makes_it_right(copy_of: Callable[[Path], Path], few: Path) -> None:
    project = copy_of(few)
    store = store_of(project)
    before = store.read("audio/tokens", [7])

    def nudge(values: np.ndarray) -> None:
        values[1, 2] += np.float16(0.03)

    change_value(store, "audio/tokens", 7, nudge)
    assert verified(project).trustworthy  # every checksum is right
    verification = verified(project, "extract.features=[audio]", live=WELDS, mend=True)
    (finding,) = [finding for finding in verification.findings if finding.severity != "note"]
    key = str(store.index.keys[7])
    assert (finding.check, finding.severity, finding.key, finding.part) == ("live", "error", key, "audio/tokens")
    assert verification.num_mended == 1 and store.status("audio")[7] == Status.MISSING
    extract(load_settings(folder=project))
    np.testing.assert_array_equal(store.read("audio/tokens", [7]), before)


def test_live_finds_rows_that_were_swapped(copy_of: Callable[[Path], Path], few: Path) -> None:
    project = copy_of(few)
    store = store_of(project)
    swap_rows(store, "video", 3, 8)
    swap_rows(store, "sensor", 4, 9)
    assert verified(project).trustworthy
    found = verified(project, "extract.features=[video, sensor]", live=WELDS, sources=False).findings
    keys = {
        name: {finding.key for finding in found if finding.check == "live" and finding.part.startswith(name)}
        for name in ("video", "sensor")
    }
    assert keys == {
        "video": set(store.index.keys[[3, 8]].tolist()),
        "sensor": set(store.index.keys[[4, 9]].tolist()),
    }
    assert {finding.part for finding in found if finding.check == "live"} >= {"video/tokens", "sensor/values"}


def test_live_skips_what_is_not_complete_and_says_when_a_file_is_gone(
    copy_of: Callable[[Path], Path], few: Path
) -> None:
    project = copy_of(few)
    store = store_of(project)
    store.forget("video", range(WELDS))
    first = str(store.index.keys[0])
    next((project / first).glob("*.flac")).write_bytes(b"not a recording")
    verification = verified(project, "extract.features=[video, audio]", live=WELDS, sources=False)
    (finding,) = [finding for finding in verification.findings if finding.severity == "error"]
    assert (finding.key, finding.part) == (first, "audio") and "cannot be read any more" in finding.evidence
    assert verification.live is not None
    arrays = {array["array"]: array["samples"] for array in dict(verification.live)["arrays"]}
    assert "video/tokens" not in arrays and arrays["audio/tokens"] == WELDS - 1


# Against the source


def test_a_set_that_no_chosen_weld_has_is_not_passed_in_silence(copy_of: Callable[[Path], Path], few: Path) -> None:
    project = copy_of(few)
    store = store_of(project)
    store.forget("video", range(1, len(store.index)))  # one weld has a film, and it is not among the two
    found = [finding for finding in verified(project, live=2, seed=0).findings if finding.check == "live"]
    assert [(finding.severity, finding.part) for finding in found] == [("note", "video")]


def test_changes_of_the_data_set_are_named(
    copy_of: Callable[[Path], Path],
    few: Path,
    manifest_rows: Callable[[Path], list[dict[str, str]]],
    write_rows: Callable[..., None],
) -> None:
    project = copy_of(few)
    rows = manifest_rows(project)
    gone, moved, edited = rows[0], rows[-1], rows[-2]
    moved["SPLIT"] = "VAL" if moved["SPLIT"] == "TEST" else "TEST"
    recording = next((project / edited["SUBDIRS"]).glob("*.csv"))
    stamp = recording.stat()
    recording.write_bytes(recording.read_bytes().replace(b"0", b"1", 1))
    os.utime(recording, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # neither size nor time tells
    write_rows(project, rows[1:])
    found = verified(project).findings
    told = {(finding.check, finding.severity, finding.key) for finding in found}
    assert told == {
        ("data set", "warning", ""),
        ("data set", "error", moved["SUBDIRS"]),
        ("source files", "warning", edited["SUBDIRS"]),
    }
    evidence = " ".join(finding.evidence for finding in found)
    assert gone["SUBDIRS"] in evidence and f"{recording.name} has other bytes" in evidence
    assert "split is" in evidence


def test_sets_that_the_settings_do_not_name_are_held_against_their_files_too(
    copy_of: Callable[[Path], Path], few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_of(few)
    store = store_of(project)
    keys = store.index.keys.tolist()
    edit_unnoticed(next((project / keys[2]).glob("*.avi")))
    next((project / keys[4]).glob("*.flac")).unlink()
    photographs = sorted((project / keys[6]).rglob("*.jpg"))
    edit_unnoticed(photographs[0])
    hashed: list[Path] = []

    def counted(path: Path, *, root: Path) -> SourceFile:
        hashed.append(path)
        return source_file(path, root=root)

    monkeypatch.setattr("weldcache.extract.changes.source_file", counted)
    found = verified(project, "extract.features=[image]", "features.image.blocks=[2]", live=1).findings
    told = {(finding.part, finding.key): finding for finding in found if finding.check == "source files"}
    assert told.keys() == {
        ("video", keys[2]),
        ("audio", keys[4]),
        ("image/block_2", keys[6]),
        ("image/block_4", keys[6]),
    }
    assert "is gone" in told["audio", keys[4]].evidence and "other bytes" in told["video", keys[2]].evidence
    assert len(hashed) == len(set(hashed))  # also of photographs, which are in a set that is asked for and in one not
    for check in ("made by", "live"):
        noted = [finding.part for finding in found if finding.check == check and finding.severity == "note"]
        assert noted == ["video", "audio", "image/block_4", "sensor"]


def edit_unnoticed(path: Path) -> None:
    """Change a byte; neither size nor time tells."""
    stamp, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def test_changes_reach_sets_that_no_encoder_makes_and_a_touched_file_is_renewed(
    copy_of: Callable[[Path], Path], few: Path
) -> None:
    project = copy_of(few)
    store = store_of(project)
    request = make_request(load_settings(folder=project, overrides=["extract.features=[sensor]"]), split="all")
    keys = store.index.keys.tolist()
    film, other, touched = (next((project / keys[row]).glob("*.avi")) for row in (1, 2, 3))
    film.write_bytes(film.read_bytes() + b"x")
    other.unlink()
    os.utime(touched, ns=(1, 1))
    found = list(find_changes(store, request.samples, request.encoders, root=project, writer=StoreWriter(store)))
    assert [(change.feature_set, change.row) for change in found] == [("video", 1), ("video", 2)]
    assert "other bytes" in found[0].what and "is gone" in found[1].what
    assert [file.mtime_ns for file in store.sources("video", [3])[0]] == [1]


def test_a_recorded_path_that_leaves_the_data_set_is_not_looked_at(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for path in (root / "inside", tmp_path / "outside"):
        path.write_bytes(b"")
    files = CurrentFiles(root)
    assert [files.holds(name) for name in ("inside", "../outside", str(root / "inside"), ".")] == [
        True,
        False,
        False,
        False,
    ]


def test_a_text_vector_that_is_not_the_live_one_is_dropped_by_mending(
    copy_of: Callable[[Path], Path], few: Path
) -> None:
    project = copy_of(few)
    store = store_of(project)
    before, made_by = store.constant("text/prompt"), store.manifest["constants"]["text/prompt"]["made_by"]
    store.add_constant("text/prompt", before + np.float32(0.1), made_by=made_by)
    found = verified(project, "extract.features=[sensor, text]", live=1, sources=False, mend=True).findings
    (finding,) = [finding for finding in found if finding.severity == "error"]
    assert (finding.part, finding.mend) == ("text/prompt", "drop") and "weldcache verify --mend" in finding.remedy
    extract(load_settings(folder=project))
    np.testing.assert_array_equal(store_of(project).constant("text/prompt"), before)


def test_the_same_model_put_to_other_use_is_a_warning_that_names_it(few: Path) -> None:
    (finding,) = verified(few, "features.video.num_frames=8").findings
    assert (finding.check, finding.severity, finding.part) == ("made by", "warning", "video")
    assert "made_by.decoding.num_frames: 16 then, 8 now" in finding.evidence


def test_settings_that_name_other_models_are_a_note_until_live_needs_the_stores_own(few: Path) -> None:
    verification = verified(few, "extract.demo_seed=1", "extract.features=[video, audio, text]")
    assert verification.trustworthy
    told = {finding.part: finding.evidence for finding in verification.findings if finding.check == "made by"}
    others = ["image/block_2", "image/block_4", "sensor"]
    assert list(told) == ["video", "audio", "text/prompt", *others]
    assert all("the settings do not ask for it" in told[name] for name in others)
    verification = verified(few, "extract.demo_seed=1", "extract.features=[video]", live=2, sources=False)
    assert not verification.trustworthy
    assert any("nothing could be compared" in finding.evidence for finding in verification.findings)


def test_rows_that_are_not_extracted_yet_are_a_note(copy_of: Callable[[Path], Path], few: Path) -> None:
    project = copy_of(few)
    store_of(project).forget("audio", [1, 2])
    verification = verified(project)
    assert verification.trustworthy
    assert any("2 rows missing" in finding.evidence and finding.part == "audio" for finding in verification.findings)


def test_without_the_data_set_the_store_alone_is_verified(copy_of: Callable[[Path], Path], few: Path) -> None:
    project = copy_of(few)
    shutil.rmtree(project / "features.zarr" / "features/video/tokens")
    nowhere = f"data.root={project / 'nowhere'}"
    verification = verified(project, nowhere)
    assert verification.checks[-1].name == "data set" and "There is no folder" in verification.checks[-1].looked_at
    assert verification.count("error") == WELDS + 1
    with pytest.raises(NotFoundError, match="no folder"):
        verified(project, nowhere, live=1)


def test_another_data_set_is_one_finding(copy_of: Callable[[Path], Path], few: Path) -> None:
    project = copy_of(few)
    text = (project / "manifest.csv").read_text()
    (project / "manifest.csv").write_text(text.replace("shift_1", "shift_8").replace("shift_2", "shift_9"))
    (finding,) = verified(project).findings
    assert finding.severity == "warning" and "none of the" in finding.evidence


def test_mending_waits_for_nobody(copy_of: Callable[[Path], Path], few: Path) -> None:
    project = copy_of(few)
    with locked_folder(project / "features.zarr"):
        assert verified(project).trustworthy  # looking needs no lock
        with pytest.raises(BusyError):
            verified(project, mend=True)
