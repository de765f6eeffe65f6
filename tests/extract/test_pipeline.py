"""Stage one on real files: what lands in the store, what is reported, and what a second run adds."""

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from weldcache.cache.arrays import FeatureSetSpec
from weldcache.cache.notes import Note
from weldcache.cache.status import SourceFile, Status, source_file
from weldcache.cache.store import FeatureStore
from weldcache.errors import BackboneError, FingerprintError, StoreError, WeldcacheError
from weldcache.extract import changes, request
from weldcache.extract.backbones.random_backbone import save_random_backbone
from weldcache.extract.decode.sensor import read_sensor_table
from weldcache.extract.estimation import estimate
from weldcache.extract.features.kind import Encoder, Features, Prepared, Reader
from weldcache.extract.group_runner import kept_interrupt
from weldcache.extract.pipeline import extract
from weldcache.extract.request import LoadedFeatures, load_features
from weldcache.extract.sources.open import open_source
from weldcache.extract.sources.source import Source
from weldcache.extract.sources.welds.run_folder import WELDING_MACHINE
from weldcache.extract.summary import describe_summary
from weldcache.settings import Settings, load_settings

ARRAYS = (
    "video/tokens",
    "video/embedding",
    "audio/tokens",
    "audio/mean",
    "audio/embedding",
    "image/block_2/patch_tokens",
    "image/block_2/mean",
    "image/block_4/patch_tokens",
    "image/block_4/cls",
    "sensor/values",
)
SETS = ("video", "audio", "image/block_2", "image/block_4", "sensor")
SENSOR = "extract.features=[sensor]"  # no backbone and little to decode: for what is alike for all features
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
    tmp_path: Path,
    synthetic: Path,
    manifest_rows: Callable[[Path], list[dict[str, str]]],
    write_rows: Callable[..., None],
) -> Callable[[Sequence[str]], Path]:
    """A copy of the data set that has these welds alone; its demo backbones are the shared ones."""

    def cut(keys: Sequence[str]) -> Path:
        project = tmp_path / "project"
        for key in keys:
            shutil.copytree(synthetic / key, project / key)
        shutil.copy(synthetic / "weldcache.yaml", project)
        shutil.copytree(synthetic / "demo_backbones", project / "demo_backbones", copy_function=os.link)
        write_rows(project, [row for row in manifest_rows(synthetic) if row["SUBDIRS"] in keys])
        return project

    return cut


@dataclass
class Counting:
    """An encoder that counts the samples it sees."""

    encoder: Encoder
    seen: list[int]

    @property
    def specs(self) -> Sequence[FeatureSetSpec]:
        return self.encoder.specs

    @property
    def reader(self) -> Reader:
        return self.encoder.reader

    def load(self) -> None:
        self.encoder.load()

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        return self.encoder.flops(prepared, feature_sets=feature_sets)

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        self.seen.append(len(prepared))
        return self.encoder.encode(prepared, feature_sets=feature_sets)


@pytest.fixture
def wrap_encoders(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, Encoder], Encoder]], None]:
    """Have `extract` work with other encoders than the settings name, and measure nothing beforehand."""

    def wrap(wrapped: Callable[[str, Encoder], Encoder]) -> None:
        def load(settings: Settings, names: Sequence[str], source: Source) -> LoadedFeatures:
            loaded = load_features(settings, names, source)
            return replace(loaded, encoders={name: wrapped(name, one) for name, one in loaded.encoders.items()})

        monkeypatch.setattr(request, "load_features", load)
        monkeypatch.setattr(estimate, "measure_speeds", lambda *_, **__: None)

    return wrap


@pytest.fixture
def seen(wrap_encoders: Callable[..., None]) -> dict[str, list[int]]:
    """Sizes of the batches that went through each encoder."""
    sizes: dict[str, list[int]] = {name: [] for name in ("video", "audio", "image", "sensor")}
    wrap_encoders(lambda name, encoder: Counting(encoder, sizes[name]))
    return sizes


# What is stored


