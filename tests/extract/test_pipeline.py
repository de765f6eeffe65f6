"""Stage one on real files: what lands in the store, what is reported, and what a second run adds."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.configs.load import load_settings
from weldcache.configs.schema import Settings
from weldcache.errors import FingerprintError, PrecisionError
from weldcache.extract import pipeline
from weldcache.extract.decode.sensor import CHANNELS, read_sensor_table
from weldcache.extract.modalities.load import load_encoders
from weldcache.extract.modalities.modality import Encoder, Features, Prepared, Reader
from weldcache.extract.pipeline import describe_summary, extract
from weldcache.extract.sources.open import open_source

ARRAYS = ("video/tokens", "audio/tokens", "audio/embedding", "image/patch_tokens", "image/cls", "sensor/values")
Contents = Callable[[Path], dict[str, bytes]]
Keys = Callable[..., list[str]]


def settings_in(project: Path, *overrides: str) -> Settings:
    return load_settings(folder=project, overrides=overrides)


def store_of(project: Path) -> FeatureStore:
    return FeatureStore.open(project / "features.zarr")


def row(store: FeatureStore, array: str, key: str) -> np.ndarray:
    return np.asarray(store.read(array, [store.index.row_of()[key]])[0])


def file_of(project: Path, key: str, suffix: str) -> Path:
    return project / key / f"{Path(key).name}{suffix}"


@pytest.fixture
def cut_to(
    copy_of: Callable[[Path], Path],
    synthetic: Path,
    manifest_rows: Callable[[Path], list[dict[str, str]]],
    write_rows: Callable[..., None],
) -> Callable[[Sequence[str]], Path]:
    """A copy of the data set whose manifest lists these welds alone."""

    def cut(keys: Sequence[str]) -> Path:
        project = copy_of(synthetic)
        write_rows(project, [row for row in manifest_rows(project) if row["SUBDIRS"] in keys])
        return project

    return cut


@dataclass
class Counting:
    """An encoder that counts the samples it sees."""

    encoder: Encoder
    seen: list[int]

    @property
    def spec(self) -> Any:
        return self.encoder.spec

    @property
    def reader(self) -> Reader:
        return self.encoder.reader

    def encode(self, prepared: Sequence[Prepared]) -> Sequence[Features]:
        self.seen.append(len(prepared))
        return self.encoder.encode(prepared)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Sizes of the batches that went through each encoder."""
    sizes: dict[str, list[int]] = {name: [] for name in ("video", "audio", "image", "sensor")}

    def counted(settings: Settings) -> Mapping[str, Encoder]:
        return {name: Counting(encoder, sizes[name]) for name, encoder in load_encoders(settings).items()}

    monkeypatch.setattr(pipeline, "load_encoders", counted)
    return sizes


# What is stored


def test_every_weld_is_complete_and_differs_from_every_other(extracted: Path) -> None:
    store = store_of(extracted)
    for modality in ("video", "audio", "image", "sensor"):
        assert (store.status(modality) == Status.COMPLETE).all()
    rows = list(range(len(store.index)))
    for array in ARRAYS:
        values = store.read(array, rows).reshape(len(rows), -1).astype(np.float64)
        assert np.isfinite(values).all()
        assert len(np.unique(values, axis=0)) == len(rows), array
        assert values.std(axis=0).max() > 1e-3, array


def test_the_same_files_under_another_key_give_the_same_features(
    cut_to: Callable[..., Path],
    weld_keys: Keys,
    synthetic: Path,
    manifest_rows: Callable[[Path], list[dict[str, str]]],
    write_rows: Callable[..., None],
) -> None:
    first, second = weld_keys(synthetic, "train")[:2]
    project = cut_to([first, second])
    rows = manifest_rows(project)
    twin = f"{rows[0]['DIRECTORY']}_twin/{Path(first).name}"
    shutil.copytree(project / first, project / twin)
    write_rows(project, [*rows, rows[0] | {"DIRECTORY": str(Path(twin).parent), "SUBDIRS": twin}])
    extract(settings_in(project))
    store = store_of(project)
    for array in ARRAYS:
        np.testing.assert_array_equal(row(store, array, first), row(store, array, twin))
        assert (row(store, array, first) != row(store, array, second)).any()


