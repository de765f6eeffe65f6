"""The figures of a table from scores made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from weldcache.cache.index import Index
from weldcache.errors import MetricError
from weldcache.evaluate.tasks.anomaly.controls.nearest import nearest_train_distances
from weldcache.evaluate.tasks.anomaly.judge import AnomalyJudge
from weldcache.evaluate.trials.comparison import Comparison, TrialOutcome, VariantOutcome, compare
from weldcache.evaluate.trials.measure import MediaFreeControl
from weldcache.evaluate.trials.record import TrialRecord, TrialScores
from weldcache.evaluate.trials.variant_list import Recorded
from weldcache.metrics.ranking import auroc
from weldcache.metrics.repeats import mean_auroc, mean_auroc_difference
from weldcache.tests.toy import index_of

LABELS = np.repeat([0, 1], [15, 25])
KEYS = [f"weld {row:02d}" for row in range(len(LABELS))]


@pytest.fixture
def index() -> Index:
    """Two more welds than are scored, ahead of them."""
    num, generator = len(LABELS) + 2, np.random.default_rng(3)
    return index_of(
        keys=["first", "second", *KEYS],
        splits=["train", "train", *["test"] * len(LABELS)],
        class_names=["good"] * num,
        groups=[""] * num,
        labels=[0, 0, *LABELS.tolist()],
        attributes={"current": generator.normal(size=num).tolist()},
    )


def _outcome(seed: int, scores: np.ndarray, *, keys: list[str] = KEYS, seconds: float = 1.0) -> TrialOutcome:
    order = np.random.default_rng(seed).permutation(len(keys))  # nothing says that trials have one order
    table = TrialScores(
        tuple(keys[row] for row in order),
        np.array([int(LABELS[KEYS.index(keys[row])]) for row in order]),
        scores[order],
    )
    record = TrialRecord("test", "", 0, {"val_auroc": 0.5 + 0.1 * seed}, 100, 3, seconds, False)
    return TrialOutcome(seed, record, table)


def counts(found: Comparison) -> list[int]:
    return list(found.ground.counts.values())


def _variant(name: str, *trials: TrialOutcome, failures: tuple[str, ...] = ()) -> VariantOutcome:
    return VariantOutcome(name, Recorded(test=0.9), trials, failures)


def _scores(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(LABELS * 1.0, 1)


def test_figures_are_those_of_the_metrics_on_welds_in_one_order(index: Index) -> None:
    first, second = ([_scores(seed) for seed in seeds] for seeds in ((1, 2, 3), (4, 5, 6)))
    found = compare(
        [
            _variant("a", *(_outcome(seed, scores, seconds=float(seed)) for seed, scores in enumerate(first))),
            _variant("b", *(_outcome(seed, scores) for seed, scores in enumerate(second))),
        ],
        judge=AnomalyJudge(),
        index=index,
        train=index.select(np.array([0, 1])),
        seed=0,
    )
    a, b = (each for name in "ab" for each in found.variants if each.name == name)
    assert a.mean == mean_auroc(np.stack(first), LABELS) and b.mean == mean_auroc(np.stack(second), LABELS)
    assert a.by_seed == tuple(auroc(scores, LABELS) for scores in first)
    assert a.difference is None and b.difference == mean_auroc_difference(np.stack(second), np.stack(first), LABELS)
    assert (a.validation, a.seconds, a.parameters, a.recorded) == (pytest.approx(0.6), 1.0, 100, Recorded(test=0.9))
    assert (found.reference, counts(found), found.num_not_shared) == ("a", [15, 25], 0)
    media_free = found.ground.controls["media_free"]
    assert isinstance(media_free, MediaFreeControl) and media_free.auroc and found.ground.controls["random"]
    assert found.ground.beside.startswith("media-free control ") and "random scores" in found.ground.beside


def test_differences_are_over_the_seeds_that_both_have(index: Index) -> None:
    scores = {seed: _scores(seed) for seed in range(5)}
    found = compare(
        [
            _variant("a", *(_outcome(seed, scores[seed]) for seed in (0, 1))),
            _variant("b", _outcome(1, scores[2]), _outcome(2, scores[3])),
            _variant("c", _outcome(7, scores[4])),
            _variant("d", failures=("seed 0: no luck",)),
        ],
        judge=AnomalyJudge(),
        index=index,
        train=index.select(np.empty(0, np.int64)),
        seed=0,
    )
    b, c, d = (each for name in "bcd" for each in found.variants if each.name == name)
    assert b.difference == mean_auroc_difference(scores[2][None], scores[1][None], LABELS)
    assert c.difference is None and c.mean is not None
    assert d.mean is None and d.seeds == () and d.failures == ("seed 0: no luck",)
    media_free = found.ground.controls["media_free"]
    assert isinstance(media_free, MediaFreeControl) and media_free.auroc is None and media_free.reason


def test_the_ranking_tells_ties_from_what_is_behind(index: Index) -> None:
    """With Holm's correction over those that are held against the best, and over all that are against the control."""
    generator = np.random.default_rng(7)
    good = LABELS * 2.0 + generator.normal(size=len(LABELS))
    like = good + 0.1 * generator.normal(size=len(LABELS))
    blind = generator.normal(size=len(LABELS))
    train = index.select(np.array([0, 1]))
    found = compare(
        [_variant(name, _outcome(0, each)) for name, each in (("blind", blind), ("like", like), ("good", good))],
        judge=AnomalyJudge(),
        index=index,
        train=train,
        seed=0,
    )
    first, second, last = found.variants
    assert {first.name, second.name} == {"good", "like"} and last.name == "blind"
    assert [each.rank for each in found.variants] == [1, 2, 3]
    assert first.behind is None and second.ties_with_best and not last.ties_with_best
    assert second.behind is not None and last.behind is not None
    assert last.behind.p_holm == pytest.approx(min(1, 2 * last.behind.p_value))
    assert second.behind.p_holm == pytest.approx(max(second.behind.p_value, last.behind.p_holm))
    control = nearest_train_distances(index.select(np.arange(2, len(index))).attributes, train=train.attributes)
    for each, scores in ((last, blind), (first, good if first.name == "good" else like)):
        assert each.beside_rival is not None
        assert each.beside_rival.value == mean_auroc_difference(scores[None], control[None], LABELS)


