"""A list of classifiers: compared by accuracy, beside always answering the most frequent class."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.errors import SettingsError
from weldcache.evaluate.trials.bench import Bench
from weldcache.evaluate.trials.variant_list import VariantList
from weldcache.metrics.repeats import mean_share, mean_share_difference

PROBES: dict[str, object] = {"plain": {}, "balanced": {"set": {"recipe.class_weights": "balanced"}}}
SET = {"recipe.name": "linear_probe", "recipe.array": "sensor/values", "train.task": "classification", "train.lr": 0.1}


@pytest.fixture
def project(project: Path) -> Path:
    """Without settings of a recipe of its own."""
    settings = project / "weldcache.yaml"
    text = settings.read_text()
    settings.write_text(text[: text.index("recipe:")] + text[text.index("train:") :])
    return project


def right(folder: Path) -> np.ndarray:
    with (folder / "scores_test.csv").open(newline="") as file:
        return np.array([row["predicted"] == row["class_name"] for row in csv.DictReader(file)])


def test_two_probes_are_compared_by_accuracy(
    run_bench: Callable[..., Bench],
    write_list: Callable[..., VariantList],
    project: Path,
    weldcache: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = run_bench(write_list(PROBES, set=SET), keep_weights=True)
    assert found.complete and "seed 1: test accuracy" in capsys.readouterr().err
    plain, balanced = (
        np.stack([right(found.folder / f"{name}-seed{seed}") for seed in (0, 1)]) for name in ("plain", "balanced")
    )
    (document,) = json.loads((found.folder / "table_test.json").read_text())["leaderboards"]
    first, second = (each for name in PROBES for each in document["variants"] if each["name"] == name)
    control = first["accuracy"]["value"] - document["majority_accuracy"]["value"]
    assert document["rival"] == "majority" and first["beside_rival"]["difference"]["value"] == pytest.approx(control)
    day = ["day"] * plain.shape[1]  # all of the toy's samples are of one group
    assert first["accuracy"] == vars(mean_share(plain, groups=day)) and first["by_seed"] == plain.mean(axis=1).tolist()
    assert second["difference"] == vars(mean_share_difference(balanced, plain, groups=day))
    assert 0 < first["macro_f1"] <= 1 and 0 < first["val_accuracy"] <= 1 and "auroc" not in first
    assert document["num_samples"] == plain.shape[1] and document["majority_accuracy"]["value"] == 14 / 30
    notes = " ".join(document["notes"])
    assert "always answering good" in notes and "accuracies" in notes and "AUROC" not in document["method"]
    head = (found.folder / "table_test.md").read_text().split("\n")[2]
    assert "test accuracy" in head and "test macro F1" in head and "AUROC" not in head
    rows = csv.DictReader((found.folder / "table_test.csv").read_text().splitlines())
    (row,) = (row for row in rows if row["variant"] == first["name"])
    assert float(row["accuracy"]) == first["accuracy"]["value"] and float(row["macro_f1"]) == first["macro_f1"]

    # One is judged, and listed beside a detector with figures of its own.
    setting = ("--set", "runs.folder=runs/mine")
    assert weldcache("eval", "--run", "plain-seed0", *setting, folder=project).code == 0
    detector = ("--set", "recipe.name=nearest", "--set", "recipe.array=sensor/values")
    assert weldcache("train", "--run", "detector", *detector, *setting, folder=project).code == 0
    assert weldcache("eval", "--run", "detector", *setting, folder=project).code == 0
    listed = json.loads(weldcache("runs", "list", "--json", *setting, folder=project).raw_out)["runs"]
    by_name = {entry["name"]: entry for entry in listed}
    assert by_name["plain-seed0"]["test_accuracy"]["value"] == first["by_seed"][0]
    assert "test_auroc" not in by_name["plain-seed0"] and "test_accuracy" not in by_name["detector"]
    assert by_name["balanced-seed0"]["test_accuracy"] is None
    shown = weldcache("runs", "list", *setting, folder=project).out
    assert f"accuracy {first['by_seed'][0]:.3f} (control 0.467)" in shown and "macro F1" in shown and "AUROC" in shown
    compared = weldcache("compare", "plain-seed0", "detector", *setting, "--json", folder=project)
    assert compared.code == 2 and "classification" in compared.err and "anomaly" in compared.err
    figures = json.loads(compared.raw_out)["figures"]
    assert figures["test_accuracy"][0] and figures["test_accuracy"][1] is None and figures["test_auroc"][0] is None
    both = weldcache("compare", "plain-seed0", "balanced-seed0", *setting, "--json", folder=project)
    ranking = {each["run"]: each["figure"]["value"] for each in json.loads(both.raw_out)["paired"]["ranking"]}
    assert ranking == {"plain-seed0": plain.mean(axis=1)[0], "balanced-seed0": balanced.mean(axis=1)[0]}
    assert json.loads(both.raw_out)["paired"]["scored_now"] == []  # a bench writes scores, too
    page = weldcache("runs", "show", "plain-seed0", *setting, folder=project).out
    assert "macro F1" in page and "AUROC" not in page


def test_variants_of_two_tasks_have_no_table(
    run_bench: Callable[..., Bench], write_list: Callable[..., VariantList], project: Path
) -> None:
    variants = write_list({"probe": {"set": SET}, "near": {"set": {"recipe.name": "nearest"}}})
    with pytest.raises(SettingsError, match=r"classification: probe; anomaly: near"):
        run_bench(variants)
    assert not (project / "runs").exists()


def test_a_probe_that_is_trained_for_anomalies_is_not_tried(
    run_bench: Callable[..., Bench], write_list: Callable[..., VariantList]
) -> None:
    found = run_bench(write_list(PROBES, set={**SET, "train.task": "anomaly"}))
    assert not found.complete and "train.task=classification" in " ".join(found.document["leaderboards"][0]["notes"])
