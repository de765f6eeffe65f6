"""`weldcache extract`: every quirk of a data set is reported by name, and bad input changes nothing."""

import contextlib
import csv
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.atomic import locked_folder
from weldcache.cache.description import read_description
from weldcache.cache.layout import open_root
from weldcache.cache.row_tables import write_former_tables
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore

Run = Callable[..., Any]
Contents = Callable[[Path], dict[str, bytes]]


@dataclass(frozen=True)
class Quirky:
    """A data set with one weld of each quirk, by the quirk's name, and what `extract` said of it."""

    project: Path
    keys: Mapping[str, str]
    outcome: Any

    def statuses(self, quirk: str, modality: str) -> set[Status]:
        """Of the weld in every feature set of a modality."""
        store = FeatureStore.open(self.project / "features.zarr")
        row = store.index.row_of()[self.keys[quirk]]
        return {Status(store.status(name)[row]) for name in store.feature_sets if name.startswith(modality)}


@pytest.fixture(scope="module")
def quirky(
    synthetic: Path, tmp_path_factory: pytest.TempPathFactory, weldcache: Run, weld_keys: Callable[..., list[str]]
) -> Quirky:
    project = Path(shutil.copytree(synthetic, tmp_path_factory.mktemp("quirky") / "project"))
    train = weld_keys(project, "train")
    val, normals, defects = weld_keys(project, "val", good=False), *(weld_keys(project, "test", good=g) for g in (1, 0))
    keys = {
        "avi_undecodable": train[0],
        "photograph_missing": train[1],
        "time_not_monotone": train[2],
        "jpeg_cut_short": train[3],
        "no_images": val[0],
        "flac_missing": normals[0],
        "folder_missing": defects[0],
        "no_sensors": defects[1],
    }
    folders = {quirk: project / key for quirk, key in keys.items()}
    avi = next(folders["avi_undecodable"].glob("*.avi"))
    avi.write_bytes(avi.read_bytes()[:64] + b"\0" * 5000)
    next(folders["photograph_missing"].glob("images/*_view3.jpg")).unlink()
    jpeg = next(folders["jpeg_cut_short"].glob("images/*_view5.jpg"))
    jpeg.write_bytes(jpeg.read_bytes()[:-300])
    _swap_lines(next(folders["time_not_monotone"].glob("*.csv")), 4, 9)
    shutil.rmtree(folders["no_images"] / "images")
    next(folders["flac_missing"].glob("*.flac")).unlink()
    shutil.rmtree(folders["folder_missing"])
    next(folders["no_sensors"].glob("*.csv")).write_text("")
    outcome = weldcache("extract", folder=project)
    return Quirky(project=project, keys=keys, outcome=outcome)


def _swap_lines(path: Path, first: int, second: int) -> None:
    lines = path.read_text().splitlines()
    lines[first], lines[second] = lines[second], lines[first]
    path.write_text("\n".join(lines) + "\n")


def test_quirks_fail_nobody_else(quirky: Quirky) -> None:
    assert quirky.outcome.code == 0
    assert "video: 1 absent, 36 complete, 1 unreadable" in quirky.outcome.out
    assert "audio: 2 absent, 36 complete" in quirky.outcome.out
    assert "image/block_2: 2 absent, 36 complete image/block_4: 2 absent, 36 complete" in quirky.outcome.out
    assert "sensor: 1 absent, 36 complete, 1 unreadable" in quirky.outcome.out


