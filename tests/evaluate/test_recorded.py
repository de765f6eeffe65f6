"""Validation comes out as training recorded it: rounding is forgiven, a difference is not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from weldcache.evaluate.recorded import (
    Representation,
    Spread,
    collapse_caveats,
    representations,
    spreads_of,
    watched_representations,
)
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.tasks.anomaly.caveats import reproduction_caveats
from weldcache.metrics.ranking import auroc


def _caveats(
    table: ScoreTable, recorded: float | None, *, keys: tuple[str, ...] | None = None, precision: str = "float32"
) -> tuple[str, ...]:
    return reproduction_caveats(table, recorded=recorded, recorded_keys=keys or table.keys, precision=precision)


def test_the_same_to_the_last_bit_or_nothing_to_compare_with(validation_table: ScoreTable) -> None:
    assert _caveats(validation_table, auroc(validation_table.scores, validation_table.labels)) == ()
    assert _caveats(validation_table, None) == ()


@pytest.mark.parametrize("seed", range(5))
def test_rounding_never_raises_it(seed: int, validation_table: ScoreTable) -> None:
    table = validation_table
    recorded = auroc(table.scores, table.labels)
    generator = np.random.default_rng(seed)
    for precision, relative in (("float32", 1e-4), ("bfloat16", 2e-2)):
        moved = table.scores + generator.uniform(-1, 1, len(table)) * relative * table.scores.max()
        assert _caveats(replace(table, scores=moved), recorded, precision=precision) == ()


def test_one_pair_turned_beyond_rounding_raises_it(make_table: Callable[..., ScoreTable]) -> None:
    table = replace(make_table(num_normal=2, num_defect=2), scores=np.array([1.0, 2.0, 3.0, 4.0]))
    (text,) = _caveats(table, 0.75)
    assert "an AUROC of 1.0000, and training recorded 0.7500" in text
    nearly = replace(table, scores=np.array([1.0, 2.9999, 3.0, 4.0]))
    assert _caveats(nearly, 0.75) == ()
    assert len(_caveats(nearly, 0.5)) == 1  # one pair is that close, not two


def test_samples_that_came_later_do_not_count(validation_table: ScoreTable) -> None:
    known = validation_table.select(np.arange(len(validation_table)) % 2 == 0)
    recorded = auroc(known.scores, known.labels)
    assert recorded != auroc(validation_table.scores, validation_table.labels)
    assert _caveats(validation_table, recorded, keys=known.keys) == ()


def test_samples_that_are_gone_leave_nothing_to_check(validation_table: ScoreTable) -> None:
    (text,) = _caveats(validation_table, 0.1, keys=(*validation_table.keys, "val/lost"))
    assert "1 of the 151 samples that training validated on is not among" in text


def _row(epoch: int, *, name: str = "z_result", rank: float = 20.0, std: float = 0.07) -> dict[str, Any]:
    figures = {"effective_rank": rank, "std": std, "std_min": std / 4, "std_max": 3 * std}
    return {"epoch": epoch, "loss": 1.0} | {f"{name}_{figure}": value for figure, value in figures.items()}


def test_first_best_and_last_epoch_of_each() -> None:
    metrics = [_row(epoch, rank=30.0 - epoch) | _row(epoch, name="day/z_pred") for epoch in range(1, 8)]
    assert watched_representations(metrics) == ("z_result", "day/z_pred")
    found = representations(metrics, best_epoch=5)
    assert list(found) == ["z_result", "day/z_pred"]
    assert found["z_result"].first == Spread(1, effective_rank=29.0, std=0.07, std_min=0.0175, std_max=3 * 0.07)
    assert [found["z_result"].best.effective_rank, found["z_result"].last.effective_rank] == [25, 23]


def test_a_log_that_tells_nothing_or_not_enough() -> None:
    assert representations([], best_epoch=1) == {}
    assert representations([{"epoch": 1, "loss": 0.5}], best_epoch=1) == {}
    gap = {**_row(2), "z_result_std": None}
    assert [spread.epoch for spread in spreads_of("z_result", [_row(1), gap, _row(3)])] == [1, 3]
    assert representations([_row(1), gap], best_epoch=2) == {}


@pytest.mark.parametrize(
    ("rank", "std", "signs"),
    [
        (20.0, 0.07, []),
        (20.0, 0.0036, []),  # 5.1 % of the first epoch's
        (20.0, 0.0034, ["its spread is 4.9% of what it was after epoch 1"]),
        (2.0, 0.07, []),
        (1.9, 0.07, ["its effective rank is 1.9"]),
        (1.0, 0.0001, ["its effective rank is 1.0", "its spread is 0.1%"]),
    ],
)
def test_what_counts_as_collapse(rank: float, std: float, signs: list[str]) -> None:
    found = representations([_row(1), _row(2, rank=rank, std=std), _row(3)], best_epoch=2)
    texts = collapse_caveats(found, num_samples=60)
    assert len(texts) == bool(signs)
    assert all(sign in texts[0] for sign in signs)
    assert all("a sign, not a verdict" in text and "epoch, 2" in text for text in texts)


def test_a_constant_from_the_start_is_collapse_by_its_rank() -> None:
    constant = Spread(1, effective_rank=0.0, std=0.0, std_min=0.0, std_max=0.0)
    (text,) = collapse_caveats({"code": Representation(constant, constant, constant)}, num_samples=60)
    assert "The representation code" in text and "its spread" not in text


def test_few_normals_fill_few_directions_whatever_the_model_does() -> None:
    found = representations([_row(1, rank=1.9)], best_epoch=1)
    assert collapse_caveats(found, num_samples=3) == ()
    assert len(collapse_caveats(found, num_samples=10)) == 1
