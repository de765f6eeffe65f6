"""What can be set of synthetic welds: severity, mix of classes, further channels, faults; and what is made without."""

import csv
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.errors import SettingsError
from weldcache.extract.sources.open import open_source
from weldcache.extract.sources.source import series_told
from weldcache.extract.sources.welds.classes import DEFECT_CODES
from weldcache.extract.sources.welds.run_folder import WELDING_MACHINE
from weldcache.extract.sources.welds.synth.defects import weld_state
from weldcache.extract.sources.welds.synth.pipeline import generate
from weldcache.extract.sources.welds.synth.plan import MediaSize, class_counts, parse_mix, plan_for_size
from weldcache.extract.sources.welds.synth.planting import list_faults
from weldcache.extract.sources.welds.synth.roster import list_welds
from weldcache.extract.sources.welds.synth.tables import latents_text, manifest_text
from weldcache.settings import load_settings

FEW = replace(
    plan_for_size("tiny", seed=3),
    train={"00": 1},
    val={"00": 1, "03": 1},
    test={"11": 1},
    media=MediaSize(64, 40, 120, 54, 1.0, 1.3),
)
STREAMS = {"video": "video", "audio": "audio", "image": "image/block_2", "sensor": "sensor"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "data"
    generate(out, plan=FEW, workers=1)
    return out


def contents_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_what_is_made_without_any_setting_is_what_it_was() -> None:
    """A golden hash: whoever changes it has to raise GENERATOR_VERSION."""
    welds = list_welds(plan_for_size("tiny"))
    told = manifest_text(welds) + latents_text(welds, plan=plan_for_size("tiny"))
    assert (
        hashlib.sha256(told.encode()).hexdigest() == "857d0423455733c2c4889a649115c44b8aabd28d98e7b1113378b8da73f919ea"
    )


def test_a_plan_names_only_what_is_not_usual() -> None:
    usual = plan_for_size("tiny").to_json()
    assert not {"severity", "observable", "missing", "damage"} & set(usual)
    assert replace(FEW, observable=True, damage=0.25).to_json().items() >= {"observable": True, "damage": 0.25}.items()


def test_severities_lie_between_the_two_that_are_asked_for() -> None:
    plan = replace(plan_for_size("small"), severity=(0.1, 0.2))
    defects = [weld for weld in list_welds(plan) if weld.code in DEFECT_CODES]
    drawn = [weld_state(weld, seed=0, severities=plan.severity).severity for weld in defects]
    assert 0.1 <= min(drawn) < 0.11 and 0.19 < max(drawn) <= 0.2
    table = pd.read_csv(io.StringIO(latents_text(defects, plan=plan)))
    assert table["severity"].between(0.1, 0.2).all()


def test_classes_are_mixed_in_the_proportions_that_are_asked_for() -> None:
    assert parse_mix("burn-through=2, porosity=0.5") == {"02": 2.0, "03": 0.5}
    counts = class_counts(good=4, defects=10, mix={"02": 2.0, "03": 1.0})
    assert counts == {"00": 4, "02": 7, "03": 3}
    plan = plan_for_size("small", mix=parse_mix("overlap=1"))
    assert plan.test == {"00": 60, "06": 110} and plan.val == {"00": 60, "06": 66} and sum(plan.train.values()) == 160
    assert plan_for_size("full") == plan_for_size("full", mix=dict.fromkeys(DEFECT_CODES, 7.0))


@pytest.mark.parametrize(
    ("written", "named"),
    [
        *(("burntrough=1", "burnthrough"), ("good=1", "good"), ("porosity", "porosity"), ("porosity=0", "porosity=0")),
        *(("porosity=-1", "-1"), ("porosity=nan", "nan"), ("porosity=1,Porosity=2", "Porosity=2"), ("", "''")),
    ],
)
def test_a_mix_that_is_none_is_refused_by_name(written: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        parse_mix(written)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        *(({"severity": (0.5, 0.4)}, "0.5"), ({"severity": (0.0, 0.4)}, "0"), ({"severity": (0.5, 1.1)}, "1.1")),
        *(({"missing": -0.1}, "-0.1"), ({"missing": 0.6, "damage": 0.5}, "0.6"), ({"damage": float("nan")}, "nan")),
    ],
)
def test_settings_that_cannot_be_are_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        replace(FEW, **change)


