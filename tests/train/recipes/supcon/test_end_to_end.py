"""The preset on real files: a split with all classes, training, judgement by the nearest training samples."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SMALL = ("recipe.width=32", "recipe.sensor_width=16", "recipe.sensor_layers=1", "recipe.sensor_stride=8")
TRAINED = ("train.epochs=3", "train.lr=1e-3")


@pytest.mark.slow
def test_the_commands_of_the_page(
    extracted: Path,
    copy_of: Callable[[Path], Path],
    weldcache: Callable[..., Any],
    facts_of: Callable[[Path], dict[str, Any]],
) -> None:
    project = copy_of(extracted)
    smaller = [argument for setting in (*SMALL, *TRAINED) for argument in ("--set", setting)]
    refused = weldcache("train", "--config", "supcon", "--set", "train.split=official", *smaller, folder=project)
    assert refused.code != 0 and "stratify" in refused.err
    for command in (
        ["split", "supervised", "--stratify", "class"],
        ["train", "--config", "supcon", "--run", "classes", *smaller],
        ["eval", "--run", "classes"],
    ):
        outcome = weldcache(*command, folder=project)
        assert outcome.code == 0, outcome.err
    run = project / "runs/classes"
    facts, report = facts_of(run / "report.json"), json.loads((run / "report.json").read_text())
    with (run / "scores_test.csv").open(newline="") as file:
        judged = list(csv.DictReader(file))
    assert facts["num_samples"] == len(judged) > 0
    assert {"by_class", "confusion", "modalities"} <= report["sections"].keys()
    dealt = {row["modality"] for row in report["sections"]["modalities"]["rows"]["by_modality"]}
    assert dealt == {"video", "image", "audio", "sensor"}
    shares = {row["modality"]: row["mean"] for row in report["sections"]["attention"]["rows"]["by_modality"]}
    assert shares.keys() == dealt and sum(shares.values()) == pytest.approx(1, abs=1e-5)
    assert report["sections"]["normal_or_not"]["facts"].keys() >= {"auroc", "ap"}
