"""Runs on the same samples: who is ahead, what is a tie, which class it comes from, and what is not compared."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from weldcache.errors import TrainingError
from weldcache.evaluate.comparison.paired import Difference, Paired, paired
from weldcache.evaluate.comparison.said import Said, refusals
from weldcache.evaluate.judge import Judge
from weldcache.evaluate.tasks.anomaly.judge import AnomalyJudge
from weldcache.evaluate.tasks.classification.judge import ClassificationJudge
from weldcache.metrics.conformal import holm
from weldcache.metrics.ranking import auroc
from weldcache.metrics.repeats import mean_auroc, mean_auroc_difference, mean_share_difference

LABELS = np.repeat([0, 1], [60, 60])
CLASSES = ["good"] * 60 + ["crack", "pore", "dent"] * 20
GROUPS = [f"day {row % 12}" for row in range(120)]


def said(name: str, scores: Sequence[float], **changes: Any) -> Said:
    """A detector's file."""
    columns = {
        "key": [f"part/{row:03d}" for row in range(len(LABELS))],
        "class_name": CLASSES,
        "group": GROUPS,
        "label": [str(label) for label in LABELS],
        "score": [repr(float(score)) for score in scores],
    }
    made: dict[str, Any] = {
        "name": name,
        "judge": AnomalyJudge(),
        "store_split": "official",
        "features": {"image": {"made_by": {"model": "lite0"}}},
        "columns": {**columns, **changes.pop("columns", {})},
        "scored_now": False,
    }
    return Said(**made | changes)


@pytest.fixture
def scores() -> dict[str, np.ndarray]:
    """A good detector, one that is nearly the same, one that misses a class, and one that knows little."""
    generator = np.random.default_rng(0)
    good = generator.normal(size=120) + 2.5 * LABELS
    blind = good - 2.5 * (np.asarray(CLASSES) == "dent")
    return {
        "good": good,
        "twin": good + generator.normal(size=120) * 0.02,
        "blind": blind,
        "weak": generator.normal(size=120) + 0.3 * LABELS,
    }


def found(scores: dict[str, np.ndarray], *names: str) -> Paired:
    return paired([said(name, scores[name]) for name in names], split="test")


def test_a_difference_is_paired_and_knows_groups(scores: dict[str, np.ndarray]) -> None:
    (pair,) = found(scores, "weak", "good").pairs
    expected = mean_auroc_difference(scores["weak"][np.newaxis], scores["good"][np.newaxis], LABELS, groups=GROUPS)
    assert (pair.run, pair.reference) == ("weak", "good")
    assert pair.difference.value == expected and expected.high < 0
    assert pair.difference.p_value == pair.difference.p_holm < 0.001 and not pair.difference.is_tie


def test_the_ranking_is_by_the_figure_and_ties_share_a_rank(scores: dict[str, np.ndarray]) -> None:
    result = found(scores, "weak", "blind", "twin", "good")
    names = [ranked.run for ranked in result.ranking]
    assert names[2:] == ["blind", "weak"] and set(names[:2]) == {"good", "twin"}
    ahead = {(pair.run, pair.reference) for pair in result.pairs if pair.difference.p_holm < 0.05}
    assert ("weak", names[0]) in ahead and (names[1], names[0]) not in ahead
    for place, ranked in enumerate(result.ranking):
        assert ranked.tied_with == tuple(above for above in names[:place] if (ranked.run, above) not in ahead)
        assert ranked.rank == 1 + place - len(ranked.tied_with)
    for ranked in result.ranking:
        assert ranked.figure == mean_auroc(scores[ranked.run][np.newaxis], LABELS, groups=GROUPS)
    assert [(pair.run, pair.reference) for pair in result.pairs[:3]] == [(name, names[0]) for name in names[1:]]
    assert set(result.behind_the_first()) == set(names[1:]) and len(result.pairs) == 6
    by_hand = holm(np.array([pair.difference.p_value for pair in result.pairs]))
    assert [pair.difference.p_holm for pair in result.pairs] == by_hand.tolist()


def test_each_class_is_held_against_all_normals(scores: dict[str, np.ndarray]) -> None:
    (pair,) = found(scores, "blind", "good").pairs
    by_class = {each.name: each for each in pair.by_class}
    assert {name: each.num for name, each in by_class.items()} == {"crack": 20, "dent": 20, "pore": 20}
    for name, each in by_class.items():
        assert each.difference is not None
        chosen = (LABELS == 0) | (np.asarray(CLASSES) == name)
        mine, theirs = (auroc(scores[run][chosen], LABELS[chosen]) for run in ("blind", "good"))
        assert each.difference.value.value == pytest.approx(mine - theirs)
        assert each.difference.is_tie == (name != "dent")
    p_values = [each.difference.p_value for each in pair.by_class if each.difference is not None]
    adjusted = [each.difference.p_holm for each in pair.by_class if each.difference is not None]
    assert adjusted == holm(np.array(p_values)).tolist()


