"""Orientations are judged through the same engine: the page's commands, figures by hand, what beats what."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import find_peaks

from weldcache.evaluate.exhibits import Circle, Gallery
from weldcache.evaluate.report.drawing import draw
from weldcache.evaluate.report.inline import ringed
from weldcache.evaluate.scores import score_table
from weldcache.evaluate.section import Section
from weldcache.evaluate.tasks.orientation.figures import OrientationAssessment, assess_orientations
from weldcache.evaluate.tasks.orientation.judge import OrientationJudge
from weldcache.evaluate.tasks.orientation.sections import caveats, orientation_sections, verdict
from weldcache.metrics.von_mises import kl_divergence, symmetric_mixtures
from weldcache.testing.judges import JudgeContract
from weldcache.tests.evaluate.tasks.orientation.conftest import SMALLER
from weldcache.tests.toy import index_of
from weldcache.train.orientation import true_mixtures

NUM = 24
TARGETS = {
    "orientation": np.linspace(0, 350, NUM).astype(np.float32),
    "symmetry": np.tile(np.array([4, 2, 1, 0], np.int8), NUM // 4),
    "concentration": np.full(NUM, 8.0, np.float32),
}
TRUTH = true_mixtures(TARGETS)
GROUPS = [f"object {row // 2}" for row in range(NUM)]
UNIFORM = symmetric_mixtures(np.zeros(NUM), np.zeros(NUM, int), np.zeros(NUM))


def assessed(predicted: np.ndarray) -> OrientationAssessment:
    names = ["box" if symmetry == 4 else "other" for symmetry in TARGETS["symmetry"]]
    return assess_orientations(TARGETS, predicted, train=TARGETS, untrained=UNIFORM, class_names=names, groups=GROUPS)


def one_peak() -> np.ndarray:
    """All weight on the first true peak."""
    found = TRUTH.copy()
    found[..., 2] = np.eye(4)[0]
    return found


def test_the_truth_itself_is_found_and_beats_every_control() -> None:
    found = assessed(TRUTH)
    assert found.kl.value == pytest.approx(0, abs=1e-12) and found.share_right == 1
    assert found.angle_error is not None and found.angle_error.value < 0.5  # modes are found in steps of half a degree
    assert verdict(found).standing == "good" and list(caveats(found)) == []
    assert {each.name for each in found.by_symmetry} == {"0", "1", "2", "4"}
    four = next(each for each in found.by_symmetry if each.name == "4")
    assert four.uniform.value == pytest.approx(0.1306, abs=5e-5) and four.num == NUM // 4
    assert found.uniform.value == pytest.approx(np.mean([each.uniform.value for each in found.by_symmetry]))
    assert all(each.ahead is not None and each.ahead.low > 0 for each in found.controls)


def test_one_peak_with_all_the_weight_is_told_and_worse_than_nothing() -> None:
    found = assessed(one_peak())
    four = next(each for each in found.by_symmetry if each.name == "4")
    assert four.kl.value == pytest.approx(6.19, abs=5e-3)
    assert found.is_collapsed and found.largest_weight == 1
    assert found.counts[4] == {1: NUM // 4} and found.counts[2] == {1: NUM // 4}
    assert verdict(found).standing == "bad" and "uniform" in verdict(found).headline
    told = " ".join(caveats(found))
    assert "recipe.loss = original" in told and "uniform" in told


def test_what_knows_nothing_is_no_better_than_its_controls() -> None:
    found = assessed(UNIFORM)
    assert found.kl.value == pytest.approx(found.uniform.value) and found.angle_error is None
    assert verdict(found).standing == "bad" and not found.is_collapsed  # one flat peak with all the weight is no peak
    assert found.counts == {symmetry: {0: NUM // 4} for symmetry in (0, 1, 2, 4)}


def test_an_answer_that_is_right_but_for_rounding_is_judged() -> None:
    """Weights of single precision may add up to a little more than 1, and a divergence of 0 to less than 0."""
    rounded = TRUTH.copy()
    rounded[..., 2] *= 1 + 1e-7
    found = assessed(rounded)
    assert found.kl.low == found.kl.value == 0 and (found.kl_of >= 0).all()
    rounded[..., 2] *= 1.1  # which is no rounding
    assert (kl_divergence(TRUTH, rounded) < -0.05).all()


def sections_of(predicted: np.ndarray) -> Mapping[str, Section]:
    index = index_of(
        keys=[f"a/b/{row:02d}" for row in range(NUM)],
        splits=["test"] * NUM,
        groups=GROUPS,
        class_names=["box"] * NUM,
        labels=[-1] * NUM,
        attributes={},
    )
    table = score_table(index, scores=np.zeros(NUM), raw_scores=None)
    training = Section("training", "Training")
    sections = orientation_sections(assessed(predicted), table, TARGETS, predicted, warnings=(), training=training)
    return {section.id: section for section in sections}


def test_circles_are_drawn_and_nothing_else_is_needed_for_it() -> None:
    (circles,) = sections_of(TRUTH)["circles"].figures
    assert draw(circles).startswith("data:image/svg+xml;base64,")


def test_the_gallery_shows_what_is_furthest_from_the_truth_and_its_angles_beside_it() -> None:
    wrong = TRUTH.copy()
    wrong[[4, 13], :, 0] += np.radians(45)  # one of four directions and one of two
    (gallery,) = sections_of(wrong)["gallery"].exhibits
    assert isinstance(gallery, Gallery)
    worst, typical = (shelf.rows for shelf in gallery.shelves)
    assert list(worst[:2]) == [13, 4] and {int(TARGETS["symmetry"][row]) for row in typical} == {0, 1, 2, 4}
    assert set(gallery.media) == {*worst, *typical}
    (medium,) = gallery.media[13]["angles"]
    assert isinstance(medium, Circle)
    tops = {name: set(find_peaks(np.tile(density, 2))[0] % 360) for _, name, density in medium.densities}
    assert all(len(tops[name]) == 2 for name in tops)
    assert {(degrees + 45) % 360 for degrees in tops["true"]} == tops["predicted"]
    # Upwards is 90 degrees, where an SVG's y is least; a density that is alike everywhere is a ring.
    ((_, _, path),) = ringed(Circle("up", [("model", "predicted", np.exp(8 * np.sin(np.radians(np.arange(360)))))]))
    places = [tuple(map(float, place.split())) for place in path.strip("Mz").split("L")]
    assert min(places, key=lambda place: place[1]) == (0, -48) and max(abs(x) for x, _ in places) < 20
    ((_, _, path),) = ringed(Circle("any", [("model", "predicted", np.ones(360))]))
    lengths = [np.hypot(*map(float, place.split())) for place in path.strip("Mz").split("L")]
    np.testing.assert_allclose(lengths, 48, atol=0.1)


def test_a_report_shows_each_cloud_from_above_beside_its_angles(
    oriented: Path, runs_of: Callable[[Path], Path], weldcache: Callable[..., Any]
) -> None:
    project = runs_of(oriented / "shapes")
    outcome = weldcache("eval", folder=project)
    assert outcome.code == 0, outcome.err
    (page,) = (path.read_text() for path in project.glob("runs/*/report.html"))
    assert page.count('alt="96 points from above"') == page.count('<figure class="ring">') == 10


class TestContract(JudgeContract):
    def judge(self) -> OrientationJudge:
        return OrientationJudge()

    @pytest.fixture
    def run(self, oriented: Path, runs_of: Callable[[Path], Path]) -> Path:
        (run,) = (runs_of(oriented / "shapes") / "runs").iterdir()
        return run


def test_new_shapes_are_told_their_peaks(oriented: Path, weldcache: Callable[..., Any]) -> None:
    options = [word for each in SMALLER["extract"] for word in ("--set", each)]
    outcome = weldcache("score", "chair/test/chair_0009.off", *options, folder=oriented / "shapes")
    header, line = outcome.raw_out.splitlines()
    told = dict(zip(header.split(","), line.split(","), strict=True))
    weights = [float(value) for name, value in told.items() if name.startswith("weight_")]
    assert len(weights) == 8  # of no, one, two and four peaks
    assert sum(weights) == pytest.approx(1) and weights == sorted(weights, reverse=True)
    assert 0 <= float(told["angle_1"]) <= 360


def test_the_page_leads_from_files_to_a_report(oriented: Path) -> None:
    printed = (oriented / "printed.txt").read_text()
    assert "56 shapes of 4 classes" in printed and "oriented samples to train on" in printed
    (report,) = (oriented / "shapes").glob("runs/*/report.json")
    sections = json.loads(report.read_text())["sections"]
    assert sections["headline"]["facts"]["num_samples"] == 24 * 4
    assert [row["control"] for row in sections["controls"]["rows"]["by_control"]] == [
        "uniform control",
        "constant control",
        "untrained control",
    ]
    assert (report.parent / "report.html").stat().st_size > 100_000


def judged_sections(project: Path, weldcache: Callable[..., Any], name: str, *settings: str) -> dict[str, Any]:
    """The sections of the report on a run that is trained with these settings."""
    options = [word for each in settings for word in ("--set", each)]
    for command in (["train", *options], ["eval", "--set", SMALLER["eval"][0]]):
        outcome = weldcache(*command, "--run", name, folder=project)
        assert outcome.code == 0, outcome.err
    sections: dict[str, Any] = json.loads((project / f"runs/{name}/report.json").read_text())["sections"]
    return sections


@pytest.mark.slow
def test_the_repaired_loss_beats_every_control(
    oriented: Path, runs_of: Callable[[Path], Path], weldcache: Callable[..., Any]
) -> None:
    project = runs_of(oriented / "shapes")
    (barely_trained,) = (run.name for run in (project / "runs").iterdir())
    sections = judged_sections(project, weldcache, "repaired", "train.epochs=80")
    controls = sections["controls"]["rows"]["by_control"]
    assert len(controls) == 3 and all(control["ahead"]["low"] > 0 for control in controls), controls
    assert sections["verdict"]["standing"] == "good"
    compared = json.loads(weldcache("compare", barely_trained, "repaired", "--json", folder=project).raw_out)
    assert [ranked["run"] for ranked in compared["paired"]["ranking"]] == ["repaired", barely_trained]


@pytest.mark.slow
def test_the_original_loss_is_low_where_its_prediction_is_worse_than_nothing_and_the_report_says_why(
    oriented: Path, runs_of: Callable[[Path], Path], weldcache: Callable[..., Any]
) -> None:
    """As published: one class of four-fold symmetry, angles that begin at zero, weights chosen by the loss itself."""
    project = runs_of(oriented / "shapes")
    settings = ("cache.path=boxes.zarr", "data.classes=[glass_box]", *SMALLER["extract"])
    outcome = weldcache("extract", *[word for each in settings for word in ("--set", each)], folder=project)
    assert outcome.code == 0, outcome.err
    exploited = ("recipe.peaks=free", "recipe.loss=original", "recipe.init=zeros", "train.monitor=val_loss")
    long = ("cache.path=boxes.zarr", "train.epochs=60", "train.patience=60")
    sections = judged_sections(project, weldcache, "original", *exploited, *long)
    facts, best = sections["headline"]["facts"], json.loads((project / "runs/original/state.json").read_text())["best"]
    assert best["val_loss"] < 0.7 * best["val_kl"]
    assert facts["kl"]["low"] > 5 * facts["uniform_kl"]["high"] and facts["largest_weight"] > 0.75
    assert sections["verdict"]["standing"] == "bad"
    assert any("recipe.loss = original" in point for point in sections["verdict"]["points"])
    options = [word for each in ("cache.path=boxes.zarr", "data.classes=[glass_box]") for word in ("--set", each)]
    outcome = weldcache("audit", "--run", "original", *options, folder=project)
    assert outcome.code == 1 and "does not beat the uniform distribution" in outcome.out
    assert "error: beginning" in outcome.out and "angles.bias, angles.weight" in outcome.out