def test_every_weld_is_complete_and_differs_from_every_other(extracted: Path) -> None:
    store = store_of(extracted)
    assert store.feature_sets == SETS
    for name in SETS:
        assert (store.status(name) == Status.COMPLETE).all()
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
    settings = settings_in(extracted)
    encoders = load_features(settings, settings.asked_features, open_source(settings.data)).encoders
    store = store_of(extracted)
    samples = open_source(settings_in(extracted).data).samples()
    for sample in (samples[0], samples[-1]):
        for encoder in encoders.values():
            names = frozenset(spec.name for spec in encoder.specs)
            live = encoder.encode([encoder.reader(sample)], feature_sets=names)
            for name, arrays in live.items():
                for array, (values,) in arrays.items():
                    cached = row(store, f"{name}/{array}", sample.key)
                    np.testing.assert_allclose(cached, values, rtol=2e-3, atol=2e-3, err_msg=f"{name}/{array}")


def test_embeddings_are_the_means_of_the_tokens(extracted: Path, weld_keys: Keys) -> None:
    """So that a baseline on embeddings needs no tokens."""
    store = store_of(extracted)
    for key in weld_keys(extracted, "val")[:3]:
        audio = row(store, "audio/tokens", key).astype(np.float32)[: int(row(store, "audio/tokens_length", key))]
        patches = row(store, "image/block_4/patch_tokens", key).astype(np.float32)
        video = row(store, "video/tokens", key).astype(np.float32)
        for name, mean in {
            "audio/mean": audio.mean(axis=0),
            "video/embedding": video.mean(axis=0),
            "image/block_4/mean": patches.mean(axis=1),
        }.items():
            np.testing.assert_allclose(row(store, name, key), mean, rtol=2e-3, atol=2e-3, err_msg=name)


def test_the_onsets_of_the_modalities_are_stored_and_can_be_compared(extracted: Path) -> None:
    store = store_of(extracted)
    onsets = {name: store.read(f"{name}/arc_on", range(38))[:, 0] for name in ("video", "audio", "sensor")}
    for name, seconds in onsets.items():
        assert np.isfinite(seconds).mean() > 0.9, name
        assert np.nanmin(seconds) >= 0, name


def test_every_row_names_the_files_it_was_made_from(extracted: Path, weld_keys: Keys) -> None:
    store = store_of(extracted)
    key = weld_keys(extracted, "test")[0]
    number = store.index.row_of()[key]
    for name, suffixes in {
        "video": [".avi"],
        "audio": [".flac"],
        "sensor": [".csv"],
        "image/block_2": [".jpg"] * 5,
    }.items():
        (files,) = store.sources(name, [number])
        assert [Path(file.path).suffix for file in files] == suffixes
        for file in files:
            path = extracted / file.path
            assert file.path.startswith(f"{key}/") and file.size == path.stat().st_size
            assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_sensors_are_stored_raw(extracted: Path, weld_keys: Keys) -> None:
    store = store_of(extracted)
    for key in weld_keys(extracted, "test")[:3]:
        table = read_sensor_table(file_of(extracted, key, ".csv"), series=WELDING_MACHINE)
        values, times = row(store, "sensor/values", key), row(store, "sensor/times", key)
        assert values.dtype == np.float32 and values.shape == (128, len(WELDING_MACHINE.channels))
        assert (times[0], times[-1]) == (0, table.times[-1])
        expected = [
            np.interp(times, table.times, table.values[:, channel]) for channel in range(len(WELDING_MACHINE.channels))
        ]
        np.testing.assert_allclose(values, np.stack(expected, axis=1), rtol=1e-6)
        current = values[:, WELDING_MACHINE.channels.index("Primary Weld Current")]
        assert current.max() > 50  # ampere, not standard deviations
        lit = table.times[table.values[:, WELDING_MACHINE.channels.index("Primary Weld Current")] > 50]
        np.testing.assert_array_equal(row(store, "sensor/arc_on", key), [lit[0], lit[-1]])


def test_the_store_says_what_made_it(extracted: Path) -> None:
    store = store_of(extracted)
    assert store.random_backbones
    for name, family in {"video": "vjepa2", "audio": "ast", "image/block_2": "dinov3"}.items():
        backbone = store.manifest["features"][name]["made_by"]["backbone"]
        assert backbone["family"] == family and len(backbone["weights_sha256"]) == 64
        assert backbone["preprocessing"] and backbone["output"]
    assert [store.manifest["features"][f"image/block_{block}"]["made_by"]["block"] for block in (2, 4)] == [2, 4]
    assert store.constant("text/prompt").std() > 0
    assert str(extracted) not in json.dumps(dict(store.manifest))  # a moved project is still the same


