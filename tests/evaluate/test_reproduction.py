"""Validation comes out as training recorded it: rounding is forgiven, a difference is not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from weldcache.evaluate.reproduction import reproduction_caveats
from weldcache.evaluate.scores import ScoreTable
from weldcache.metrics.auroc import auroc


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
    assert "1 of the 151 samples that training validated on are not among" in text