@pytest.mark.parametrize(
    ("quirk", "modality", "status", "reason"),
    [
        ("avi_undecodable", "video", Status.UNREADABLE, ".avi"),
        ("flac_missing", "audio", Status.ABSENT, "no .flac in"),
        ("no_images", "image", Status.ABSENT, "no .jpg in"),
        ("no_sensors", "sensor", Status.UNREADABLE, "the sensor file is empty"),
        ("folder_missing", "video", Status.ABSENT, "there is no folder"),
        ("folder_missing", "sensor", Status.ABSENT, "there is no folder"),
        ("time_not_monotone", "sensor", Status.COMPLETE, "written late"),
        ("photograph_missing", "image", Status.COMPLETE, "there is no photograph of view 3"),
        ("jpeg_cut_short", "image", Status.COMPLETE, "cut short"),
    ],
)
def test_each_quirk_is_reported_by_name_with_its_reason(
    quirky: Quirky, weldcache: Run, quirk: str, modality: str, status: Status, reason: str
) -> None:
    assert quirky.statuses(quirk, modality) == {status}
    key, made = quirky.keys[quirk], {"image": "image/block_2, image/block_4"}.get(modality, modality)
    told = [line.partition(": ") for line in quirky.outcome.raw_out.splitlines() if f"{key}, " in line]
    assert [reason in why for names, _, why in told if made in names] == [True]
    info = json.loads(weldcache("info", "--json", folder=quirky.project).raw_out)
    notes = [note for note in info["health"]["problems"] if note["key"] == key]
    (noted,) = [note for note in notes if made in ", ".join(note["feature_sets"])]
    assert reason in noted["reason"]


def test_notes_are_told_by_verify_too(quirky: Quirky, weldcache: Run) -> None:
    told = json.loads(weldcache("verify", "--no-sources", "--json", folder=quirky.project).raw_out)
    notes = [finding["evidence"] for finding in told["findings"] if finding["check"] == "notes"]
    assert any(quirky.keys["photograph_missing"] in note and "(note)" in note and "view 3" in note for note in notes)
    assert any("(absent)" in note and "there is no folder" in note for note in notes)


def test_a_weld_with_one_broken_file_keeps_its_other_modalities(quirky: Quirky) -> None:
    for modality in ("audio", "image", "sensor"):
        assert quirky.statuses("avi_undecodable", modality) == {Status.COMPLETE}


def test_views_that_are_not_there_are_marked_and_zero(quirky: Quirky) -> None:
    store = FeatureStore.open(quirky.project / "features.zarr")
    for quirk, view in (("photograph_missing", 2), ("jpeg_cut_short", 4)):
        row = store.index.row_of()[quirky.keys[quirk]]
        for block in ("image/block_2", "image/block_4"):
            present = store.read(f"{block}/views_present", [row])[0]
            tokens = store.read(f"{block}/patch_tokens", [row])[0]
            assert present.tolist() == [int(place != view) for place in range(5)]
            for place in range(5):
                assert (tokens[place] == 0).all() == (place == view)


def test_swapped_lines_in_a_sensor_file_change_nothing(quirky: Quirky, extracted: Path) -> None:
    mine, reference = (FeatureStore.open(path / "features.zarr") for path in (quirky.project, extracted))
    row = mine.index.row_of()[quirky.keys["time_not_monotone"]]
    np.testing.assert_array_equal(mine.read("sensor/values", [row]), reference.read("sensor/values", [row]))


def test_train_and_eval_leave_incomplete_welds_out_where_asked_and_say_so(
    quirky: Quirky, weldcache: Run, undrawn: None
) -> None:
    options = ("--set", "train.epochs=1", "--set", "recipe.missing=leave_out")
    trained = weldcache("train", "--run", "quirky", *options, folder=quirky.project)
    assert trained.code == 0
    assert "7 normals to train on" in trained.err and "14 welds to validate on" in trained.err
    assert "Left out of train: 1 weld without video" in trained.err
    assert "Left out of validation: 1 weld without image" in trained.err
    judged = weldcache("eval", "-v", folder=quirky.project)
    assert judged.code == 0
    assert "3 samples of test without features that this model needs" in judged.out
    assert "Without one modality" not in judged.out
    with (quirky.project / "runs/quirky/scores_test.csv").open() as file:
        scored = {row["key"] for row in csv.DictReader(file)}
    assert len(scored) == 12
    assert not scored & {quirky.keys[quirk] for quirk in ("flac_missing", "folder_missing", "no_sensors")}


# Bad input