# What changes the fingerprint, and what does not


def made_of(settings: Settings) -> dict[str, Any]:
    return {
        spec.name: spec.to_manifest()
        for encoder in load_features(settings, settings.asked_features, open_source(settings.data)).encoders.values()
        for spec in encoder.specs
    }


@pytest.fixture(scope="module")
def made_before(synthetic: Path) -> dict[str, Any]:
    return made_of(settings_in(synthetic))


def test_how_it_is_run_does_not_change_what_it_is(synthetic: Path, made_before: dict[str, Any]) -> None:
    harmless = ("extract.workers=3", "extract.batch_size=2", "data.split_seed=5", "train.lr=1")
    assert made_of(settings_in(synthetic, *harmless)) == made_before


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ("features.video.num_frames=8", {"video"}),
        ("features.video.size=32", {"video"}),
        ("features.video.sampling=arc_on", {"video"}),
        ("features.video.sampling=clips", {"video"}),
        ("features.audio.max_seconds=30", {"audio"}),
        ("features.image.size=64", {"image/block_2", "image/block_4"}),
        ("features.image.num_views=4", {"image/block_2", "image/block_4"}),
        ("features.image.crop=[0,0,1,0.5]", {"image/block_2", "image/block_4"}),
        ("features.image.masks=[[0,0,0.2,0.2]]", {"image/block_2", "image/block_4"}),
        ("features.sensor.num_steps=64", {"sensor"}),
        ("extract.demo_seed=1", {"video", "audio", "image/block_2", "image/block_4"}),
        ("cache.dtype=float32", {"video", "audio", "image/block_2", "image/block_4"}),
        ("extract.precision=bfloat16", {"video", "audio", "image/block_2", "image/block_4"}),
    ],
)
def test_what_changes_a_number_changes_its_fingerprint_and_no_other(
    synthetic: Path, made_before: dict[str, Any], tmp_path: Path, change: str, changed: set[str]
) -> None:
    # Only a seed of their own asks for demo backbones that the data set does not have yet.
    cache = [f"cache.path={tmp_path / 'f.zarr'}"] if change.startswith("extract.demo_seed") else []
    after = made_of(settings_in(synthetic, change, *cache))
    assert {name for name in made_before if after[name] != made_before[name]} == changed


def test_another_block_changes_no_other_set(synthetic: Path, made_before: dict[str, Any]) -> None:
    after = made_of(settings_in(synthetic, "features.image.blocks=[1,2,4,6]"))
    assert after.keys() - made_before.keys() == {"image/block_1", "image/block_6"}
    assert {name: after[name] for name in made_before} == made_before