def test_swapping_two_files_swaps_their_features_and_no_others(
    extracted: Path, cut_to: Callable[..., Path], weld_keys: Keys
) -> None:
    keys = weld_keys(extracted, "train")
    project = cut_to(keys)
    places = {
        "video": lambda key: file_of(project, key, ".avi"),
        "audio": lambda key: file_of(project, key, ".flac"),
        "sensor": lambda key: file_of(project, key, ".csv"),
        "image": lambda key: project / key / "images",
    }
    source_of = {(modality, key): key for modality in places for key in keys}
    for pair, (modality, place) in enumerate(places.items()):
        first, second = keys[2 * pair : 2 * pair + 2]
        place(first).rename(project / "spare")
        place(second).rename(place(first))
        (project / "spare").rename(place(second))
        source_of |= {(modality, first): second, (modality, second): first}
    extract(settings_in(project))
    swapped, before = store_of(project), store_of(extracted)
    for array in ARRAYS:
        for key in keys:
            source = source_of[array.partition("/")[0], key]
            np.testing.assert_array_equal(row(swapped, array, key), row(before, array, source), err_msg=array)


def test_cached_is_live(extracted: Path) -> None:
    """Features recomputed one weld at a time equal those in the store, but for the last bit of their batch."""
    encoders = load_encoders(settings_in(extracted))
    store = store_of(extracted)
    samples = open_source(settings_in(extracted).data).samples()
    for sample in (samples[0], samples[-1]):
        for modality, encoder in encoders.items():
            (live,) = encoder.encode([encoder.reader(sample)])
            for name, values in live.items():
                cached = row(store, f"{modality}/{name}", sample.key)
                np.testing.assert_allclose(cached, values, rtol=2e-3, atol=2e-3, err_msg=f"{modality}/{name}")


def test_sensors_are_stored_raw(extracted: Path, weld_keys: Keys) -> None:
    store = store_of(extracted)
    for key in weld_keys(extracted, "test")[:3]:
        table = read_sensor_table(file_of(extracted, key, ".csv"))
        values, times = row(store, "sensor/values", key), row(store, "sensor/times", key)
        assert values.dtype == np.float32 and values.shape == (128, len(CHANNELS))
        assert (times[0], times[-1]) == (0, table.times[-1])
        expected = [np.interp(times, table.times, table.values[:, channel]) for channel in range(len(CHANNELS))]
        np.testing.assert_allclose(values, np.stack(expected, axis=1), rtol=1e-6)
        current = values[:, CHANNELS.index("Primary Weld Current")]
        assert current.max() > 50  # ampere, not standard deviations
        lit = table.times[table.values[:, CHANNELS.index("Primary Weld Current")] > 50]
        np.testing.assert_array_equal(row(store, "sensor/arc_on", key), [lit[0], lit[-1]])


def test_the_store_says_what_made_it(extracted: Path) -> None:
    store = store_of(extracted)
    assert store.random_backbones
    for modality, family in {"video": "vjepa2", "audio": "ast", "image": "dinov3"}.items():
        backbone = store.manifest[modality]["made_by"]["backbone"]
        assert backbone["family"] == family and len(backbone["weights_sha256"]) == 64
        assert backbone["preprocessing"] and backbone["output"]
    assert store.array_attributes("image/patch_tokens")["blocks"] == [2, 4]
    assert store.constant("text/prompt").std() > 0
    assert str(extracted) not in json.dumps(dict(store.manifest))  # a moved project is still the same


# What changes the fingerprint, and what does not


def made_of(settings: Settings) -> dict[str, Any]:
    return {name: encoder.spec.to_manifest() for name, encoder in load_encoders(settings).items()}


@pytest.mark.parametrize("harmless", ["extract.workers=3", "extract.batch_size=2", "data.split_seed=5", "train.lr=1"])
def test_how_it_is_run_does_not_change_what_it_is(extracted: Path, harmless: str) -> None:
    assert made_of(settings_in(extracted, harmless)) == made_of(settings_in(extracted))


@pytest.mark.parametrize(
    ("change", "modality"),
    [
        ("video.num_frames=8", "video"),
        ("video.size=32", "video"),
        ("video.window=arc_on", "video"),
        ("audio.max_seconds=30", "audio"),
        ("image.blocks=[1]", "image"),
        ("image.size=64", "image"),
        ("image.num_views=4", "image"),
        ("sensor.num_steps=64", "sensor"),
        ("extract.demo_seed=1", "audio"),
        ("cache.dtype=float32", "image"),
        ("extract.precision=bfloat16", "video"),
    ],
)
def test_what_changes_a_number_changes_the_fingerprint(
    synthetic: Path, tmp_path: Path, change: str, modality: str
) -> None:
    cache = f"cache.path={tmp_path / 'f.zarr'}"
    before, after = made_of(settings_in(synthetic, cache)), made_of(settings_in(synthetic, cache, change))
    assert after[modality] != before[modality]