def test_without_data_the_message_says_how_to_make_some(weldcache: Run, tmp_path: Path) -> None:
    outcome = weldcache("extract", "--config", "demo-random", "--data", "nowhere", folder=tmp_path)
    assert outcome.code == 2 and "Traceback" not in outcome.err
    assert "nowhere" in outcome.err and "weldcache synth" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_with_wrong_columns_names_them(
    weldcache: Run, copy_of: Callable[[Path], Path], synthetic: Path
) -> None:
    project = copy_of(synthetic)
    path = project / "manifest.csv"
    path.write_text(path.read_text().replace("SPLIT", "SUBSET", 1).replace("VOLTAGE_V", "VOLTS", 1))
    outcome = weldcache("extract", folder=project)
    assert outcome.code == 2
    assert "manifest.csv, line 1: the columns" in outcome.err
    assert "VOLTAGE_V, SPLIT are missing" in outcome.err
    assert not (project / "features.zarr").exists()


@pytest.mark.parametrize("command", ["extract", "train", "eval", "info"])
def test_a_misspelt_setting_in_the_folders_file_is_refused(weldcache: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "weldcache.yaml").write_text("preset: demo-random\ntrain:\n  lrr: 1\n")
    outcome = weldcache(command, folder=tmp_path)
    assert outcome.code == 2
    assert "weldcache.yaml: there is no setting train.lrr. Did you mean train.lr?" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["weldcache.yaml"]


@pytest.mark.parametrize("command", ["extract", "train", "eval"])
@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--set", "train.lrr=1"), "--set train.lrr=1: there is no setting train.lrr. Did you mean train.lr?"),
        (("--set", "train.lr=fast"), "train.lr: Input should be a valid number"),
        (("--set", "train.lr"), "expected section.key=value"),
        (
            ("--config", "v6"),
            "--config v6 is neither a file nor a preset. Did you mean v5? The presets are ",
        ),
        (("--config", "broken.yaml"), "is not valid YAML"),
    ],
)
def test_bad_settings_are_refused_by_every_command(
    weldcache: Run, tmp_path: Path, command: str, option: tuple[str, str], said: str
) -> None:
    (tmp_path / "broken.yaml").write_text("train: [1, 2\n")
    outcome = weldcache(command, *option, folder=tmp_path)
    assert outcome.code == 2 and "Traceback" not in outcome.err
    assert said in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["broken.yaml"]


def test_a_cache_of_another_fingerprint_is_refused_with_the_difference_named(
    weldcache: Run, extracted: Path, contents: Contents
) -> None:
    before = contents(extracted / "features.zarr")
    options = ["--set", "features.video.num_frames=8", "--set", "features.image.num_views=4"]
    outcome = weldcache("extract", *options, folder=extracted)
    assert outcome.code == 2 and "Traceback" not in outcome.err
    assert "was made by something else" in outcome.err
    assert all(f".{name}: the cache has" in outcome.err for name in ("num_frames", "num_views"))
    assert contents(extracted / "features.zarr") == before
    shown = weldcache("extract", *options[:2], "--debug", folder=extracted)
    assert shown.code == 2 and "Traceback" in shown.err


def test_a_changed_split_is_refused_and_taken_over_on_request_without_computing_anything(
    weldcache: Run,
    extracted: Path,
    copy_of: Callable[[Path], Path],
    contents: Contents,
    manifest_rows: Callable[[Path], list[dict[str, str]]],
    write_rows: Callable[..., None],
) -> None:
    project = copy_of(extracted)
    rows = manifest_rows(project)
    key, rows[0]["SPLIT"] = rows[0]["SUBDIRS"], "TEST"
    write_rows(project, rows)
    before = contents(project / "features.zarr")
    for command in (["extract"], ["plan", "--no-probe"]):
        refused = weldcache(*command, folder=project)
        assert refused.code == 2 and "--relabel" in refused.err
        assert f"{key}: split is train in the cache, test in the data" in refused.err
    assert contents(project / "features.zarr") == before
    taken_over = weldcache("extract", "--relabel", folder=project)
    assert taken_over.code == 0 and "1 weld is relabelled" in taken_over.err and key in taken_over.err
    assert {name for name, content in contents(project / "features.zarr").items() if before[name] != content} == {
        "splits/official/c/0",
        "splits/official/zarr.json",
    }
    assert FeatureStore.open(project / "features.zarr").index.parts[0] == "test"