def test_other_batches_and_workers_give_the_same_numbers(
    extracted: Path, cut_to: Callable[..., Path], weld_keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = cut_to(weld_keys(extracted, "train"))
    monkeypatch.chdir(project)
    extract(settings_in(project, "cache.path=parallel.zarr", "extract.workers=2"), split="train")
    extract(settings_in(project, "cache.path=batched.zarr", "extract.batch_size=3"), split="train")
    reference = store_of(extracted)
    rows = reference.rows("train", feature_sets=["video"])
    parallel, batched = (FeatureStore.open(Path(name)) for name in ("parallel.zarr", "batched.zarr"))
    assert parallel.fingerprint == batched.fingerprint == reference.fingerprint
    for array in ARRAYS:
        np.testing.assert_array_equal(parallel.read(array, rows), reference.read(array, rows))
        np.testing.assert_allclose(batched.read(array, rows), reference.read(array, rows), rtol=2e-3, atol=2e-3)


def test_other_settings_are_refused_with_each_difference_and_the_store_untouched(
    extracted: Path, linked_copy_of: Callable[[Path], Path], contents: Contents
) -> None:
    project = linked_copy_of(extracted)
    before = contents(project / "features.zarr")
    with pytest.raises(FingerprintError) as error:
        extract(settings_in(project, "features.video.num_frames=8", "features.text.prompt=a good weld"))
    message = str(error.value)
    assert "video, made_by.decoding.num_frames: the cache has 16, the request 8" in message
    assert "text/prompt, made_by.decoding.prompt: the cache has a normal weld, the request a good weld" in message
    assert "--cache" in message and "--refresh" in message and "features.image_2" in message
    assert contents(project / "features.zarr") == before


# What a second run does


def test_a_second_run_does_nothing(
    extracted: Path, linked_copy_of: Callable[[Path], Path], contents: Contents, seen: dict[str, list[int]]
) -> None:
    project = linked_copy_of(extracted)
    before = contents(project / "features.zarr")
    summary = extract(settings_in(project))
    assert (summary.num_rows, summary.num_tried, summary.notes) == (38, 0, [])
    assert not any(seen.values())
    assert contents(project / "features.zarr") == before


def test_one_split_and_then_the_rest_equal_all_at_once(
    extracted: Path,
    linked_copy_of: Callable[[Path], Path],
    synthetic: Path,
    contents: Contents,
    seen: dict[str, list[int]],
) -> None:
    project = linked_copy_of(synthetic)
    asked = "extract.features=[audio, sensor]"  # which suffice to see what splits do
    first = extract(settings_in(project, asked), split="train")
    assert (first.num_rows, first.num_tried) == (8, 8)
    assert {name: sum(sizes) for name, sizes in seen.items()} == {"video": 0, "audio": 8, "image": 0, "sensor": 8}
    trained = {path: path.stat().st_mtime_ns for path in (project / "features.zarr").rglob("c.*")}
    rest = extract(settings_in(project, asked))
    assert (rest.num_rows, rest.num_tried) == (38, 30)
    assert {name: sum(sizes) for name, sizes in seen.items()} == {"video": 0, "audio": 38, "image": 0, "sensor": 38}
    row_files = {path for path in trained if "features" in path.parts}
    assert all(path.stat().st_mtime_ns == trained[path] for path in row_files)
    mine, reference = (features_of(contents(folder / "features.zarr")) for folder in (project, extracted))
    both = {name for name in reference if name.partition("/")[2].startswith(("audio/", "sensor/"))}
    assert len(both) > 100 and {name: mine[name] for name in both} == {name: reference[name] for name in both}


def features_of(files: dict[str, bytes]) -> dict[str, bytes]:
    return {
        name: data
        for name, data in files.items()
        if name.startswith(("features/", "status/", "problem/", "source/", "digest/"))
    }


def test_a_modality_at_a_time_gives_the_same_store(
    extracted: Path, linked_copy_of: Callable[[Path], Path], synthetic: Path, seen: dict[str, list[int]]
) -> None:
    project = linked_copy_of(synthetic)
    extract(settings_in(project, "extract.features=[sensor]"), split="train")
    extract(settings_in(project), split="train")
    assert sum(seen["sensor"]) == sum(seen["video"]) == 8
    mine, reference = store_of(project), store_of(extracted)
    assert mine.fingerprint == reference.fingerprint
    rows = reference.rows("train", feature_sets=[])
    for array in ARRAYS:
        np.testing.assert_array_equal(mine.read(array, rows), reference.read(array, rows))


def test_a_lost_status_is_made_good_from_the_same_group(
    extracted: Path, linked_copy_of: Callable[[Path], Path], contents: Contents, seen: dict[str, list[int]]
) -> None:
    project = linked_copy_of(extracted)
    before = contents(project / "features.zarr")
    store_of(project).records.withdraw("audio", [9])
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
    broken = extract(settings_in(project, "extract.features=[video, sensor]"))
    assert [(note.key, list(note.statuses)) for note in broken.notes] == [(keys[1], ["video"])]
    path.write_bytes(whole)
    mended = extract(settings_in(project, "extract.features=[video, sensor]"))
    assert (mended.num_tried, mended.notes) == (1, [])
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
    project, rows = cut_to([*old, *new]), {entry["SUBDIRS"]: entry for entry in manifest_rows(synthetic)}
    write_rows(project, [rows[key] for key in old])
    extract(settings_in(project, SENSOR))
    before = {key: row(store_of(project), "sensor/values", key) for key in old}
    # The new ones stand before the old: rows are bound by key, not by place.
    write_rows(project, [rows[key] for key in (*new, *old)])
    summary = extract(settings_in(project, SENSOR))
    assert (summary.num_rows, summary.num_tried) == (6, 3)
    store = store_of(project)
    assert store.index.keys.tolist() == [*old, *new]
    assert store.index.parts.tolist() == ["train"] * 5 + ["val"]
    for name in store.feature_sets:
        assert (store.status(name) == Status.COMPLETE).all()
    for key in old:
        np.testing.assert_array_equal(row(store, "sensor/values", key), before[key])
    assert len({row(store, "sensor/values", key).tobytes() for key in (*old, *new)}) == 6


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("SPLIT", "TEST", "split is train in the cache, test in the"), ("CURRENT_A", "1", "CURRENT_A")],
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
    extract(settings_in(project, SENSOR))
    before = contents(project / "features.zarr")
    rows = manifest_rows(project)
    rows[0][column] = value
    write_rows(project, rows)
    with pytest.raises(FingerprintError, match=said) as error:
        extract(settings_in(project, SENSOR))
    assert keys[0] in str(error.value)
    assert contents(project / "features.zarr") == before


