"""How new samples are told: a line each, of CSV or of JSON, p-values of a set adjusted, and in the end how many there
were.
"""

import csv
import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, TextIO

import numpy as np

from ...errors import OutputExistsError
from ...metrics.conformal import benjamini_hochberg
from ...wording import count_of, format_seconds, listed, spreadsheet_cell
from .scorer import ScoredSample

Form = Literal["csv", "jsonl"]
Emit = Callable[[ScoredSample], None]

_BEFORE, _BEHIND = ("key",), ("problem", "notes")  # what the run's judge tells of a sample
_P_VALUE, _ADJUSTED = "p_value", "adjusted_p_value"


@dataclass
class Tally:
    """What has been told of new samples so far."""

    noun: str
    num_scored: int = 0
    num_alarms: int = 0
    num_failed: int = 0
    started: float = field(default_factory=time.monotonic)
    first_after: float | None = None  # seconds until the first score

    def add(self, scored: ScoredSample) -> None:
        """Count one sample."""
        if scored.problem:
            self.num_failed += 1
            return
        self.num_scored += 1
        self.num_alarms += scored.alarm
        if self.first_after is None:
            self.first_after = time.monotonic() - self.started

    def counted(self) -> str:
        """How many there were, without a full stop."""
        parts = [f"{count_of(self.num_scored, self.noun)} scored, {count_of(self.num_alarms, 'alarm')}"]
        parts += [f"{count_of(self.num_failed, self.noun)} could not be scored"] if self.num_failed else []
        return listed(parts)

    def told(self) -> str:
        """How many there were, and how long it took."""
        took = f"It took {format_seconds(time.monotonic() - self.started)}"
        took += "" if self.first_after is None else f", until the first score {format_seconds(self.first_after)}"
        return f"{self.counted()}. {took}."


@contextmanager
def adjusted_over_set(emit: Emit) -> Iterator[Emit]:
    """Hand samples on to `emit`, with their p-values adjusted for there being many (Benjamini and Hochberg), as in what
    `eval` writes: of those at most q, the share q at most is of normals, in the mean.

    That takes all of a set, so those that have a p-value wait for the end. If it never comes, they are handed on
    without.
    """
    waiting: list[ScoredSample] = []

    def take(scored: ScoredSample) -> None:
        if waiting or scored.columns.get(_P_VALUE) is not None:
            waiting.append(scored)
        else:
            emit(_with_adjusted(scored, None))

    try:
        yield take
    except BaseException:
        for scored in waiting:
            emit(_with_adjusted(scored, None))
        raise
    found = np.array([scored.columns.get(_P_VALUE) for scored in waiting], dtype=np.float64)
    known = ~np.isnan(found)
    found[known] = benjamini_hochberg(found[known])
    for scored, value in zip(waiting, found.tolist(), strict=True):
        emit(_with_adjusted(scored, None if math.isnan(value) else value))


def _with_adjusted(scored: ScoredSample, value: float | None) -> ScoredSample:
    """The sample with this behind its p-value; as it is where none is told."""
    columns = dict[str, str | float | int | None]()
    for name, told in scored.columns.items():
        columns[name] = told
        if name == _P_VALUE:
            columns[_ADJUSTED] = value
    return replace(scored, columns=columns)


class ScoreLines:
    """Writes samples as lines of a CSV or JSON lines file.

    What could not be scored has no columns: in a new CSV file such samples wait for the first that has some.
    """

    def __init__(self, file: TextIO, form: Form, *, header: Sequence[str] | None = None) -> None:
        """`header` is the first row of a CSV file that is gone on with."""
        self._file = file
        self._form = form
        self._columns = None if header is None else tuple(header[len(_BEFORE) : -len(_BEHIND)])
        self._waiting: list[ScoredSample] = []

    def __call__(self, scored: ScoredSample) -> None:
        """Write a sample, so that whoever reads the file sees it.

        Raises:
            OutputExistsError: if the file that is gone on with has other columns.
        """
        if self._form == "jsonl":
            told = {"key": scored.sample.key, **scored.columns, "problem": scored.problem, "notes": scored.notes}
            self._file.write(json.dumps(told) + "\n")
        else:
            self._waiting.append(scored)
            if scored.columns or self._columns is not None:
                self._write_rows(scored.columns)
        self._file.flush()

    def close(self) -> None:
        """Write what waits for columns that have not come."""
        if self._waiting:
            self._write_rows({})
            self._file.flush()

    def _write_rows(self, columns: Collection[str]) -> None:
        writer = csv.writer(self._file, lineterminator="\n")
        headings = tuple(map(spreadsheet_cell, columns))
        if self._columns is None:
            self._columns = headings
            writer.writerow([*_BEFORE, *headings, *_BEHIND])
        elif columns and headings != self._columns:
            raise OutputExistsError("The file to go on with has other columns than this run tells; name another --out.")
        for scored in self._waiting:
            values = list(scored.columns.values()) or [None] * len(self._columns)
            cells = [scored.sample.key, *values, scored.problem, "; ".join(scored.notes)]
            writer.writerow([spreadsheet_cell(cell) if isinstance(cell, str) else cell for cell in cells])
        self._waiting = []
