"""What `weldcache synth --plant` plants, the audit finds."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from weldcache.errors import SettingsError
from weldcache.evaluate.audit.audit import audit
from weldcache.extract.sources.welds.synth.mistakes import with_mistakes
from weldcache.extract.sources.welds.synth.pipeline import generate
from weldcache.extract.sources.welds.synth.plan import MISTAKES, MediaSize, SynthPlan, plan_for_size
from weldcache.extract.sources.welds.synth.roster import list_welds
from weldcache.settings import load_settings

FEW = replace(
    plan_for_size("tiny", seed=3),
    train={"00": 4},
    val={"00": 5, "03": 5},
    test={"00": 8, "03": 8},
    media=MediaSize(64, 40, 240, 108, 1.0, 1.3),
)


def findings_of(plan: SynthPlan, folder: Path) -> dict[str, str]:
    generate(folder, plan=plan, workers=1, preset="demo-random")
    found = audit(load_settings(folder=folder)).findings
    return {finding.check: finding.severity for finding in found if finding.severity != "note"}


@pytest.mark.slow
def test_without_mistakes_nothing_is_found(tmp_path: Path) -> None:
    assert findings_of(FEW, tmp_path / "data") == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistakes", "checks"),
    [
        (
            ("duplicate", "group-in-two-parts", "label-in-attribute"),
            {"files": "error", "groups": "error", "attributes": "error"},
        ),
        (("val-is-test", "code-in-picture"), {"files": "error", "codes": "warning"}),
        (("one-class-test",), {"kinds": "error"}),
    ],
)
def test_what_is_planted_is_found(mistakes: tuple[str, ...], checks: dict[str, str], tmp_path: Path) -> None:
    found = findings_of(replace(FEW, plant=mistakes), tmp_path / "data")
    assert found.items() >= checks.items(), found


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_changes_no_name_and_a_plan_without_has_none(name: str) -> None:
    plan = plan_for_size("tiny")
    welds = list_welds(plan)
    assert with_mistakes(welds, plan=plan) == welds and "plant" not in plan.to_json()
    made = with_mistakes(welds, plan=replace(plan, plant=(name,)))
    assert {weld.run for weld in made} <= {weld.run for weld in welds}
    assert len({weld.key for weld in made}) == len(made)
    assert (made != welds) is (name != "code-in-picture")


def test_a_mistake_that_there_is_not() -> None:
    with pytest.raises(SettingsError, match="duplicate"):
        replace(FEW, plant=("duplicates",))


FIELDS = [
    ("anovox", "anovox-points", None, ""),
    ("anovox", "anovox-points", "all-positive", "kinds"),
    ("modelnet", "modelnet-demo", None, ""),
    ("modelnet", "modelnet-demo", "train-in-test", "files"),
    ("modelnet", "modelnet-demo", "object-in-two-parts", "groups"),
    ("cub", "cub-pixels", None, ""),
]


@pytest.mark.slow
@pytest.mark.parametrize(("field", "preset", "mistake", "check"), FIELDS)
def test_data_of_other_fields_are_spared_but_for_what_is_planted(
    field: str, preset: str, mistake: str | None, check: str, tmp_path: Path, weldcache: Callable[..., Any]
) -> None:
    """That a scenario or an object is of one kind is its nature, and no mistake."""
    planted = ["--plant", mistake] if mistake else []
    options = ["--field", field, "--size", "tiny", "--preset", preset, "--workers", "1", *planted]
    assert weldcache("synth", "data", *options, folder=tmp_path).code == 0
    outcome = weldcache("audit", "--json", folder=tmp_path / "data")
    found = [each for each in json.loads(outcome.raw_out)["findings"] if each["severity"] != "note"]
    assert outcome.code == bool(mistake) and bool(found) == bool(mistake), found
    assert not mistake or check in {each["check"] for each in found if each["severity"] == "error"}
