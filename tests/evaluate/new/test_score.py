"""New samples, in no store and without a label, are scored as `eval` scores them: from tables, folders and files."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache import api
from weldcache.errors import FingerprintError, NotFoundError, SettingsError
from weldcache.evaluate.new import scorer
from weldcache.evaluate.tasks.anomaly.judge import AnomalyJudge
from weldcache.progress import Progress
from weldcache.tests.evaluate.new.conftest import Row, Run

COMPARED = ("score", "alarm", "lacks", "scale", "threshold", "p_value", "adjusted_p_value")


def _judged(project: Path, run: str) -> dict[str, Row]:
    """What `eval` says of each test sample."""
    with (project / "runs" / run / "scores_test.csv").open(newline="") as file:
        return {row["key"]: row for row in csv.DictReader(file)}


def _rows(outcome: Any) -> list[Row]:
    return list(csv.DictReader(outcome.raw_out.splitlines()))


@pytest.mark.parametrize("run", ["joined", "numbers", "looks", "fused"])
def test_scores_are_those_of_eval_to_the_last_bit(weldcache: Run, parts: Path, table: Path, run: str) -> None:
    outcome = weldcache("score", str(table), "--run", run, folder=parts)
    rows, judged = _rows(outcome), _judged(parts, run)
    failed = [row for row in rows if row["problem"]]
    assert [row["key"] for row in rows if not row["problem"]] == list(judged)
    members = [name for name in rows[0] if name.startswith("member_")]
    assert len(rows) == 11 and outcome.code == bool(failed), outcome.err
    assert len(members) == (2 if run in ("joined", "fused") else 0)
    for row in rows:
        if not row["problem"]:
            assert [row[name] for name in (*COMPARED, *members)] == [
                judged[row["key"]][name] for name in (*COMPARED, *members)
            ]
            if run == "fused":  # which puts them together as they are told
                assert float(row["score"]) == pytest.approx(np.mean([float(row[name]) for name in members]), rel=1e-5)
    if run == "joined":
        assert not failed and {row["lacks"] for row in rows} == {"", "image", "spectrum"}
        assert {row["scale"] for row in rows} == {"whole", "rescaled"}


def test_a_modality_s_part_is_what_the_score_loses_without_it(weldcache: Run, parts: Path, table: Path) -> None:
    rows = _rows(weldcache("score", str(table), "--run", "joined", folder=parts))
    for row in rows:
        whole = [row["contribution_image"], row["contribution_spectrum"]]
        assert ("" in whole) == bool(row["lacks"]) and (not row["lacks"] or whole == ["", ""])
        assert (row["member_looks"] == "") == (row["lacks"] == "image")
    stained = max(rows, key=lambda row: float(row["contribution_image"] or 0))
    assert stained["alarm"] == "1" and float(stained["member_looks"]) > float(stained["member_numbers"])


def test_classes_are_told_with_their_probabilities(weldcache: Run, parts: Path, table: Path) -> None:
    outcome, judged = weldcache("score", str(table), "--run", "classes", folder=parts), _judged(parts, "classes")
    for row in _rows(outcome):
        assert bool(row["problem"]) == (row["key"] not in judged)
        if not row["problem"]:
            assert [row["class"], row["confidence"]] == [
                judged[row["key"]][name] for name in ("predicted", "confidence")
            ]
            shares = {name: float(row[f"probability_{name}"]) for name in ("good", "crack")}
            assert sum(shares.values()) == pytest.approx(1) and max(shares, key=shares.__getitem__) == row["class"]


def test_scores_go_to_a_file_and_alarms_to_the_exit_status(
    weldcache: Run, parts: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.jsonl"
    command = ["score", str(table), "--run", "joined", "--out", str(out), "--fail-on-alarm"]
    outcome = weldcache(*command, folder=parts)
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert outcome.code == 3 and outcome.out == "" and "11 parts scored, 4 alarms" in outcome.err
    assert sum(each["alarm"] for each in told) == 4 and told[2]["contribution_image"] is None and told[2]["notes"]
    assert weldcache(*command, folder=parts).code == 2  # it is there
    folder = ["score", str(table), "--run", "joined", "--out", str(tmp_path), "--overwrite"]
    assert "folder" in weldcache(*folder, folder=parts).err
    document = json.loads(weldcache("score", str(table), "--run", "joined", "--json", folder=parts).raw_out)
    assert document["samples"] == told and (document["num_scored"], document["num_alarms"]) == (11, 4)
    in_file = weldcache(*command, "--overwrite", "--json", folder=parts)
    assert in_file.code == 3 and json.loads(in_file.raw_out)["out"] == str(out)
    assert "--out" in weldcache("score", "parts", "--run", "joined", "--watch", "--json", folder=parts).err


def test_a_notebook_gets_the_same(parts: Path, table: Path, weldcache: Run) -> None:
    run = api.load_run("joined", settings=api.load_settings(folder=parts))
    scored, judged = api.score(run, table), _judged(parts, "joined")
    assert scored.index.tolist() == list(judged)
    assert scored["score"].tolist() == [float(row["score"]) for row in judged.values()]
    with pytest.raises(NotFoundError, match="nowhere"):
        api.score(run, "nowhere.csv")
    with pytest.raises(FingerprintError, match=r"decoding.crop"):
        api.score(run, table, changes={"features.image.crop": [0.0, 0.0, 0.5, 0.5]})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--set", "features.image.size=32"], "the run was trained on|was trained on other features.*size"),
        (["--set", "extract.demo_seed=1"], "was trained on other features.*weights"),
        (["--set", "features.image.model=/nowhere"], "/nowhere"),
        (["--set", "features={image: null}"], "image"),
    ],
)
def test_what_would_make_other_features_is_refused(
    weldcache: Run, parts: Path, table: Path, options: list[str], told: str
) -> None:
    outcome = weldcache("score", str(table), "--run", "joined", *options, folder=parts)
    assert outcome.code == 2 and outcome.raw_out == "" and outcome.err, outcome.err
    assert re.search(told, outcome.err), outcome.err


def test_what_would_need_another_calibration_is_refused(weldcache: Run, parts: Path, table: Path) -> None:
    command = ["score", str(table), "--run", "joined", "--set"]
    outcome = weldcache(*command, "evaluate.target_fpr=0.01", folder=parts)
    assert outcome.code == 2 and outcome.raw_out == ""
    assert all(told in outcome.err for told in ("evaluate.target_fpr=0.01", "weldcache eval joined", "train"))
    assert weldcache(*command, "evaluate.media=none", folder=parts).code == 0  # which changes no score
    run = api.load_run("joined", settings=api.load_settings(folder=parts))
    with pytest.raises(SettingsError, match=r"evaluate\.target_fpr=0\.2"):
        api.score(run, table, changes={"evaluate.target_fpr": 0.2})


def test_a_run_without_a_calibration_gives_scores_alone(
    weldcache: Run, parts: Path, table: Path, runs_of: Callable[[Path], Path]
) -> None:
    folder = runs_of(parts)
    (folder / "runs" / "joined" / "calibration.json").unlink()
    outcome = weldcache("score", str(table), "--run", "joined", folder=folder)
    rows, judged = _rows(outcome), _judged(parts, "joined")
    assert outcome.code == 0 and "keeps no calibration" in outcome.err
    assert "no threshold for alarms" in outcome.err and "0 alarms" not in outcome.err
    assert {row[name] for row in rows for name in ("alarm", "threshold", "p_value", "adjusted_p_value")} == {""}
    assert {row["scale"] for row in rows} == {"whole", "own"}
    assert all(row["score"] == judged[row["key"]]["score"] for row in rows if row["scale"] == "whole")
    outcome = weldcache("score", str(table), "--run", "joined", "--fail-on-alarm", folder=folder)
    assert outcome.code == 2 and "--fail-on-alarm" in outcome.err and outcome.raw_out == ""


def test_a_data_set_s_folder_and_single_pictures_are_scored_alike(weldcache: Run, parts: Path) -> None:
    judged = _judged(parts, "pictures")
    command = ["score", "--run", "pictures"]
    whole = {row["key"]: row for row in _rows(weldcache(*command, "pictures", folder=parts))}
    assert judged.keys() < whole.keys()
    keys = list(judged)[:3]
    files = _rows(weldcache(*command, *(f"pictures/{key}" for key in keys), folder=parts))
    assert [row["key"] for row in files] == [Path(key).name for key in keys]
    (single,) = _rows(weldcache(*command, f"pictures/{keys[0]}", folder=parts))
    for key, row in zip(keys, files, strict=True):
        assert float(row["score"]) == pytest.approx(float(judged[key]["score"]), rel=1e-3)
        assert float(whole[key]["score"]) == pytest.approx(float(judged[key]["score"]), rel=1e-3)
    assert float(single["score"]) == pytest.approx(float(files[0]["score"]), rel=1e-3)


def test_what_is_no_picture_and_what_cannot_be_decoded_are_told(weldcache: Run, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("hello")
    shutil.copy(next((parts / "pictures/test").rglob("*.png")), tmp_path / "=whole.png")
    outcome = weldcache("score", str(tmp_path), "--run", "pictures", folder=parts)
    assert outcome.code == 1 and "notes.txt" in outcome.err and "1 picture could not be scored" in outcome.err
    whole, broken = _rows(outcome)
    assert whole["key"] == "'=whole.png" and whole["score"] and not whole["problem"]
    assert broken["key"] == "broken.png" and broken["score"] == "" and "broken.png" in broken["problem"]
    for wrong in (tmp_path / "notes.txt", tmp_path / "nowhere"):
        assert weldcache("score", str(wrong), "--run", "pictures", folder=parts).code == 2


@pytest.mark.slow
def test_recordings_are_scored_as_eval_does_from_a_manifest_of_folders(
    weldcache: Run, judged: Path, weld_keys: Callable[..., list[str]], tmp_path: Path
) -> None:
    project, inbox, keys = tmp_path / "project", tmp_path / "inbox", weld_keys(judged, "test")
    shutil.copytree(judged / "runs", project / "runs")
    (project / "demo_backbones").symlink_to(judged / "demo_backbones")
    for key in keys:
        (inbox / key).parent.mkdir(parents=True, exist_ok=True)
        (inbox / key).symlink_to(judged / key)
    (inbox / "manifest.csv").write_text("SUBDIRS\n" + "".join(f"{key}\n" for key in keys))
    rows = _rows(weldcache("score", "../inbox", "--run", "first", folder=project))
    judged_rows = _judged(judged, "first")
    assert [row["key"] for row in rows] == list(judged_rows)
    assert all(row[name] == judged_rows[row["key"]][name] for row in rows for name in COMPARED)
    (single,) = _rows(weldcache("score", f"../inbox/{keys[0]}", "--run", "first", folder=project))
    assert float(single["score"]) == pytest.approx(float(rows[0]["score"]), rel=1e-3)


def test_a_score_that_is_no_number_costs_its_sample_alone(
    weldcache: Run, parts: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = scorer.score_in_ways

    def spoiled(*given: Any) -> Any:
        found = scored(*given)
        for scores in found.values():
            scores[:] = np.where(scores == first, np.nan, scores)
        return found

    rows = _rows(weldcache("score", str(table), "--run", "joined", folder=parts))
    first = float(rows[1]["score"])
    monkeypatch.setattr(scorer, "score_in_ways", spoiled)
    outcome = weldcache("score", str(table), "--run", "joined", folder=parts)
    again = _rows(outcome)
    assert outcome.code == 1 and [bool(row["problem"]) for row in again] == [place == 1 for place in range(len(rows))]
    assert [row["score"] for row in again if not row["problem"]] == [
        rows[place]["score"] for place in (0, *range(2, 11))
    ]


def test_a_calibration_of_other_weights_is_not_used(
    weldcache: Run, parts: Path, table: Path, runs_of: Callable[[Path], Path]
) -> None:
    folder = runs_of(parts)
    run = api.load_run("joined", settings=api.load_settings(folder=folder))
    kept = run.folder.read(run.folder.calibration_path, AnomalyJudge().kept_as)
    run.folder.write(run.folder.calibration_path, {**kept, "rests_on": {**kept["rests_on"], "epoch": 7}})
    outcome = weldcache("score", str(table), "--run", "joined", folder=folder)
    assert outcome.code == 0 and "other weights" in outcome.err and {row["alarm"] for row in _rows(outcome)} == {""}


def test_other_versions_of_libraries_are_told_and_do_not_stop(
    weldcache: Run, parts: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weldcache.extract.features.kind.library_versions", lambda _: {"python": "3", "numpy": "9.9"})
    outcome = weldcache("score", str(table), "--run", "joined", folder=parts)
    assert outcome.code == 0 and "9.9 here" in outcome.err
    assert [row["score"] for row in _rows(outcome)] == [row["score"] for row in _judged(parts, "joined").values()]


def test_ctrl_c_keeps_what_was_scored_beside_the_file_that_it_did_not_become(
    weldcache: Run, parts: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: Progress, *_: Any, **__: Any) -> None:
        counted.append(progress)
        if len(counted) == 3:
            raise KeyboardInterrupt

    counted: list[Progress] = []
    monkeypatch.setattr(Progress, "advance", interrupt)
    out = tmp_path / "scores.csv"
    outcome = weldcache("score", str(table), "--run", "joined", "--out", str(out), folder=parts)
    assert outcome.code == 130 and "scores.interrupted.csv" in outcome.err and not out.exists()
    with (tmp_path / "scores.interrupted.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    judged = _judged(parts, "joined")
    assert [row["p_value"] for row in rows] == [row["p_value"] for row in list(judged.values())[:3]]
    assert {row["adjusted_p_value"] for row in rows} == {""}
    monkeypatch.setattr(Progress, "advance", interrupt)
    counted.clear()
    assert weldcache("score", str(table), "--run", "joined", folder=parts).raw_out.count("\n") == 1 + 3
