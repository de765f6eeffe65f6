"""New samples, in no store and without a label, are scored as `eval` scores them: from tables, folders and files."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from weldcache import api
from weldcache.errors import FingerprintError, NotFoundError, SettingsError
from weldcache.evaluate import new_samples
from weldcache.evaluate.score_lines import Tally
from weldcache.evaluate.tasks.anomaly.judge import AnomalyJudge
from weldcache.evaluate.watch import Arrivals, WatchState, watch_folder
from weldcache.extract.sources.source import Sample
from weldcache.tests.toy import undraw

Run = Callable[..., Any]
Row = dict[str, str]

SETTINGS = """\
data:
  source: table
  root: .
  noun: part
  split: fold
  class_name: kind
  streams: {image: photo}
  vectors: {spectrum: ["s*"]}
features:
  image: {kind: photographs, model: demo, blocks: [2], size: 64, num_views: 1}
  spectrum: {kind: vector, stream: spectrum, size: 3}
extract: {features: [image, spectrum], device: cpu, workers: 0}
train: {device: cpu, batch_size: 5}
recipe:
  name: match_fusion
  folds: 2
  members:
    looks: {name: gaussian, array: image/block_2/mean}
    numbers: {name: gaussian, array: spectrum/values}
"""
PICTURES = """\
data: {source: folder, root: pictures, val_fraction: 0.3}
cache: {path: pictures.zarr}
extract: {features: [image]}
recipe: {name: nearest, array: image/block_2/mean}
"""
GAUSSIAN = ["--set", "recipe.name=gaussian", "--set", "recipe.array=spectrum/values"]
NEAREST = ["--set", "recipe.name=nearest", "--set", "recipe.array=image/block_2/mean"]
PROBE = ["--set", "recipe.name=linear_probe", "--set", "recipe.array=spectrum/values"]
COLUMNS = ("id", "photo", "s1", "s2", "s3")
COMPARED = ("score", "alarm", "lacks", "scale", "threshold", "p_value")


def _write(path: Path, rows: list[Row], columns: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["key", *columns[1:]], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _parts(folder: Path) -> list[Row]:
    """Forty parts with a picture and three numbers each, of which the test part lacks some."""
    generator = np.random.default_rng(0)
    (folder / "pictures").mkdir(parents=True)
    rows = []
    for number in range(40):
        fold = "train" if number < 14 else "val" if number < 29 else "test"
        is_defect = (number >= 29 and number % 3 == 0) or number in (15, 18)
        picture = 120 + 40 * np.sin(np.arange(32) / 5)[:, None, None] + generator.normal(0, 6, (32, 32, 3))
        if is_defect:
            picture[8:20, 8:20] = 10
        assert cv2.imwrite(str(folder / f"pictures/{number}.png"), picture.clip(0, 255).astype(np.uint8))
        numbers = generator.normal(2.0 * is_defect, 1, 3).round(3).tolist()
        photo = "" if number in (31, 33) else f"pictures/{number}.png"
        values = ("", *numbers[1:]) if number in (32, 36) else numbers
        kind = "crack" if is_defect else "good"
        rows.append(
            {"key": f"p{number}", "fold": fold, "kind": kind, "photo": photo}
            | {f"s{place + 1}": str(value) for place, value in enumerate(values)}
        )
        place = folder / "pictures" / ("test" if fold == "test" else "train") / kind / f"{number}.png"
        if fold == "test" or not is_defect:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(folder / f"pictures/{number}.png", place)
            rows[-1]["photo"] = photo and str(place.relative_to(folder))
    return rows


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, weldcache: Run) -> Path:
    """A project with runs of several recipes, judged on test, and without its store. Not to be changed."""
    folder = tmp_path_factory.mktemp("scored") / "parts"
    _write(folder / "table.csv", _parts(folder), ("id", "fold", "kind", *COLUMNS[1:]))
    (folder / "weldcache.yaml").write_text(SETTINGS)
    (folder / "pictures.yaml").write_text(PICTURES)
    pictures = ["--config", "pictures.yaml"]
    classes = ["--set", "train.task=classification"]
    for command in (
        ["extract"],
        ["train", "--run", "joined"],
        ["train", "--run", "numbers", *GAUSSIAN],
        ["train", "--run", "looks", *NEAREST],
        ["train", "--run", "classes", *PROBE, *classes],
        ["fuse", "--run", "fused", "numbers", "looks"],
        ["extract", *pictures],
        ["train", "--run", "pictures", *pictures],
        *(["eval", "--run", run] for run in ("joined", "numbers", "looks", "classes", "fused", "pictures")),
    ):
        with pytest.MonkeyPatch.context() as patch:
            undraw(patch)
            outcome = weldcache(*command, folder=folder)
        assert outcome.code == 0, outcome.err
    for store in folder.glob("*.zarr"):
        shutil.rmtree(store)
    return folder


@pytest.fixture
def table(parts: Path) -> Path:
    """The test parts alone, with nothing said of them."""
    with (parts / "table.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["fold"] == "test"]
    return _write(parts / "new.csv", rows)


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
    assert len(rows) == 11 and outcome.code == bool(failed), outcome.err
    for row in rows:
        if not row["problem"]:
            assert [row[name] for name in COMPARED] == [judged[row["key"]][name] for name in COMPARED]
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
    assert weldcache(*command, "--overwrite", folder=parts).code == 3
    assert weldcache("score", str(table), "--run", "joined", folder=parts).code == 0


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
    assert all(told in outcome.err for told in ("evaluate.target_fpr=0.01", "weldcache eval --run joined", "train"))
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
    assert (
        {row["alarm"] for row in rows} == {row["threshold"] for row in rows} == {row["p_value"] for row in rows} == {""}
    )
    assert {row["scale"] for row in rows} == {"whole", "own"}
    assert all(row["score"] == judged[row["key"]]["score"] for row in rows if row["scale"] == "whole")


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


class Looks:
    """Between two looks into a folder something arrives, and after all arrivals somebody presses Ctrl-C."""

    def __init__(self, *arrivals: Callable[[], object]) -> None:
        self._arrivals = iter(arrivals)

    def __call__(self, seconds: float) -> None:
        arrival = next(self._arrivals, None)
        if arrival is None:
            raise KeyboardInterrupt
        arrival()


def _nothing() -> None:
    return


def test_a_watched_folder_is_scored_as_it_fills_and_each_sample_once(parts: Path, tmp_path: Path) -> None:
    run = api.load_run("pictures", settings=api.load_settings(folder=parts))
    good, other = sorted((parts / "pictures/test").rglob("*.png"))[:2]
    folder, state = tmp_path / "inbox", tmp_path / "state.jsonl"
    folder.mkdir()

    def watched(*arrivals: Callable[[], object]) -> tuple[list[str], Tally]:
        told: list[str] = []
        tally = watch_folder(
            run,
            folder,
            settings=run.settings,
            emit=lambda scored: told.append(scored.sample.key),
            state=WatchState(state, run=run),
            every=1.0,
            patience=2.0,
            sleep=Looks(*arrivals),
        )
        return told, tally

    def half() -> None:
        (folder / "a.png").write_bytes(good.read_bytes()[:50])

    def whole() -> None:
        (folder / "a.png").write_bytes(good.read_bytes())

    told, tally = watched(half, whole, _nothing, lambda: shutil.copy(other, folder / "b.png"), _nothing, _nothing)
    assert told == ["a.png", "b.png"] and (tally.num_scored, tally.num_failed) == (2, 0)
    with state.open("a") as file:
        file.write('{"key": "cut sh')  # by a kill
    assert watched(_nothing, _nothing)[0] == []
    assert watched(lambda: shutil.copy(good, folder / "c.png"), _nothing)[0] == ["c.png"]
    assert watched(lambda: shutil.copy(good, folder / "b.png"), _nothing)[0] == ["b.png"]  # other contents
    other_run = api.load_run("looks", settings=api.load_settings(folder=parts))
    assert len(WatchState(state, run=other_run)) == 0
    state.write_text("[]")
    with pytest.raises(SettingsError, match="state"):
        WatchState(state, run=run)


def test_what_lacks_something_is_waited_for(tmp_path: Path, parts: Path) -> None:
    run = api.load_run("joined", settings=api.load_settings(folder=parts))
    (tmp_path / "film").touch()
    (tmp_path / "sound").touch()
    film, sound = (tmp_path / "film",), (tmp_path / "sound",)
    whole, half, none = (
        Sample(key=key, split="test", group=key, files=files)
        for key, files in (("whole", {"film": film, "sound": sound}), ("half", {"film": film}), ("none", {}))
    )
    arrivals = Arrivals(WatchState(tmp_path / "state", run=run), looks=3)
    ready = [
        [sample.key for _, sample in arrivals.ready([whole, half, none], streams={"film", "sound"})] for _ in "1234"
    ]
    assert ready == [[], ["whole"], ["whole"], ["whole", "half"]]


def test_a_watched_folder_is_the_same_however_it_is_called(
    tmp_path: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = api.load_run("joined", settings=api.load_settings(folder=parts))
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/film").touch()
    (tmp_path / "link").symlink_to("inbox")
    monkeypatch.chdir(tmp_path)
    ready = []
    for folder in (Path("inbox"), tmp_path / "inbox", Path("inbox/../inbox"), Path("link")):
        state = WatchState(tmp_path / "state", run=run)
        sample = Sample(key="a", split="test", group="a", files={"film": (folder / "film",)})
        arrivals = Arrivals(state, looks=1)
        for stamp, arrived in [
            *arrivals.ready([sample], streams={"film"}),
            *arrivals.ready([sample], streams={"film"}),
        ]:
            state.add(arrived.key, stamp)
            ready.append(folder)
    assert ready == [Path("inbox")]


def test_the_command_that_watches_goes_on_with_its_file(
    weldcache: Run, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, inbox, out = next((parts / "pictures/test").rglob("*.png")), tmp_path / "inbox", tmp_path / "scores.csv"
    inbox.mkdir()
    command = ["score", str(inbox), "--run", "pictures", "--watch", "--out", str(out)]
    for name in ("a.png", "b.png"):
        shutil.copy(picture, inbox / name)
        monkeypatch.setattr("weldcache.evaluate.score.sleep", Looks(_nothing, _nothing))
        outcome = weldcache(*command, folder=parts)
        assert outcome.code == 0 and "1 picture scored" in outcome.err, outcome.err
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == ["a.png", "b.png"] and rows[0]["score"]
    assert weldcache(*command, str(inbox), folder=parts).code == 2


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
    scored = new_samples.score_in_ways

    def spoiled(*given: Any) -> Any:
        found = scored(*given)
        for scores in found.values():
            scores[:] = np.where(scores == first, np.nan, scores)
        return found

    rows = _rows(weldcache("score", str(table), "--run", "joined", folder=parts))
    first = float(rows[1]["score"])
    monkeypatch.setattr(new_samples, "score_in_ways", spoiled)
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
