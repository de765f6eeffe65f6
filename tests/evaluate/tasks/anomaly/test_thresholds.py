"""Thresholds say what they promise, what they do and why they may not hold; p-values need no validation samples."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.tasks.anomaly.judge import score_columns
from weldcache.evaluate.tasks.anomaly.threshold_section import promise_sentence, threshold_caveats, threshold_section
from weldcache.evaluate.tasks.anomaly.thresholds import (
    AlarmThreshold,
    alarm_threshold,
    alarm_thresholds,
    at_threshold,
    bank_of,
    expected_fpr,
    group_shifts,
)
from weldcache.metrics.conformal import p_values
from weldcache.metrics.estimate import clopper_pearson

MakeTable = Callable[..., ScoreTable]


def test_thresholds_of_one_and_five_percent_and_the_chosen_target(make_table: MakeTable) -> None:
    validation = make_table(split="val", num_normal=122, num_groups=200)
    found = alarm_thresholds(validation, target_fpr=0.2)
    assert [each.target_fpr for each in found] == [0.01, 0.05, 0.2]
    of_one, of_five, _ = (each.promise for each in found)
    assert (of_five.num, of_five.num_needed) == (122, 45) and of_five.threshold is not None
    assert (of_one.threshold, of_one.num_needed) == (None, 230)
    assert of_five.threshold == np.sort(validation.scores[validation.labels == 0])[-3]
    assert "No threshold promises 1.0%" in promise_sentence(found[0]) and "230" in promise_sentence(found[0])
    assert [AlarmThreshold.read(each.kept()) for each in found] == list(found)


def test_a_promise_counts_groups(make_table: MakeTable) -> None:
    kept = alarm_threshold(make_table(split="val", num_groups=10), target_fpr=0.05).promise
    assert kept.num == 10 and kept.threshold is None and kept.rate > 0.2


def test_the_rate_to_be_expected_knows_groups(make_table: MakeTable) -> None:
    """Of groups that are alike nearly each has a normal above the threshold, and still few normals are above it."""
    validation = make_table(split="val", num_normal=400, num_groups=20)
    found = alarm_threshold(validation, target_fpr=0.05)
    assert found.promise.num_above == pytest.approx(1.0)
    alike = expected_fpr(found, validation)
    assert alike.contains(0.05) and alike.high < 0.12
    # Alarms of one group come together: less is known.
    order = np.argsort(np.argsort(-validation.scores[:400]))
    together = replace(validation, groups=(*(f"g{rank // 20}" for rank in order.tolist()), *validation.groups[400:]))
    apart = expected_fpr(found, together)
    assert apart.contains(0.05) and apart.high > alike.high + 0.05


def test_validation_normals_of_one_group_alone_say_next_to_nothing(make_table: MakeTable) -> None:
    validation = make_table(split="val", num_groups=1)
    found = alarm_threshold(validation, target_fpr=0.05)
    assert (found.promise.num, found.promise.num_above) == (1, 3 / 60) and found.promise.rate > 0.9
    expected = expected_fpr(found, validation)
    assert expected.contains(0.05) and expected.high > 0.9
    chosen = at_threshold(found, make_table())
    threshold_section(chosen, [chosen], (), expected=expected)


def test_p_values_come_from_the_bank_of_whole_normals(table: ScoreTable, validation_table: ScoreTable) -> None:
    lacking = replace(validation_table, scales=("rescaled", *validation_table.scales[1:]))
    bank = bank_of(lacking)
    kept = lacking.scores[1:60]
    assert [each["score"] for each in bank] == sorted(kept.tolist())
    assert {each["group"] for each in bank} == set(validation_table.groups)
    judged = replace(table, scales=("own", *table.scales[1:]))
    columns = score_columns(judged, threshold=31.0, bank=bank)
    assert columns["p_value"][0] == columns["adjusted_p_value"][0] == ""
    assert columns["p_value"][1:] == p_values(table.scores, calibration=kept)[1:].tolist()
    p, adjusted = (np.array(columns[name][1:], dtype=np.float64) for name in ("p_value", "adjusted_p_value"))
    assert (adjusted >= p).all()
    assert set(score_columns(table, threshold=31.0)["p_value"]) == {""}


def test_rates_know_groups(make_table: MakeTable) -> None:
    alone = make_table(num_groups=1000)
    found = at_threshold(alarm_threshold(make_table(split="val", seed=4), target_fpr=0.05), alone)
    assert found.fpr == clopper_pearson(found.confusion.false_alarms, trials=60)
    # Alarms of one group come together.
    normal = alone.labels == 0
    order = np.argsort(np.argsort(-alone.scores[normal]))
    names = [f"g{rank // 10}" for rank in order.tolist()]
    together = replace(alone, groups=(*names, *alone.groups[60:]))
    wider = at_threshold(found.threshold, together).fpr
    assert wider.value == found.fpr.value and wider.high > found.fpr.high


def test_a_missed_target_is_said_with_the_shift_of_groups(make_table: MakeTable) -> None:
    validation, test = make_table(split="val", num_groups=6, seed=4), make_table(num_groups=30)
    shifted = np.array([group == "test-group-3" for group in test.groups]) & (test.labels == 0)
    others = (np.arange(len(test)) % 4 == 0) & (test.labels == 0)
    test = replace(test, scores=test.scores + 5.0 * shifted + 2.0 * others)
    shifts = group_shifts(validation=validation, test=test)
    assert shifts[0].group == "test-group-3" and shifts[0].num == 2 and shifts[0].median > 3
    assert [each.median for each in shifts] == sorted((each.median for each in shifts), reverse=True)
    chosen = at_threshold(alarm_threshold(validation, target_fpr=0.05), test)
    assert chosen.misses_target
    (text,) = threshold_caveats(chosen, shifts)
    assert "excludes the target" in text and "test-group-3" in text
    rows = {each.id: each for each in threshold_section(chosen, [chosen], shifts, expected=chosen.fpr).rows}
    assert len(rows["normals_by_group"].values) == 16 and rows["normals_by_group"].values[0][0] == "test-group-3"


def test_a_kept_target_is_passed_over(table: ScoreTable, validation_table: ScoreTable) -> None:
    chosen = at_threshold(alarm_threshold(validation_table, target_fpr=0.05), table)
    assert not chosen.misses_target and not list(threshold_caveats(chosen, ()))


def test_nothing_is_said_of_groups_that_are_not_known(table: ScoreTable, validation_table: ScoreTable) -> None:
    nameless = [replace(each, groups=("",) * len(each)) for each in (validation_table, table)]
    assert group_shifts(validation=nameless[0], test=nameless[1]) == ()
    assert group_shifts(validation=replace(validation_table, scores=np.ones(150)), test=table) == ()


@pytest.mark.parametrize("groups", [("",) * 150, ("", *("a",) * 149)])
def test_promises_of_unknown_groups(validation_table: ScoreTable, groups: tuple[str, ...]) -> None:
    kept = alarm_threshold(replace(validation_table, groups=groups), target_fpr=0.05).promise
    assert kept.num == (60 if groups[1] == "" else 2)