# What cannot be stored


def test_an_overflow_names_weld_and_array_and_costs_no_other_weld(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path, wrap_encoders: Callable[..., None]
) -> None:
    keys = weld_keys(synthetic, "train")[:6]
    project = cut_to(keys)

    @dataclass
    class Exploding(Counting):
        def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
            made = super().encode(prepared, feature_sets=feature_sets)
            if sum(self.seen) <= 4:  # the first group
                return made
            last = torch.zeros(len(prepared), 1, 1)
            last[-1] = 70_000.0
            return {"video": {**made["video"], "tokens": made["video"]["tokens"] + last}}

    wrap_encoders(lambda name, encoder: Exploding(encoder, []) if name == "video" else encoder)
    summary = extract(settings_in(project, "extract.features=[video, sensor]"))
    (note,) = summary.notes
    key, reason = note.key, note.reason
    assert (key, note.statuses, summary.num_failed) == (keys[5], {"video": Status.MISSING}, 1)
    assert reason.startswith(f"{key}, video, array tokens: ")
    assert "does not fit float16" in reason and "--set cache.dtype=bfloat16" in reason
    assert store_of(project).status("video").tolist() == [1, 1, 1, 1, 1, 0]
    assert (store_of(project).status("sensor") == Status.COMPLETE).all()


def test_an_arc_that_never_burns_is_a_value_not_a_failure(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path
) -> None:
    key = weld_keys(synthetic, "train")[0]
    project = cut_to([key])
    path = file_of(project, key, ".csv")
    header, *lines = path.read_text().splitlines()
    fields = [line.split(",") for line in lines]
    path.write_text("\n".join([header, *(",".join([*line[:6], "3.0", *line[7:]]) for line in fields)]) + "\n")
    summary = extract(settings_in(project, SENSOR))
    assert summary.counts == {"sensor": {"complete": 1}}
    assert "never above 50" in store_of(project).notes("sensor")[key]
    assert np.isnan(row(store_of(project), "sensor/arc_on", key)).all()
    assert (row(store_of(project), "sensor/values", key)[:, 3] == 3).all()


def test_the_summary_reads_well(extracted: Path, linked_copy_of: Callable[[Path], Path], weld_keys: Keys) -> None:
    project = linked_copy_of(extracted)
    key = weld_keys(project, "val")[0]
    store_of(project).forget("audio", [8])
    file_of(project, key, ".flac").unlink()
    text = describe_summary(extract(settings_in(project)))
    assert "audio: 1 absent, 37 complete" in text
    assert f"{key}, audio (absent): no .flac in {key}" in text
    assert "The bottleneck is" in text


# What has changed since


def project_with(keys: Sequence[str], cut_to: Callable[..., Path], *overrides: str) -> Path:
    project = cut_to(keys)
    extract(settings_in(project, *overrides))
    return project


def test_a_changed_byte_is_noticed_where_the_size_stays(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path
) -> None:
    key = weld_keys(synthetic, "train")[0]
    project = project_with([key], cut_to)
    film = file_of(project, key, ".avi")
    whole = bytearray(film.read_bytes())
    whole[-1] ^= 1
    film.unlink()  # the project may share its files with others
    film.write_bytes(whole)
    with pytest.raises(FingerprintError, match="has other bytes"):
        extract(settings_in(project))