def test_other_batches_and_workers_give_the_same_numbers(
    extracted: Path, cut_to: Callable[..., Path], weld_keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = cut_to(weld_keys(extracted, "train"))
    monkeypatch.chdir(project)
    extract(settings_in(project, "cache.path=parallel.zarr", "extract.workers=2"), split="train")
    extract(settings_in(project, "cache.path=batched.zarr", "extract.batch_size=3"), split="train")
    reference = store_of(extracted)
    rows = reference.rows("train", modalities=("video",))
    parallel, batched = (FeatureStore.open(Path(name)) for name in ("parallel.zarr", "batched.zarr"))
    assert parallel.fingerprint == batched.fingerprint == reference.fingerprint
    for array in ARRAYS:
        np.testing.assert_array_equal(parallel.read(array, rows), reference.read(array, rows))
        np.testing.assert_allclose(batched.read(array, rows), reference.read(array, rows), rtol=2e-3, atol=2e-3)


def test_other_settings_are_refused_with_each_difference_and_the_store_untouched(
    extracted: Path, copy_of: Callable[[Path], Path], contents: Contents
) -> None:
    project = copy_of(extracted)
    before = contents(project / "features.zarr")
    with pytest.raises(FingerprintError) as error:
        extract(settings_in(project, "video.num_frames=8", "image.blocks=[1]", "text.prompt=a good weld"))
    message = str(error.value)
    assert "video.made_by.decoding.num_frames: the cache has 16, the request 8" in message
    assert "image.arrays.patch_tokens.attributes.blocks: the cache has [2, 4], the request [1]" in message
    assert "text.made_by.decoding.prompt: the cache has a normal weld, the request a good weld" in message
    assert "--cache" in message
    assert contents(project / "features.zarr") == before


# What a second run does


def test_a_second_run_does_nothing(
    extracted: Path, copy_of: Callable[[Path], Path], contents: Contents, seen: dict[str, list[int]]
) -> None:
    project = copy_of(extracted)
    before = contents(project / "features.zarr")
    summary = extract(settings_in(project))
    assert (summary.num_rows, summary.num_tried, summary.problems) == (38, 0, [])
    assert not any(seen.values())
    assert contents(project / "features.zarr") == before


def test_one_split_and_then_the_rest_equal_all_at_once(
    extracted: Path, copy_of: Callable[[Path], Path], synthetic: Path, contents: Contents, seen: dict[str, list[int]]
) -> None:
    project = copy_of(synthetic)
    first = extract(settings_in(project), split="train")
    assert (first.num_rows, first.num_tried) == (8, 8)
    assert {name: sum(sizes) for name, sizes in seen.items()} == dict.fromkeys(seen, 8)
    trained = {path: path.stat().st_mtime_ns for path in (project / "features.zarr").rglob("c.*")}
    rest = extract(settings_in(project))
    assert (rest.num_rows, rest.num_tried) == (38, 30)
    assert {name: sum(sizes) for name, sizes in seen.items()} == dict.fromkeys(seen, 38)
    row_files = {path for path in trained if "index" not in path.parts and "constants" not in path.parts}
    assert all(path.stat().st_mtime_ns == trained[path] for path in row_files)
    assert features_of(contents(project / "features.zarr")) == features_of(contents(extracted / "features.zarr"))


def features_of(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name.startswith(("features/", "status/", "problem/"))}


def test_a_modality_at_a_time_gives_the_same_store(
    extracted: Path, copy_of: Callable[[Path], Path], synthetic: Path, seen: dict[str, list[int]]
) -> None:
    project = copy_of(synthetic)
    extract(settings_in(project, "extract.modalities=[sensor]"), split="train")
    extract(settings_in(project), split="train")
    assert sum(seen["sensor"]) == sum(seen["video"]) == 8
    mine, reference = store_of(project), store_of(extracted)
    assert mine.fingerprint == reference.fingerprint
    rows = reference.rows("train", modalities=())
    for array in ARRAYS:
        np.testing.assert_array_equal(mine.read(array, rows), reference.read(array, rows))


def test_a_lost_status_is_made_good_from_the_same_group(
    extracted: Path, copy_of: Callable[[Path], Path], contents: Contents, seen: dict[str, list[int]]
) -> None:
    project = copy_of(extracted)
    before = contents(project / "features.zarr")
    (project / "features.zarr/status/audio/c.9").unlink()
    summary = extract(settings_in(project))
    assert summary.num_tried == 1
    assert seen == {"video": [], "audio": [4], "image": [], "sensor": []}  # its whole group, and audio alone
    assert contents(project / "features.zarr") == before


def test_a_mended_file_is_taken_up(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path, extracted: Path
) -> None:
    keys = weld_keys(synthetic, "train")[:4]
    project = cut_to(keys)
    path = file_of(project, keys[1], ".avi")
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    broken = extract(settings_in(project))
    assert [(key, modality) for key, modality, _ in broken.problems] == [(keys[1], "video")]
    path.write_bytes(whole)
    mended = extract(settings_in(project))
    assert (mended.num_tried, mended.problems) == (1, [])
    np.testing.assert_allclose(
        row(store_of(project), "video/tokens", keys[1]),
        row(store_of(extracted), "video/tokens", keys[1]),
        rtol=2e-3,
        atol=2e-3,
    )


def test_new_welds_get_rows_and_old_ones_keep_theirs(
    cut_to: Callable[..., Path],
    weld_keys: Keys,
    synthetic: Path,
    manifest_rows: Callable[[Path], list[dict[str, str]]],
    write_rows: Callable[..., None],
) -> None:
    old, new = weld_keys(synthetic, "train")[:3], weld_keys(synthetic, "train")[3:5] + weld_keys(synthetic, "val")[:1]
    project = cut_to(old)
    extract(settings_in(project))
    before = {key: row(store_of(project), "video/tokens", key) for key in old}
    # The new ones stand before the old: rows are bound by key, not by place.
    rows = {entry["SUBDIRS"]: entry for entry in manifest_rows(synthetic)}
    write_rows(project, [rows[key] for key in (*new, *old)])
    summary = extract(settings_in(project))
    assert (summary.num_rows, summary.num_tried) == (6, 3)
    store = store_of(project)
    assert store.index.keys.tolist() == [*old, *new]
    assert store.index.splits.tolist() == ["train"] * 5 + ["val"]
    for modality in store.modalities:
        assert (store.status(modality) == Status.COMPLETE).all()
    for key in old:
        np.testing.assert_array_equal(row(store, "video/tokens", key), before[key])
    assert len({row(store, "video/tokens", key).tobytes() for key in (*old, *new)}) == 6


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("SPLIT", "TEST", "splits is train in the cache, test in the"), ("CURRENT_A", "1", "CURRENT_A")],
)
def test_a_weld_that_has_become_another_is_refused(
    cut_to: Callable[..., Path],
    weld_keys: Keys,
    synthetic: Path,
    manifest_rows: Callable[[Path], list[dict[str, str]]],
    write_rows: Callable[..., None],
    contents: Contents,
    column: str,
    value: str,
    said: str,
) -> None:
    keys = weld_keys(synthetic, "train")[:2]
    project = cut_to(keys)
    extract(settings_in(project, "extract.modalities=[sensor]"))
    before = contents(project / "features.zarr")
    rows = manifest_rows(project)
    rows[0][column] = value
    write_rows(project, rows)
    with pytest.raises(FingerprintError, match=said) as error:
        extract(settings_in(project, "extract.modalities=[sensor]"))
    assert keys[0] in str(error.value)
    assert contents(project / "features.zarr") == before