def test_speed_and_thickness_are_two_columns_more_and_change_no_other_byte(plain: Path, tmp_path: Path) -> None:
    generate(tmp_path / "seen", plan=replace(FEW, observable=True), workers=1)
    before, after = contents_of(plain), contents_of(tmp_path / "seen")
    changed = {name for name in before if before[name] != after[name]}
    assert before.keys() == after.keys()
    tables = {name for name in before if name.count("/") == 2 and name.endswith(".csv")}
    assert changed == tables | {"synth_plan.json", "weldcache.yaml", "synth.json"}
    latents = pd.read_csv(plain / "latents.csv").set_index("key")
    for name in tables:
        table = pd.read_csv(tmp_path / "seen" / name, index_col=False)
        bare = pd.read_csv(plain / name, index_col=False)
        assert list(table.columns) == [*bare.columns[:-1], "Robot Speed", "Plate Thickness", "Remarks "]
        pd.testing.assert_frame_equal(table[bare.columns[:-1]], bare[bare.columns[:-1]])
        truth, on = latents.loc[name.rpartition("/")[0]], table["Primary Weld Current"] > 50
        assert table["Robot Speed"][on].median() == pytest.approx(truth["process_speed"], rel=0.03)
        assert table["Plate Thickness"].mean() == pytest.approx(truth["process_thickness"], abs=0.05)
        assert (table["Robot Speed"].iloc[[0, -1]] == 0).all()


def test_the_settings_beside_the_data_have_both_columns_read(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(tmp_path / "seen", plan=replace(FEW, observable=True), workers=1)
    for folder, further in ((plain, ()), (tmp_path / "seen", ("Robot Speed", "Plate Thickness"))):
        monkeypatch.chdir(folder)
        series = series_told(open_source(load_settings().data))["sensor"]
        assert series.channels == (*WELDING_MACHINE.channels, *further) and len(series.limits) == len(series.channels)
        assert (series == WELDING_MACHINE) is (not further)


def test_faults_are_as_many_as_asked_for_and_the_same_for_a_seed() -> None:
    plan = replace(plan_for_size("small"), missing=0.05, damage=0.1)
    welds = list_welds(plan)
    faults = list_faults(welds, plan=plan)
    told = [fault for of_weld in faults.values() for fault in of_weld.values()]
    assert told.count("absent") == round(0.05 * 4 * 456) and len(told) == round(0.05 * 4 * 456) + round(0.1 * 4 * 456)
    assert set(told) == {"absent", "truncated", "zeros", "wrong_extension"}
    assert {stream for of_weld in faults.values() for stream in of_weld} == set(STREAMS)
    assert list_faults(welds, plan=plan) == faults
    assert list_faults(welds, plan=replace(plan, seed=1)) != faults
    assert list_faults(welds, plan=replace(plan, missing=0.0, damage=0.0)) == {}


@pytest.mark.slow  # makes and extracts a data set of its own: nine seconds of processor time
def test_extract_reports_exactly_what_was_planted_and_loses_nothing_else(
    synthetic: Path, weldcache: Callable[..., Any], tmp_path: Path
) -> None:
    project = tmp_path / "project"
    made = weldcache(
        "synth",
        str(project),
        "--size",
        "tiny",
        "--workers",
        "1",
        "--missing",
        "0.06",
        "--damage",
        "0.2",
        "--preset",
        "demo-random",
        folder=tmp_path,
    )
    assert made.code == 0 and "planted.csv" in made.out
    with (project / "planted.csv").open() as table:
        planted = {(row["key"], row["stream"]): row["fault"] for row in csv.DictReader(table)}
    assert len(planted) == json.loads((project / "synth.json").read_text())["planted"] == 39
    assert set(planted.values()) == {"absent", "truncated", "zeros", "wrong_extension"}
    (project / "demo_backbones").symlink_to(synthetic / "demo_backbones")
    outcome = weldcache("extract", "--set", "extract.workers=0", folder=project)
    assert outcome.code == 0, outcome.err

    store = FeatureStore.open(project / "features.zarr")
    for stream, feature_set in STREAMS.items():
        status, notes = store.status(feature_set), store.notes(feature_set)
        asked = {key for key, of_stream in planted if of_stream == stream}
        assert set(notes) == asked, stream
        for key, row in store.index.row_of().items():
            fault = planted.get((key, stream))
            if fault in ("absent", "wrong_extension"):
                assert status[row] == Status.ABSENT
            elif fault == "zeros" or (fault == "truncated" and stream != "sensor"):
                assert status[row] == Status.UNREADABLE
            else:  # what is left of a table that was cut is read, and told
                assert status[row] == Status.COMPLETE
    whole = FeatureStore.open(_whole(synthetic, weldcache, tmp_path))
    rows = np.flatnonzero(store.status("sensor") == Status.COMPLETE)
    kept = np.array([row for row in rows if (str(store.index.keys[row]), "sensor") not in planted])
    np.testing.assert_array_equal(store.read("sensor/values", kept), whole.read("sensor/values", kept))


def _whole(synthetic: Path, weldcache: Callable[..., Any], folder: Path) -> Path:
    cache = folder / "whole.zarr"
    outcome = weldcache("extract", "--set", "extract.features=[sensor]", "--cache", str(cache), folder=synthetic)
    assert outcome.code == 0, outcome.err
    return cache
