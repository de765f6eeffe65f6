"""What the true states of synthetic welds tell: the bound of every model on these data."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import roc_auc_score

from weldcache.extract.sources.welds.synth.ceilings import Ceiling, ceilings, ceilings_as_json
from weldcache.extract.sources.welds.synth.plan import SynthPlan, plan_for_size
from weldcache.extract.sources.welds.synth.roster import list_welds
from weldcache.extract.sources.welds.synth.tables import latents_text

SMALL = plan_for_size("small")


def latents_of(plan: SynthPlan) -> str:
    return latents_text(list_welds(plan), plan=plan)


@pytest.fixture(scope="module")
def latents() -> str:
    return latents_of(SMALL)


@pytest.fixture(scope="module")
def found(latents: str) -> dict[str, Ceiling]:
    return ceilings(latents)


def test_the_ceilings_of_the_demo_are_as_they_were(found: dict[str, Ceiling]) -> None:
    assert {side: round(each.all.value, 3) for side, each in found.items()} == {
        "process": 0.949,
        "result": 0.966,
        "joint": 0.995,
    }


def test_a_ceiling_is_what_a_slow_reference_gives(latents: str, found: dict[str, Ceiling]) -> None:
    table = pd.read_csv(io.StringIO(latents), dtype={"code": str})
    numbers = table[[name for name in table if name.startswith("process_") and "_flaw_" not in name]]
    sound = numbers[(table["split"] == "train") & (table["code"] == "00")].to_numpy()
    test, labels = numbers[table["split"] == "test"].to_numpy(), table["code"][table["split"] == "test"] != "00"
    unit = sound.std(axis=0)
    inverse = np.linalg.inv(ledoit_wolf(sound / unit)[0])
    away = [weld / unit - (sound / unit).mean(axis=0) for weld in test]
    distances = [one @ inverse @ one for one in away]
    assert found["process"].all.value == pytest.approx(roc_auc_score(labels, distances), abs=1e-9)


def test_breaks_of_the_link_show_in_both_sides_together_alone(found: dict[str, Ceiling]) -> None:
    breaks = {side: each.causal_breaks for side, each in found.items()}
    assert breaks["joint"] is not None and breaks["joint"].value > 0.99
    assert breaks["process"] is not None and breaks["process"].contains(0.5)
    for each in found.values():
        assert each.others is not None and each.others.value > 0.98


def test_how_much_of_a_flaw_there_is_does_not_count(latents: str, found: dict[str, Ceiling]) -> None:
    rows = list(csv.DictReader(io.StringIO(latents)))
    for place, row in enumerate(rows):
        row |= {name: str(place) for name in row if "_flaw_" in name}
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    assert ceilings(text.getvalue()) == found


@pytest.mark.parametrize("change", [{"train": {"00": 1}}, {"test": {"03": 4}}, {"test": {"00": 4}}], ids=str)
def test_there_are_none_without_normals_to_measure_from_or_two_sides_to_tell(change: dict[str, object]) -> None:
    assert ceilings(latents_of(replace(plan_for_size("tiny"), **change))) == {}  # type: ignore[arg-type]


def test_without_breaks_there_is_no_figure_of_them() -> None:
    found = ceilings(latents_of(replace(plan_for_size("tiny"), test={"00": 4, "03": 2})))
    assert found["joint"].causal_breaks is None and found["joint"].others == found["joint"].all


def test_what_is_kept_of_them_is_json(found: dict[str, Ceiling]) -> None:
    assert json.loads(json.dumps(ceilings_as_json(found)))["result"] == {"auroc": 0.9661, "low": 0.9306, "high": 0.9837}