def test_a_changed_file_is_named_and_refused_and_refresh_makes_its_row_anew_and_no_other(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path, contents: Contents, seen: dict[str, list[int]]
) -> None:
    keys = weld_keys(synthetic, "train")[:6]
    project = project_with(keys, cut_to)
    film, other = file_of(project, keys[1], ".avi"), file_of(synthetic, weld_keys(synthetic, "train")[7], ".avi")
    film.write_bytes(other.read_bytes())
    before = contents(project / "features.zarr")
    with pytest.raises(FingerprintError) as error:
        extract(settings_in(project))
    assert f"{keys[1]}: {film.relative_to(project)} has other bytes" in str(error.value)
    assert "--refresh" in str(error.value)
    assert contents(project / "features.zarr") == before
    for sizes in seen.values():
        sizes.clear()
    summary = extract(settings_in(project), refresh=True)
    assert (summary.num_tried, seen) == (1, {"video": [4], "audio": [], "image": [], "sensor": []})
    after = contents(project / "features.zarr")
    number = store_of(project).index.row_of()[keys[1]]
    changed = {name for name in before if after[name] != before[name]}
    # The chunks of its features, and those in which all rows are recorded.
    records = {"source/video/c.0", "digest/video/c.0"}
    assert records < changed
    assert all(name.startswith("features/video/") and f"c.{number}" in name for name in changed - records)
    (recorded,) = store_of(project).sources("video", [number])
    assert recorded[0].sha256 == hashlib.sha256(other.read_bytes()).hexdigest()
    assert extract(settings_in(project)).num_tried == 0