# What cannot be stored


def test_an_overflow_names_weld_and_array_and_what_was_complete_stays(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = weld_keys(synthetic, "train")[:6]
    project = cut_to(keys)

    @dataclass
    class Exploding(Counting):
        def encode(self, prepared: Sequence[Prepared]) -> Sequence[Features]:
            features = [dict(item) for item in super().encode(prepared)]
            if sum(self.seen) > 4:  # the second group
                features[-1]["tokens"] = features[-1]["tokens"] + 70_000.0
            return features

    def exploding(settings: Settings) -> Mapping[str, Encoder]:
        encoders = load_encoders(settings)
        return {**encoders, "video": Exploding(encoders["video"], [])}

    monkeypatch.setattr(pipeline, "load_encoders", exploding)
    with pytest.raises(PrecisionError, match=rf"{keys[5]}, video, array tokens: .*does not fit float16") as error:
        extract(settings_in(project))
    assert "cache.dtype" in str(error.value)
    assert store_of(project).status("video").tolist() == [1, 1, 1, 1, 0, 0]


def test_an_arc_that_never_burns_is_a_value_not_a_failure(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path
) -> None:
    key = weld_keys(synthetic, "train")[0]
    project = cut_to([key])
    path = file_of(project, key, ".csv")
    header, *lines = path.read_text().splitlines()
    fields = [line.split(",") for line in lines]
    path.write_text("\n".join([header, *(",".join([*line[:6], "3.0", *line[7:]]) for line in fields)]) + "\n")
    summary = extract(settings_in(project, "extract.modalities=[sensor]"))
    assert summary.problems == []
    assert np.isnan(row(store_of(project), "sensor/arc_on", key)).all()
    assert (row(store_of(project), "sensor/values", key)[:, 3] == 3).all()


def test_the_summary_reads_well(extracted: Path, copy_of: Callable[[Path], Path], weld_keys: Keys) -> None:
    project = copy_of(extracted)
    key = weld_keys(project, "val")[0]
    (project / "features.zarr/status/audio").joinpath("c.8").unlink()
    file_of(project, key, ".flac").unlink()
    text = describe_summary(extract(settings_in(project)))
    assert "audio: 1 absent, 37 complete" in text
    assert f"{key}, audio: no .flac in {key}" in text
    assert "The bottleneck is" in text
