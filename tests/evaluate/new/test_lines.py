"""Lines of new samples: p-values of a set adjusted, files that are added to and what a kill has left of them."""

import csv
import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from weldcache.errors import OutputExistsError
from weldcache.evaluate.localise.maps import SampleMaps
from weldcache.evaluate.new.lines import Form, ScoreLines, adjusted_over_set
from weldcache.evaluate.new.scorer import ScoredSample
from weldcache.extract.sources.source import Sample
from weldcache.metrics.conformal import benjamini_hochberg


def told(key: str, p_value: float | None = 0.5, *, problem: str = "", **columns: float | None) -> ScoredSample:
    sample = Sample(key=key, split="test", group=key, files={})
    scores = {} if problem else {"score": 1.0, "p_value": p_value, **columns}
    return ScoredSample(sample, scores, False, problem, (), SampleMaps())


def add(path: Path, *samples: ScoredSample, form: Form = "csv") -> list[dict[str, str]]:
    """The file after these are added to it."""
    with path.open("a+", newline="", encoding="utf-8") as file, closing(ScoreLines.behind(file, form)) as lines:
        for each in samples:
            lines(each)
    if form == "jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_p_values_of_a_set_are_adjusted_and_those_that_have_none_keep_their_place() -> None:
    emitted: list[ScoredSample] = []
    with adjusted_over_set(emitted.append) as take:
        take(told("first", None))
        take(told("broken", problem="gone"))
        assert [each.sample.key for each in emitted] == ["first", "broken"]  # which need not wait
        for key, p_value in (("a", 0.02), ("b", None), ("c", 0.9), ("d", 0.03)):
            take(told(key, p_value))
        take(told("late", problem="gone"))
        assert len(emitted) == 2
    assert [each.sample.key for each in emitted] == ["first", "broken", "a", "b", "c", "d", "late"]
    assert list(emitted[0].columns) == ["score", "p_value", "adjusted_p_value"] and emitted[1].columns == {}
    expected = iter(benjamini_hochberg(np.array([0.02, 0.9, 0.03])).tolist())
    for each in emitted:
        p_value = each.columns.get("p_value")
        assert each.columns.get("adjusted_p_value") == (None if p_value is None else next(expected))


def test_a_set_that_ends_early_is_told_without() -> None:
    emitted: list[ScoredSample] = []
    with pytest.raises(KeyboardInterrupt), adjusted_over_set(emitted.append) as take:
        take(told("a", 0.02))
        raise KeyboardInterrupt
    assert [each.columns["adjusted_p_value"] for each in emitted] == [None]


def test_what_could_not_be_scored_is_written_at_once_and_again_below_the_heading(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    assert add(path, told("x", problem="gone"), told("y", problem="gone")) == [
        {"key": key, "problem": "gone", "notes": ""} for key in "xy"
    ]
    rows = add(path, told("z", problem="gone"), told("a"), told("b", problem="gone"))
    assert [(row["key"], row["score"], row["problem"]) for row in rows] == [
        ("x", "", "gone"),
        ("y", "", "gone"),
        ("z", "", "gone"),
        ("a", "1.0", ""),
        ("b", "", "gone"),
    ]
    before = path.read_text()
    with pytest.raises(OutputExistsError, match="columns"):
        add(path, told("c", other=1.0))
    assert path.read_text() == before


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_line_that_was_cut_short_is_taken_away_and_a_whole_one_is_kept(form: Form, tmp_path: Path) -> None:
    path = tmp_path / "scores"
    add(path, told("é"), told("b"), form=form)
    whole = path.read_text()
    path.write_text(whole[:-1])  # as some editors do
    assert [row["key"] for row in add(path, told("c"), form=form)] == ["é", "b", "c"]
    path.write_text(whole[:-3])
    assert [row["key"] for row in add(path, told("c"), form=form)] == ["é", "c"]


@pytest.mark.parametrize("content", [b"some notes\n", b"key,problem\na,b\n", b"\xff\xfe\n", b"[1]\n", b"\n", b"key,sc"])
def test_another_file_is_not_added_to(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scores"
    path.write_bytes(content)
    for form in ("csv", "jsonl"):
        with pytest.raises(OutputExistsError, match="--out"):
            add(path, told("a"), form=form)
        assert path.read_bytes() == content
