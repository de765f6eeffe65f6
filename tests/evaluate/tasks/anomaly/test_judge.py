"""What the judge of anomaly detectors writes of each sample: a CSV that loses nothing."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weldcache.evaluate.scores import ScoreTable, write_columns
from weldcache.evaluate.tasks.anomaly.judge import score_columns
from weldcache.metrics.ranking import auroc


def test_csv_reads_back_to_the_same_numbers(table: ScoreTable, tmp_path: Path) -> None:
    awkward = replace(table, class_names=('a, "quoted" name', *table.class_names[1:]))
    write_columns(tmp_path / "runs" / "scores_test.csv", score_columns(awkward, threshold=31.5))
    with (tmp_path / "runs" / "scores_test.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0])[:6] == ["key", "split", "class_name", "group", "label", "score"]
    assert tuple(row["key"] for row in rows) == table.keys
    assert rows[0]["class_name"] == 'a, "quoted" name'
    scores, raw_scores = (np.array([float(row[name]) for row in rows]) for name in ("score", "raw_weights_score"))
    np.testing.assert_array_equal(scores, table.scores)
    np.testing.assert_array_equal(raw_scores, table.raw_scores)
    assert auroc(scores, np.array([int(row["label"]) for row in rows])) == auroc(table.scores, table.labels)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["scores_test.csv"]


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1+1", "@SUM(A1)", "-2", "\tx"])
def test_names_that_a_spreadsheet_would_run_are_text(table: ScoreTable, tmp_path: Path, name: str) -> None:
    hostile = replace(table, keys=(name, *table.keys[1:]), groups=(name, *table.groups[1:]))
    write_columns(tmp_path / "scores.csv", score_columns(hostile, threshold=0.0))
    with (tmp_path / "scores.csv").open(newline="") as handle:
        first = next(csv.DictReader(handle))
    assert first["key"] == first["group"] and first["key"][0] in "'\\" and name.strip() in first["key"]


def test_csv_says_who_lacks_what_on_which_scale_and_who_raises_an_alarm(
    make_table: Callable[..., ScoreTable], tmp_path: Path
) -> None:
    scores, lacks = np.array([1.0, 4.0, 2.0, 3.0]), ("", "", "audio+image", "video")
    table = replace(make_table(num_normal=2, num_defect=2), scores=scores, lacks=lacks)
    table = replace(table, scales=("whole", "whole", "rescaled", "own"))
    write_columns(tmp_path / "scores.csv", score_columns(table, threshold=2.0))
    with (tmp_path / "scores.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["alarm"] for row in rows] == ["0", "1", "0", ""]  # no threshold speaks of a scale of its own
    assert {row["threshold"] for row in rows} == {"2.0"}
    assert tuple(row["lacks"] for row in rows) == lacks
    assert tuple(row["scale"] for row in rows) == table.scales