def test_a_store_of_the_former_schema_is_brought_up_to_date_without_computing_anything(
    weldcache: Run, extracted: Path, copy_of: Callable[[Path], Path], contents: Contents
) -> None:
    project = copy_of(extracted)
    path = project / "features.zarr"
    before, store = contents(path), FeatureStore.open(path)
    for table in ("index", "targets", "splits"):
        shutil.rmtree(path / table)
    write_former_tables(open_root(path), store.index)
    store._describe(schema_version=3)
    assert "schema version 3" in weldcache("info", folder=project).out
    outcome = weldcache("extract", folder=project)
    assert outcome.code == 0 and "brought up to date" in outcome.err
    assert contents(path) == before


def test_a_weld_that_is_not_listed_any_more_takes_no_part_until_it_is_again(
    weldcache: Run,
    extracted: Path,
    copy_of: Callable[[Path], Path],
    contents: Contents,
    manifest_rows: Callable[[Path], list[dict[str, str]]],
    write_rows: Callable[..., None],
) -> None:
    project = copy_of(extracted)
    before, rows = contents(project / "features.zarr"), manifest_rows(project)
    key = rows[0]["SUBDIRS"]
    write_rows(project, rows[1:])
    outcome = weldcache("extract", folder=project)
    assert outcome.code == 0 and "1 weld is not in the data set any more" in outcome.err and key in outcome.err
    store = FeatureStore.open(project / "features.zarr")
    assert 0 not in store.rows("train", feature_sets=["video"]) and store.index.parts[0] == "left_out"
    assert "1 of them is left out" in weldcache("info", folder=project).out
    write_rows(project, rows)
    back = weldcache("extract", folder=project)
    assert back.code == 0 and "1 weld is listed again" in back.err and key in back.err
    assert contents(project / "features.zarr") == before


def test_a_data_set_of_which_nothing_is_there_is_a_sentence_before_anything_is_made(
    weldcache: Run, synthetic: Path, tmp_path: Path
) -> None:
    for name in ("manifest.csv", "weldcache.yaml"):
        shutil.copy(synthetic / name, tmp_path)
    before = sorted(tmp_path.iterdir())
    for command in (["extract"], ["extract", "--split", "val"], ["plan"]):
        outcome = weldcache(*command, folder=tmp_path)
        assert outcome.code == 2 and outcome.out == "" and len(outcome.err) < 500
        assert "Not one file is there" in outcome.err and "data.root" in outcome.err
        assert ("15 welds" if "val" in command else "38 welds") in outcome.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_modality_of_which_nothing_can_be_used_fails_the_run_and_mending_the_setting_mends_it(
    weldcache: Run, synthetic: Path, copy_of: Callable[[Path], Path]
) -> None:
    project = copy_of(synthetic)
    audio = ("--split", "val", "--set", "extract.features=[audio]")
    short = ("--set", "features.audio.max_seconds=0.1")
    failed = weldcache("extract", *audio, *short, folder=project)
    assert failed.code == 1 and "Not one weld has audio" in failed.err
    assert "15 welds, audio (unreadable)" in failed.out and failed.out.count("max_seconds") == 1
    planned = weldcache("plan", *audio, *short, folder=project)
    assert planned.code == 0 and "none could be read" in planned.err and "max_seconds" in planned.err
    # No row is lost by making the arrays anew in another shape, so nobody has to ask for it.
    assert weldcache("plan", "--no-probe", *audio, folder=project).code == 0
    mended = weldcache("extract", *audio, folder=project)
    assert mended.code == 0 and "audio: 15 complete" in mended.out


