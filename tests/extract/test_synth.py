"""`generate`: layout, formats, reproducibility, resuming, masks."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from weldcache.errors import OutputExistsError, SettingsError
from weldcache.extract.sources.welds.classes import CLASS_NAMES, DEFECT_CODES
from weldcache.extract.sources.welds.synth.pipeline import describe, generate
from weldcache.extract.sources.welds.synth.plan import MediaSize, SynthPlan, class_counts, plan_for_size
from weldcache.extract.sources.welds.synth.tables import MANIFEST_COLUMNS

SENSOR_HEADER = (
    "Date,Time,Part No,Pressure,CO2 Weld Flow,Feed,Primary Weld Current,Wire Consumed,Secondary Weld Voltage,Remarks "
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `tiny` data set, made by two workers."""
    out = tmp_path_factory.mktemp("synth") / "tiny"
    generate(out, plan=plan_for_size("tiny"), workers=2)
    return out


@pytest.fixture
def few() -> SynthPlan:
    """A plan of four very small welds."""
    return replace(
        plan_for_size("tiny", seed=3),
        train={"00": 1},
        val={"00": 1, "03": 1},
        test={"11": 1},
        media=MediaSize(64, 40, 120, 54, 1.0, 1.3),
    )


def manifest_of(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "manifest.csv")


def weld_files(root: Path, key: str) -> dict[str, Path]:
    folder = root / key
    return {suffix: folder / f"{folder.name}.{suffix}" for suffix in ("csv", "flac", "avi")}


def hashes_of(root: Path) -> dict[str, str]:
    """Hash of each sensor file, sound, photograph and mask below `root`, and of the tables."""
    paths = [path for path in root.rglob("*") if path.suffix in {".csv", ".flac", ".jpg", ".png"}]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_manifest_has_the_columns_of_the_real_data_and_every_class(tiny: Path) -> None:
    manifest = manifest_of(tiny)
    assert tuple(manifest.columns) == MANIFEST_COLUMNS
    assert manifest["SUBDIRS"].is_unique
    assert set(manifest["SPLIT"]) == {"TRAIN", "VAL", "TEST"}
    assert set(manifest.loc[manifest["SPLIT"] == "TRAIN", "CATEGORY"]) == {"good"}
    for split in ("VAL", "TEST"):
        assert set(manifest.loc[manifest["SPLIT"] == split, "CATEGORY"]) == set(CLASS_NAMES.values())
    for row in manifest.itertuples():
        run = str(row.SUBDIRS).removeprefix(f"{row.DIRECTORY}/")
        assert re.fullmatch(r"\d\d-\d\d-\d\d-\d{4}-\d\d", run)
        assert CLASS_NAMES[run[-2:]] == row.CATEGORY


