"""Synthetic data whose settings and sessions give the defects away, through every command: the controls fire; and on
data without that they do not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from weldcache.extract.sources.welds.synth.pipeline import generate
from weldcache.extract.sources.welds.synth.plan import DEFECTS_ALIKE, MediaSize, class_counts, plan_for_size

SETTINGS = """
extract: {device: cpu, workers: 0, features: [sensor]}
train: {device: cpu}
recipe: {name: nearest, array: sensor/values}
"""


def _judged(folder: Path, weldcache: Callable[..., Any], *, confounded: bool) -> dict[str, Any]:
    plan = replace(
        plan_for_size("tiny", confounded=confounded),
        train=class_counts(good=30, defects=0, mix=DEFECTS_ALIKE),
        val=class_counts(good=24, defects=22, mix=DEFECTS_ALIKE),
        test=class_counts(good=24, defects=33, mix=DEFECTS_ALIKE),
        media=MediaSize(64, 40, 120, 54, 1.0, 1.3),  # of which the sensors alone are read
    )
    generate(folder, plan=plan, workers=1, preset="demo-random")
    with (folder / "weldcache.yaml").open("a") as file:
        file.write(SETTINGS)
    for command in (["extract"], ["train", "--run", "first"], ["eval", "--run", "first"]):
        outcome = weldcache(*command, folder=folder)
        assert outcome.code == 0, outcome.err
    found: dict[str, Any] = json.loads((folder / "runs/first/report.json").read_text())["sections"]
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_the_controls_fire_where_the_data_give_the_answer_away(tmp_path: Path, weldcache: Callable[..., Any]) -> None:
    confounded, plain = (_judged(tmp_path / name, weldcache, confounded=name == "yes") for name in ("yes", "no"))
    beside = {row["control"]: row for row in confounded["controls"]["rows"]["by_control"]}
    told = " ".join([confounded["verdict"]["title"], *confounded["verdict"]["note"], *confounded["verdict"]["points"]])
    for name in ("media-free control", "group-only control", "attribute-rule control"):
        assert beside[name]["auroc"]["low"] > 0.6 and name in told
    assert "defect where" in beside["attribute-rule control"]["note"]
    assert confounded["verdict"]["standing"] in ("bad", "doubtful")
    beside = {row["control"]: row for row in plain["controls"]["rows"]["by_control"]}
    assert abs(beside["media-free control"]["auroc"]["value"] - 0.5) < 0.2
    assert "media-free control" not in " ".join(plain["verdict"]["points"])