def test_two_first_extractions_at_once_are_one_and_a_sentence(
    weldcache: Run, synthetic: Path, copy_of: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_of(synthetic)
    create = FeatureStore.create

    def created_by_another(path: Path, **options: Any) -> FeatureStore:
        create(path, **options)
        return create(path, **options)

    monkeypatch.setattr(FeatureStore, "create", created_by_another)
    with contextlib.ExitStack() as held:

        def lock(path: Path) -> FeatureStore:
            held.enter_context(locked_folder(path))
            return FeatureStore(path, path, read_description(path / "zarr.json"), split="official", bucket=None)

        monkeypatch.setattr(FeatureStore, "open", lock)
        outcome = weldcache("extract", folder=project)
    assert outcome.code == 1 and "another process" in outcome.err and "features.zarr" in outcome.err


def test_a_split_that_the_data_lacks_is_refused(
    weldcache: Run,
    synthetic: Path,
    copy_of: Callable[[Path], Path],
    manifest_rows: Callable[[Path], list[dict[str, str]]],
    write_rows: Callable[..., None],
) -> None:
    project = copy_of(synthetic)
    write_rows(project, [row for row in manifest_rows(project) if row["SPLIT"] != "VAL"])
    outcome = weldcache("extract", "--split", "val", folder=project)
    assert outcome.code == 2 and "has no welds in the split val" in outcome.err
    planned = weldcache("plan", "--no-probe", folder=project)
    assert planned.code == 0 and "no normal weld in val" in planned.err
    assert not (project / "features.zarr").exists()


def test_something_else_in_the_caches_place_is_kept(
    weldcache: Run, synthetic: Path, copy_of: Callable[[Path], Path]
) -> None:
    project = copy_of(synthetic)
    (project / "features.zarr").mkdir()
    (project / "features.zarr/thesis.tex").write_text("mine")
    outcome = weldcache("extract", folder=project)
    assert outcome.code == 2 and "Traceback" not in outcome.err and "fault of weldcache" not in outcome.err
    assert (project / "features.zarr/thesis.tex").read_text() == "mine"


def test_folders_with_odd_names_are_only_names(
    weldcache: Run, extracted: Path, copy_of: Callable[[Path], Path]
) -> None:
    """Overrides are YAML, where 2024 is a number and `a: b` a mapping; a path is neither."""
    project = copy_of(extracted)
    for name in ("2024", "no", "a: b", "größe #1 {x}", 'quote"d'):
        (project / name).symlink_to(project / "features.zarr")
        outcome = weldcache("info", "--cache", name, "--json", folder=project)
        assert outcome.code == 0, outcome.err
        assert json.loads(outcome.raw_out)["path"] == str(project / name)
    (project / "1e3").symlink_to(project, target_is_directory=True)
    assert weldcache("extract", "--data", "1e3", folder=project).code == 0


def test_refresh_computes_what_has_changed_and_the_message_says_so(
    weldcache: Run, extracted: Path, copy_of: Callable[[Path], Path], weld_keys: Callable[..., list[str]]
) -> None:
    project = copy_of(extracted)
    first, second = weld_keys(project, "train")[:2]
    film = next((project / first).glob("*.avi"))
    film.write_bytes(next((project / second).glob("*.avi")).read_bytes())
    refused = weldcache("extract", folder=project)
    assert refused.code == 2 and f"{film.name} has other bytes" in refused.err and "--refresh" in refused.err
    done = weldcache("extract", "--refresh", folder=project)
    assert done.code == 0
    assert "video: 1 weld is computed again: their files have changed." in done.err
    assert "1 of 38 welds to do" in done.err
    store = FeatureStore.open(project / "features.zarr")
    one, other = store.read("video/tokens", [store.index.row_of()[key] for key in (first, second)])
    np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-3)


def test_before_it_starts_it_says_what_it_will_cost_in_three_lines(
    weldcache: Run, synthetic: Path, copy_of: Callable[[Path], Path]
) -> None:
    outcome = weldcache("extract", "--split", "test", folder=copy_of(synthetic), forecast=True)
    assert outcome.code == 0
    assert "15 of 15 welds to do" in outcome.err and "to write" in outcome.err and "free" in outcome.err
    assert (
        "Each weld: video" in outcome.err
        and "FLOP" in outcome.err
        and "Welds/s of each side alone: decode" in outcome.err
    )
    assert "Expected: about" in outcome.err and "the bottleneck is" in outcome.err
    assert "Busy: decode" in outcome.out and "The bottleneck is" in outcome.out
