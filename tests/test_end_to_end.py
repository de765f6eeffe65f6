"""From files to a report: honest figures, the same from the same seed, others from another."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from weldcache.tests.toy import undraw

Run = Callable[..., Any]
Facts = Callable[[Path], dict[str, Any]]


def report_of(project: Path, run: str = "first") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "runs" / run / "report.json").read_text())
    return found


def scores_of(project: Path, run: str = "first") -> list[dict[str, str]]:
    with (project / "runs" / run / "scores_test.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def losses_of(run: Path) -> list[dict[str, float]]:
    """A run's log without what depends on the machine's mood: the seconds, and the checksums over them."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if "second" not in name and name != "checksum"} for row in rows]


@pytest.fixture(scope="module")
def seeds(judged: Path, tmp_path_factory: pytest.TempPathFactory, weldcache: Run) -> Path:
    """The run `first` again, as `again`, and with another seed, as `other`."""
    project = Path(shutil.copytree(judged, tmp_path_factory.mktemp("seeds") / "project"))
    with pytest.MonkeyPatch.context() as patch:
        undraw(patch)
        for name, options in (("again", []), ("other", ["--set", "train.seed=1", "--set", "train.epochs=1"])):
            assert weldcache("train", "--run", name, *options, folder=project).code == 0
            assert weldcache("eval", "--run", name, folder=project).code == 0
    return project


def test_a_run_has_all_its_files(judged: Path) -> None:
    assert {path.name for path in (judged / "runs/first").iterdir()} == {
        "config.yaml",
        "manifest.json",
        "metrics.jsonl",
        "best.safetensors",
        "last.safetensors",
        "state.json",
        "calibration.json",
        "scores_test.csv",
        "samples_test.parquet",
        "report.html",
        "report.json",
    }


def test_the_same_seed_gives_the_same_scores_to_the_last_digit(seeds: Path) -> None:
    first, again = (seeds / "runs" / name for name in ("first", "again"))
    assert (first / "scores_test.csv").read_bytes() == (again / "scores_test.csv").read_bytes()
    assert losses_of(first) == losses_of(again)


def test_another_seed_gives_other_scores(seeds: Path) -> None:
    first, other = scores_of(seeds), scores_of(seeds, "other")
    assert [row["key"] for row in first] == [row["key"] for row in other]
    assert all(mine["score"] != theirs["score"] for mine, theirs in zip(first, other, strict=True))


def test_scores_are_those_of_the_test_welds(judged: Path, weld_keys: Callable[..., list[str]]) -> None:
    rows = scores_of(judged)
    assert [row["key"] for row in rows] == weld_keys(judged, "test")
    normals = {row["key"] for row in rows if row["label"] == "0"}
    assert normals == set(weld_keys(judged, "test", good=True))
    assert {row["split"] for row in rows} == {"test"}
    scores = np.array([float(row["score"]) for row in rows])
    assert np.isfinite(scores).all() and len(set(scores)) == len(scores)


def test_the_report_agrees_with_scikit_learn_on_the_scores(judged: Path, facts_of: Facts) -> None:
    report, facts, rows = report_of(judged), facts_of(judged / "runs/first/report.json"), scores_of(judged)
    labels = np.array([int(row["label"]) for row in rows])
    averaged, raw = (np.array([float(row[name]) for row in rows]) for name in ("score", "raw_weights_score"))
    assert facts["auroc"]["value"] == pytest.approx(roc_auc_score(labels, averaged), abs=1e-12)
    assert facts["raw_auroc"]["value"] == pytest.approx(roc_auc_score(labels, raw), abs=1e-12)
    assert facts["ap"] == pytest.approx(average_precision_score(labels, averaged), abs=1e-12)
    for result in report["sections"]["by_class"]["rows"]["by_class"]:
        chosen = np.array([row["label"] == "0" or row["class_name"] == result["class"] for row in rows])
        assert result["auroc"]["value"] == pytest.approx(roc_auc_score(labels[chosen], averaged[chosen]), abs=1e-12)
        assert result["num"] == sum(row["class_name"] == result["class"] for row in rows)
    false_alarms = averaged[labels == 0] > facts["threshold"]
    assert facts["achieved_fpr"]["value"] == pytest.approx(false_alarms.mean())


def test_the_report_has_what_it_must(judged: Path, facts_of: Facts) -> None:
    report, facts = report_of(judged), facts_of(judged / "runs/first/report.json")
    for name in ("auroc", "raw_auroc", "random_control", "media_free_control"):
        assert 0 <= facts[name]["low"] <= facts[name]["value"] <= facts[name]["high"] <= 1
    assert (facts["num_normal"], facts["num_defect"], facts["target_fpr"]) == (4, 11, 0.05)
    assert len(report["sections"]["by_class"]["rows"]["by_class"]) == 11
    assert report["weights"] == "ema"
    assert report["backbones_are_random"] is True
    provenance = report["provenance"]
    assert {"fingerprint", "settings", "versions", "seed", "command"} <= provenance.keys()
    assert provenance["command"] == "weldcache eval --run first"
    assert provenance["settings"]["train"]["epochs"] == 3


def test_the_report_says_of_which_features_it_speaks(judged: Path) -> None:
    manifest = json.loads((judged / "runs/first/manifest.json").read_text())
    store = json.loads((judged / "features.zarr/zarr.json").read_text())
    assert report_of(judged)["provenance"]["fingerprint"] == manifest["fingerprint"]
    assert manifest["cache"] == store["attributes"]["weldcache"]["manifest"]


def test_random_backbones_are_said_in_words_everywhere(
    judged: Path, weldcache: Run, copy_of: Callable[[Path], Path], undrawn: None
) -> None:
    project = copy_of(judged)
    words = "random-weight"
    assert words in weldcache("extract", folder=project).err
    assert words in weldcache("info", folder=project).out
    assert words in weldcache("eval", folder=project).out
    assert words in (project / "runs/first/report.html").read_text()


def test_scores_hang_on_what_is_in_the_files(
    judged: Path, weldcache: Run, copy_of: Callable[[Path], Path], undrawn: None
) -> None:
    """Every weld with the film of another: every score changes."""
    project = copy_of(judged)
    donors = {path.parent: path for path in judged.glob("*/*/*.avi")}
    films = sorted(donors.values())
    for folder, film in zip(sorted(donors), films[1:] + films[:1], strict=True):
        shutil.copy(film, project / folder.relative_to(judged) / f"{folder.name}.avi")
    assert weldcache("extract", "--refresh", folder=project).code == 0
    assert weldcache("eval", "--run", "first", folder=project).code == 0
    pairs = zip(scores_of(judged), scores_of(project), strict=True)
    assert all(mine["key"] == theirs["key"] and mine["score"] != theirs["score"] for mine, theirs in pairs)