def test_films_are_grey_fmp4_with_a_dark_lead_in_and_tail(tiny: Path) -> None:
    for key in manifest_of(tiny)["SUBDIRS"][::9]:
        film = cv2.VideoCapture(str(weld_files(tiny, key)["avi"]))
        codec = int(film.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
        assert codec == b"FMP4"
        assert film.get(cv2.CAP_PROP_FPS) in {30.0, 31.0}
        frames = []
        while (answer := film.read())[0]:
            frames.append(answer[1])
        assert frames[0].shape == (80, 128, 3)
        # MPEG-4 stores colour differences, so equal channels come back within a few grey values.
        assert np.ptp(frames[len(frames) // 2].astype(int), axis=2).max() <= 4
        means = [frame.mean() for frame in frames]
        assert means[0] < 12 and means[-1] < 16 < 24 < np.median(means)


def test_sound_is_16_khz_mono_pcm16_flac_and_loud_only_while_the_arc_burns(tiny: Path) -> None:
    for key in manifest_of(tiny)["SUBDIRS"][::9]:
        path = weld_files(tiny, key)["flac"]
        info = soundfile.info(str(path))
        assert (info.samplerate, info.channels, info.format, info.subtype) == (16_000, 1, "FLAC", "PCM_16")
        sound, _ = soundfile.read(path)
        middle = sound[len(sound) // 2 - 4000 : len(sound) // 2 + 4000]
        assert middle.std() > 2.5 * sound[:500].std()
        assert np.abs(sound).max() < 1.0


def test_sensor_file_has_the_quirky_header_and_plausible_channels(tiny: Path) -> None:
    for key in manifest_of(tiny)["SUBDIRS"][::5]:
        path = weld_files(tiny, key)["csv"]
        lines = path.read_text().splitlines()
        assert lines[0] == SENSOR_HEADER
        assert {line.count(",") for line in lines[1:]} == {SENSOR_HEADER.count(",") - 1}
        table = pd.read_csv(path, index_col=False)
        current, voltage = table["Primary Weld Current"], table["Secondary Weld Voltage"]
        on = current > 50
        assert 0.5 < on.mean() < 0.9
        assert not on.iloc[0] and not on.iloc[-1]
        assert voltage[on].between(10, 60).all() and voltage.between(0, 82).all() and voltage.max() > 80
        assert table["Wire Consumed"].is_monotonic_increasing and table["Wire Consumed"].max() < 5001
        assert current.between(0, 336).all() and table["Feed"].between(0, 180).all()
        times = pd.to_datetime(table["Date"] + " " + table["Time"], format="%m/%d/%y %H:%M:%S.%f")
        assert 0.1 < times.diff().dt.total_seconds().median() < 0.12


def test_photographs_have_five_views_and_defects_have_masks(tiny: Path) -> None:
    for row in manifest_of(tiny).itertuples():
        folder = tiny / str(row.SUBDIRS)
        photographs = sorted((folder / "images").glob("*.jpg"))
        assert len(photographs) == 5
        assert cv2.imread(str(photographs[0])).shape == (108, 240, 3)
        if row.CATEGORY == "good":
            assert not (folder / "masks").exists()
            continue
        masks = [cv2.imread(str(folder / "masks" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED) for path in photographs]
        assert all(mask.shape == (108, 240) and set(np.unique(mask)) <= {0, 255} for mask in masks)


def test_flaws_that_have_a_place_are_outlined_and_others_are_not(tiny: Path) -> None:
    latents = pd.read_csv(tiny / "latents.csv", dtype={"code": str})
    for row in latents[latents["code"] != "00"].itertuples():
        masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tiny / str(row.key) / "masks").glob("*.png")]
        share = np.mean([(mask > 0).mean() for mask in masks])
        if row.code == "10" or row.causal_break:
            assert share == 0, row.key
        else:
            assert 0.001 < share < 0.5, row.key


def test_record_and_settings_lie_beside_the_data(tiny: Path) -> None:
    record = json.loads((tiny / "synth.json").read_text())
    assert record["seed"] == 0 and record["welds"]["train"] == {"good": 8}
    assert set(record["ceilings"]) == {"process", "result", "joint"}
    text = (tiny / "weldcache.yaml").read_text()
    assert text.startswith("# Written by `weldcache synth`")
    assert yaml.safe_load(text) == {
        "preset": "demo",
        "data": {"root": "."},
        "cache": {"path": "features.zarr"},
        "runs": {"folder": "runs"},
    }


def test_any_number_of_workers_makes_the_same_bytes(tmp_path: Path, few: SynthPlan) -> None:
    for workers in (1, 2):
        generate(tmp_path / str(workers), plan=few, workers=workers)
    hashes = hashes_of(tmp_path / "1")
    assert len(hashes) > 4 * 7 and hashes == hashes_of(tmp_path / "2")


def test_another_seed_makes_other_welds(tmp_path: Path, few: SynthPlan) -> None:
    texts = []
    for seed in (3, 4):
        generate(tmp_path / str(seed), plan=replace(few, seed=seed), workers=1)
        texts.append((tmp_path / str(seed) / "latents.csv").read_text())
    assert texts[0] != texts[1]


def test_a_second_run_makes_only_what_is_missing(tmp_path: Path, few: SynthPlan) -> None:
    first = generate(tmp_path, plan=few, workers=1)
    hashes = hashes_of(tmp_path)
    key = manifest_of(tmp_path)["SUBDIRS"][1]
    shutil.rmtree(tmp_path / key)
    (tmp_path / "synth.json").unlink()
    leftover = tmp_path / key
    leftover = leftover.with_name(f".{leftover.name}.0123abcd.tmp")
    leftover.mkdir(parents=True)

    second = generate(tmp_path, plan=few, workers=1)
    third = generate(tmp_path, plan=few, workers=1)

    assert (first.num_written, second.num_written, third.num_written) == (4, 1, 0)
    assert hashes_of(tmp_path) == hashes and not leftover.exists()
    assert (tmp_path / "synth.json").is_file()
    assert "Complete already" in describe(third) and "Wrote 1 weld" in describe(second)


def test_an_interrupted_weld_leaves_no_half_folder(
    tmp_path: Path, few: SynthPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("weldcache.extract.sources.welds.synth.weld._write_film", interrupt)
        with pytest.raises(KeyboardInterrupt):
            generate(tmp_path, plan=few, workers=1)
    assert not (tmp_path / "synth.json").exists() and not (tmp_path / "manifest.csv").exists()
    assert not list(tmp_path.glob("*/*"))
    assert generate(tmp_path, plan=few, workers=1).num_written == 4


def test_another_plan_in_the_same_folder_is_refused_by_name(tmp_path: Path, few: SynthPlan) -> None:
    generate(tmp_path, plan=few, workers=1)
    other = replace(few, seed=9, test={"11": 2})
    with pytest.raises(OutputExistsError, match=r"seed: 3 there, 9 asked for; test\.11: 1 there, 2 asked for"):
        generate(tmp_path, plan=other, workers=1)


def test_a_folder_of_other_origin_is_refused(tmp_path: Path, few: SynthPlan) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"was not written by `weldcache synth`"):
        generate(tmp_path, plan=few, workers=1)


@pytest.mark.parametrize("text", ["{", '{"seed": NaN}', "[]"])
def test_a_plan_that_is_none_is_refused_by_name(text: str, tmp_path: Path, few: SynthPlan) -> None:
    (tmp_path / "synth_plan.json").write_text(text)
    with pytest.raises(OutputExistsError, match=re.escape(str(tmp_path))):
        generate(tmp_path, plan=few, workers=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["synth_plan.json"]


def test_the_users_own_settings_file_stays(tmp_path: Path, few: SynthPlan) -> None:
    generate(tmp_path, plan=few, workers=1)
    (tmp_path / "weldcache.yaml").write_text("preset: v5\n")
    generate(tmp_path, plan=few, workers=1)
    assert (tmp_path / "weldcache.yaml").read_text() == "preset: v5\n"


def test_full_has_the_official_numbers() -> None:
    plan = plan_for_size("full")
    assert plan.num_welds == 4040
    assert [sum(plan.counts(split).values()) for split in ("train", "val", "test")] == [576, 1732, 1732]
    assert (plan.val["00"], plan.test["00"]) == (122, 121)


def test_counts_spread_evenly_over_the_defects() -> None:
    counts = class_counts(good=2, defects=13)
    assert counts["00"] == 2 and sum(counts[code] for code in DEFECT_CODES) == 13
    assert {counts[code] for code in DEFECT_CODES} == {1, 2}


@pytest.mark.parametrize(
    "change", [{"seed": -1}, {"session_welds": 21}, {"train": {"12": 1}}, {"val": {"00": -1}}], ids=str
)
def test_plans_that_cannot_be_made_are_refused(few: SynthPlan, change: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        replace(few, **change)  # type: ignore[arg-type]