def test_a_tie_is_told_after_the_correction() -> None:
    """One of many differences that looks real by itself is what chance makes of many."""
    value = mean_auroc_difference(
        np.arange(120.0)[np.newaxis] % 7, np.arange(120.0)[np.newaxis] % 5, LABELS, groups=GROUPS
    )
    assert Difference(value, p_value=0.01, p_holm=0.2).is_tie
    assert not Difference(value, p_value=0.01, p_holm=0.04).is_tie


def test_lines_are_found_by_their_keys(scores: dict[str, np.ndarray]) -> None:
    shuffled = said("good", scores["good"])
    order = np.random.default_rng(1).permutation(120)
    columns = {name: [values[place] for place in order] for name, values in shuffled.columns.items()}
    runs = [said("weak", scores["weak"]), replace(shuffled, columns=columns)]
    assert refusals(runs) == []
    assert paired(runs, split="test").pairs == found(scores, "weak", "good").pairs


def test_it_is_json(scores: dict[str, np.ndarray]) -> None:
    document = json.loads(json.dumps(found(scores, "blind", "good").as_json()))
    assert document["figure"] == "auroc" and document["num_samples"] == 120
    assert [each["run"] for each in document["ranking"]] == ["good", "blind"]
    (pair,) = document["pairs"]
    assert pair["difference"].keys() == {"value", "low", "high", "method"} and pair["difference"]["high"] < 0
    assert [each["class"] for each in pair["by_class"]] == ["crack", "dent", "pore"]


def test_classifiers_are_compared_by_what_each_gets_right() -> None:
    generator = np.random.default_rng(0)
    judge: Judge[Any] = ClassificationJudge()
    names = np.array(CLASSES)

    def classifier(name: str, share: float) -> Said:
        wrong = generator.random(120) > share
        predicted = np.where(wrong, "none of them", names).tolist()
        columns = {"key": [str(row) for row in range(120)], "class_name": CLASSES, "predicted": predicted}
        return Said(name, judge, "official", {}, columns, scored_now=False)

    one, two = classifier("one", 0.9), classifier("two", 0.6)
    (pair,) = paired([two, one], split="test").pairs
    right = [np.array([run.columns["predicted"]]) == names for run in (two, one)]
    assert pair.difference.value == mean_share_difference(*right)
    assert [(each.name, each.num) for each in pair.by_class] == [
        ("crack", 20),
        ("dent", 20),
        ("good", 60),
        ("pore", 20),
    ]


KEYS = [f"part/{row:03d}" for row in range(120)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"store_split": "mine (0123abcd)"}, ("official", "mine (0123abcd)")),
        ({"columns": {"key": [*KEYS[:-2], "new", "newer"]}}, ("2 samples", "part/118", "new")),
        ({"columns": {"class_name": ["good"] * 59 + ["fine"] + CLASSES[60:]}}, ("class_name", "part/059", "fine")),
        ({"columns": {"label": ["1"] * 120}}, ("label", "60 samples")),
        ({"columns": {"group": [""] * 120}}, ("group",)),
        ({"features": {"image": {"made_by": {"model": "dinov2"}}}}, ("image.made_by.model", "lite0", "dinov2")),
        ({"judge": ClassificationJudge()}, ("anomaly", "classification")),
    ],
)
def test_what_cannot_be_held_against_each_other_is_refused_with_the_reason(
    scores: dict[str, np.ndarray], changes: dict[str, Any], told: tuple[str, ...]
) -> None:
    first, other = said("one", scores["good"]), said("two", scores["twin"], **changes)
    reasons = " ".join(refusals([first, said("three", scores["weak"]), other]))
    assert all(word in reasons for word in ("one", "two", *told)) and "three" not in reasons


def test_other_features_by_other_names_are_no_reason(scores: dict[str, np.ndarray]) -> None:
    other = said("two", scores["twin"], features={"video": {"made_by": {"model": "dinov2"}}})
    assert refusals([said("one", scores["good"]), other]) == []


@pytest.mark.parametrize("columns", [{"label": ["x"] * 120}, {"score": ["a lot"] * 120}])
def test_what_is_no_file_of_the_judge_is_said_to_be_none(
    scores: dict[str, np.ndarray], columns: dict[str, list[str]]
) -> None:
    runs = [said(name, scores["good"], columns=columns) for name in ("one", "two")]
    with pytest.raises(TrainingError, match="one and two"):
        paired(runs, split="test")