def test_a_reference_that_failed_leaves_the_others_their_own_figures(index: Index) -> None:
    outcomes = [_variant("a", failures=("no",)), _variant("b", _outcome(0, _scores(0)))]
    found = compare(outcomes, judge=AnomalyJudge(), index=index, train=index.select(np.empty(0, np.int64)), seed=0)
    assert [each.name for each in found.variants] == ["b", "a"]  # who has no figure comes last
    assert found.variants[0].mean is not None and found.variants[0].difference is None


def test_welds_that_only_some_scored_are_in_no_figure(index: Index) -> None:
    scores, fewer = _scores(0), _scores(1)[3:]
    found = compare(
        [_variant("a", _outcome(0, scores)), _variant("b", _outcome(0, fewer, keys=KEYS[3:]))],
        judge=AnomalyJudge(),
        index=index,
        train=index.select(np.empty(0, np.int64)),
        seed=0,
    )
    assert (counts(found), found.num_not_shared) == ([12, 25], 3)
    (a,) = (each for each in found.variants if each.name == "a")
    assert a.by_seed == (auroc(scores[3:], LABELS[3:]),)


def test_warnings_of_one_kind_are_one_and_say_of_whom_they_are(index: Index) -> None:
    def warned(seed: int, *warnings: str) -> TrialOutcome:
        outcome = _outcome(seed, _scores(seed))
        return replace(outcome, record=replace(outcome.record, warnings=warnings))

    few, equal = "Only 4 normal samples were evaluated.", "All scores are equal."
    found = compare(
        [
            _variant("a", warned(0, few, "AUROC 0.41 (0.2 to 0.6)."), warned(1, few, "AUROC 0.50 (0.3 to 0.7).")),
            _variant("b", warned(0, few, "AUROC 0.61 (0.4 to 0.8).", equal)),
            _variant("c", failures=("no features",)),
        ],
        judge=AnomalyJudge(),
        index=index,
        train=index.select(np.array([0, 1])),
        seed=0,
    )
    assert found.caveats == (
        f"Warning: {few}",
        "Warning (in figures of a, seed 0): AUROC 0.41 (0.2 to 0.6).",
        f"Warning of b: {equal}",
    )


def test_welds_without_a_class_in_common_are_an_error(index: Index) -> None:
    outcomes = [
        _variant("a", _outcome(0, _scores(0)[:20], keys=KEYS[:20])),
        _variant("b", _outcome(0, _scores(1)[15:], keys=KEYS[15:])),
    ]
    with pytest.raises(MetricError, match="0 normal and 5 defect samples"):
        compare(outcomes, judge=AnomalyJudge(), index=index, train=index.select(np.empty(0, np.int64)), seed=0)