def test_a_touched_file_is_the_same_and_is_not_hashed_again(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = weld_keys(synthetic, "train")[:2]
    project = project_with(keys, cut_to, SENSOR)
    for key in keys:
        os.utime(file_of(project, key, ".csv"), ns=(0, 1_600_000_000_000_000_000))
    hashed: list[Path] = []

    def counted(path: Path, *, root: Path) -> SourceFile:
        hashed.append(path)
        return source_file(path, root=root)

    monkeypatch.setattr(changes, "source_file", counted)
    assert extract(settings_in(project, SENSOR)).num_tried == 0
    assert len(hashed) == 2
    assert extract(settings_in(project, SENSOR)).num_tried == 0
    assert len(hashed) == 2


def test_a_file_that_is_gone_is_named_and_refresh_takes_its_row_out(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path
) -> None:
    keys = weld_keys(synthetic, "train")[:2]
    project = project_with(keys, cut_to, SENSOR)
    file_of(project, keys[0], ".csv").unlink()
    with pytest.raises(FingerprintError, match=rf"{keys[0]}: {keys[0]}/.*\.csv is gone"):
        extract(settings_in(project, SENSOR))
    extract(settings_in(project, SENSOR), refresh=True)
    assert store_of(project).status("sensor").tolist() == [Status.ABSENT, Status.COMPLETE]


def test_changed_weights_are_named_and_refresh_makes_that_set_anew_and_no_other(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path, seen: dict[str, list[int]]
) -> None:
    keys = weld_keys(synthetic, "train")[:2]
    asked = "extract.features=[audio, sensor]"
    project = project_with(keys, cut_to, asked)
    arrays = [name for name in ARRAYS if name.startswith(("audio", "sensor"))]
    before = {name: row(store_of(project), name, keys[0]).tobytes() for name in arrays}
    weights = project / "demo_backbones/demo-ast-seed0/model.safetensors"
    tensors = load_file(weights)
    tensors["layernorm.weight"] = tensors["layernorm.weight"] * 1.5
    weights.unlink()  # which is a link to the shared one
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(FingerprintError, match=r"audio, made_by\.backbone\.weights_sha256: the cache has"):
        extract(settings_in(project, asked))
    for sizes in seen.values():
        sizes.clear()
    extract(settings_in(project, asked), refresh=True)
    assert seen == {"video": [], "audio": [2], "image": [], "sensor": []}
    after = {name: row(store_of(project), name, keys[0]).tobytes() for name in arrays}
    assert {name for name in arrays if after[name] != before[name]} == {"audio/tokens", "audio/mean", "audio/embedding"}


def test_refresh_gives_nothing_up_before_it_can_make_it_anew(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path, contents: Contents
) -> None:
    """A checkpoint that turns out not to be whole, and one split alone, cost nothing."""
    asked = "extract.features=[video, sensor]"
    project = project_with(weld_keys(synthetic, "train")[:2], cut_to, asked)
    broken = save_random_backbone(project / "broken", family="vjepa2", scale="demo", seed=3)
    tensors = load_file(broken / "model.safetensors")
    del tensors["encoder.layernorm.weight"]
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    before = contents(project / "features.zarr")
    with pytest.raises(BackboneError, match="lacks 1 weights"):
        extract(settings_in(project, asked, f"features.video.model={broken}"), refresh=True)
    with pytest.raises(FingerprintError, match=r"video would be made anew, .* leave out --split"):
        extract(settings_in(project, asked, "features.video.num_frames=8"), split="train", refresh=True)
    assert contents(project / "features.zarr") == before


def test_refresh_of_one_split_leaves_the_others_and_says_so(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, tested = weld_keys(synthetic, "train")[0], weld_keys(synthetic, "test")[0]
    project = project_with([trained, tested], cut_to, SENSOR)
    for key in (trained, tested):
        other = next((synthetic / weld_keys(synthetic, "val")[0]).glob("*.csv"))
        file_of(project, key, ".csv").write_bytes(other.read_bytes())
    assert extract(settings_in(project, SENSOR), split="test", refresh=True).num_tried == 1
    assert "Files of 1 weld of other splits have changed too" in capsys.readouterr().err
    assert extract(settings_in(project, SENSOR), refresh=True).num_tried == 1


def test_a_name_that_would_swallow_other_features_is_refused(
    extracted: Path, linked_copy_of: Callable[[Path], Path], contents: Contents
) -> None:
    project = linked_copy_of(extracted)
    before = contents(project / "features.zarr")
    features = ("features.image.kind=series", "features.image.stream=sensor", "extract.features=[image]")
    with pytest.raises(StoreError, match=r"has features image/block_2, so others cannot be named image"):
        extract(settings_in(project, *features))
    assert contents(project / "features.zarr") == before


# What is added


def test_another_block_is_added_and_nothing_else_is_computed(
    extracted: Path, linked_copy_of: Callable[[Path], Path], contents: Contents, seen: dict[str, list[int]]
) -> None:
    project = linked_copy_of(extracted)
    before = features_of(contents(project / "features.zarr"))
    extract(settings_in(project, "features.image.blocks=[2,3,4]"))
    assert {name: sum(sizes) for name, sizes in seen.items()} == {"video": 0, "audio": 0, "image": 38, "sensor": 0}
    store, after = store_of(project), features_of(contents(project / "features.zarr"))
    assert store.feature_sets == (*SETS, "image/block_3")
    assert {name: data for name, data in after.items() if name in before} == before
    assert all("block_3" in name for name in after.keys() - before.keys())


def test_another_backbone_lies_beside_the_first(
    extracted: Path, linked_copy_of: Callable[[Path], Path], contents: Contents
) -> None:
    project = linked_copy_of(extracted)
    before = features_of(contents(project / "features.zarr"))
    second = save_random_backbone(project / "dinov2", family="dinov2", scale="demo", seed=3)
    added = (
        "features.image_two.kind=photographs",
        f"features.image_two.model={second}",
        "features.image_two.blocks=[1]",
        "features.image_two.size=112",
        "extract.features=[image_two]",
    )
    extract(settings_in(project, *added), split="train")
    store, after = store_of(project), features_of(contents(project / "features.zarr"))
    assert store.feature_sets == (*SETS, "image_two/block_1")
    assert store.manifest["features"]["image_two/block_1"]["made_by"]["backbone"]["family"] == "dinov2"
    assert {name: data for name, data in after.items() if name in before} == before
    assert (store.status("image_two/block_1") == Status.COMPLETE).sum() == 8


# What a backbone fails on


def test_a_weld_that_a_backbone_fails_on_costs_itself_alone(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path, extracted: Path, wrap_encoders: Callable[..., None]
) -> None:
    keys = weld_keys(synthetic, "train")[:6]
    project = cut_to(keys)
    poison = row(store_of(extracted), "sensor/times", keys[2])[-1]

    @dataclass
    class Failing(Counting):
        def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
            if any(float(item.tensors["times"][-1]) == poison for item in prepared):
                raise RuntimeError("a kernel refused")
            return super().encode(prepared, feature_sets=feature_sets)

    wrap_encoders(lambda name, encoder: Failing(encoder, []) if name == "sensor" else encoder)
    summary = extract(settings_in(project, "extract.features=[audio, sensor]"))
    assert summary.num_failed == 1
    reason = "the backbone failed on it (RuntimeError: a kernel refused)"
    assert summary.notes == [Note(keys[2], reason, {"sensor": Status.MISSING})]
    store = store_of(project)
    assert store.status("sensor").tolist() == [1, 1, 0, 1, 1, 1]
    assert store.status("audio").tolist() == [1] * 6
    wrap_encoders(lambda name, encoder: encoder)
    mended = extract(settings_in(project, "extract.features=[audio, sensor]"))
    assert (mended.num_tried, mended.num_failed, mended.notes) == (1, 0, [])
    np.testing.assert_array_equal(
        row(store_of(project), "sensor/values", keys[2]), row(store_of(extracted), "sensor/values", keys[2])
    )


def test_a_backbone_that_fails_on_every_weld_is_the_fault_and_ends_the_run(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path, wrap_encoders: Callable[..., None]
) -> None:
    project = cut_to(weld_keys(synthetic, "train")[:3])

    @dataclass
    class Broken(Counting):
        def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
            raise RuntimeError("no kernel image is available")

    wrap_encoders(lambda name, encoder: Broken(encoder, []) if name == "sensor" else encoder)
    with pytest.raises(RuntimeError, match="no kernel image"):
        extract(settings_in(project, SENSOR))


# Memory of the device


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_batches_shrink_where_memory_runs_out_and_every_weld_is_encoded(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path, wrap_encoders: Callable[..., None], limit: int
) -> None:
    keys = weld_keys(synthetic, "train")[:8]
    project = cut_to(keys)
    sizes: list[int] = []

    @dataclass
    class Small(Counting):
        def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
            if len(prepared) > limit:
                raise torch.OutOfMemoryError
            return super().encode(prepared, feature_sets=feature_sets)

    wrap_encoders(lambda name, encoder: Small(encoder, sizes) if name == "sensor" else encoder)
    extract(settings_in(project, SENSOR, "extract.batch_size=8"))
    assert sum(sizes) == 8 and max(sizes) == {1: 1, 2: 2, 3: 2}[limit]
    store = store_of(project)
    for key in keys:
        table = read_sensor_table(file_of(project, key, ".csv"), series=WELDING_MACHINE)
        assert row(store, "sensor/times", key)[-1] == table.times[-1]


def test_a_device_without_memory_for_one_weld_is_a_sentence(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path, wrap_encoders: Callable[..., None]
) -> None:
    project = cut_to(weld_keys(synthetic, "train")[:2])

    @dataclass
    class Tiny(Counting):
        def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
            raise torch.OutOfMemoryError

    wrap_encoders(lambda name, encoder: Tiny(encoder, []) if name == "sensor" else encoder)
    with pytest.raises(WeldcacheError, match="does not hold one sample of sensor"):
        extract(settings_in(project, SENSOR))


def test_a_disk_that_is_too_small_is_seen_before_anything_is_computed(
    cut_to: Callable[..., Path],
    weld_keys: Keys,
    synthetic: Path,
    monkeypatch: pytest.MonkeyPatch,
    seen: dict[str, list[int]],
) -> None:
    project = cut_to(weld_keys(synthetic, "train")[:2])
    monkeypatch.setattr(estimate, "free_bytes", lambda _: 1_000)
    with pytest.raises(StoreError, match="The disk is too small"):
        extract(settings_in(project, SENSOR))
    assert not any(seen.values())
    assert (store_of(project).status("sensor") == Status.MISSING).all()


def test_a_store_remembers_how_its_rows_were_grouped(
    cut_to: Callable[..., Path], weld_keys: Keys, synthetic: Path
) -> None:
    project = cut_to(weld_keys(synthetic, "train")[:2])
    extract(settings_in(project, SENSOR, "extract.batch_size=3"))
    assert store_of(project).batching == {"group_size": 3}
    extract(settings_in(project, SENSOR, "extract.batch_size=auto"))
    assert store_of(project).batching == {"group_size": 3}


def test_an_interrupt_that_was_dropped_is_raised_later() -> None:
    before = signal.getsignal(signal.SIGINT)
    with kept_interrupt() as raise_if_it_came:
        raise_if_it_came()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            raise_if_it_came()
    assert signal.getsignal(signal.SIGINT) is before
