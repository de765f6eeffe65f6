"""How new samples are told: a line each, of CSV or of JSON, p-values of a set adjusted, and in the end how many there
were.
"""

import csv
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TextIO

import numpy as np

from ...documents import parse_json
from ...errors import OutputExistsError
from ...metrics.conformal import benjamini_hochberg
from ...progress import say
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
    num_held_against_threshold: int = 0  # no other can raise an alarm
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
        self.num_held_against_threshold += scored.columns.get("threshold") is not None
        if self.first_after is None:
            self.first_after = time.monotonic() - self.started

    def alarms(self) -> str:
        """How many alarms there were, or that there is no threshold that would raise one."""
        return count_of(self.num_alarms, "alarm") if self.num_held_against_threshold else "no threshold for alarms"

    def counted(self) -> str:
        """How many there were, without a full stop."""
        parts = [f"{count_of(self.num_scored, self.noun)} scored, {self.alarms()}"]
        parts += [f"{count_of(self.num_failed, self.noun)} could not be scored"] if self.num_failed else []
        return listed(parts)

    def document(self) -> dict[str, Any]:
        """The same as JSON values; no number of alarms where no threshold would raise one."""
        return {
            "noun": self.noun,
            "num_scored": self.num_scored,
            "num_failed": self.num_failed,
            "num_alarms": self.num_alarms if self.num_held_against_threshold else None,
        }

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


def sample_document(scored: ScoredSample) -> dict[str, Any]:
    """What is told of a sample, as JSON values."""
    return {"key": scored.sample.key, **scored.columns, "problem": scored.problem, "notes": scored.notes}


class ScoreLines:
    """Writes samples as lines of a CSV or JSON lines file.

    What could not be scored has no columns. In a CSV it waits for the first sample that has some; in a file that is
    added to it is written at once, and once more below the whole heading when that is known.
    """

    def __init__(self, file: TextIO, form: Form) -> None:
        self._file = file
        self._form = form
        self._columns: tuple[str, ...] | None = None
        self._bare: list[list[str]] = []  # key, problem and notes of what came before any columns were known
        self._is_added_to = False

    @classmethod
    def behind(cls, file: TextIO, form: Form) -> "ScoreLines":
        """Lines behind those of a file, which is open to be read and written.

        A last line that a full disk or a kill has cut short is taken away; its sample does not count as told.

        Raises:
            OutputExistsError: if the file is something else.
        """
        lines = cls(file, form)
        lines._is_added_to = True
        try:
            file.seek(0)
            content = file.read()
            whole, _, last = content.rpartition("\n")
            if content:
                lines._learn((whole if whole else last).split("\n"))
            if last and lines._is_whole(last):
                file.write("\n")
            elif last:
                file.seek(len(whole.encode()) + 1)
                file.truncate()
                say("The last line of what is added to was cut short, and is taken away.")
        except (ValueError, LookupError, TypeError, csv.Error):
            raise OutputExistsError(
                f"What is there is not {form} of new samples, and is not added to; name another --out or --format."
            ) from None
        return lines

    def _learn(self, told: Sequence[str]) -> None:
        """What columns there are; raises ValueError, LookupError, TypeError or csv.Error where it is something else."""
        if self._form == "jsonl":
            parse_json(told[0])["key"]
            return
        heading, *rows = csv.reader(told)
        if (*heading[:1], *heading[-2:]) != (*_BEFORE, *_BEHIND):
            raise ValueError(heading)
        self._columns = tuple(heading[1:-2]) or None
        self._bare = [] if self._columns else [row for row in rows if row]

    def _is_whole(self, line: str) -> bool:
        try:
            if self._form == "jsonl":
                return isinstance(parse_json(line), dict)
            (row,) = csv.reader([line], strict=True)
        except (ValueError, csv.Error):
            return False
        return len(row) == len(_BEFORE) + len(self._columns or ()) + len(_BEHIND)

    def __call__(self, scored: ScoredSample) -> None:
        """Write a sample, so that whoever reads the file sees it.

        Raises:
            OutputExistsError: if the file that is added to has other columns.
        """
        key, notes = scored.sample.key, "; ".join(scored.notes)
        headings = tuple(map(spreadsheet_cell, scored.columns))
        if self._form == "jsonl":
            self._file.write(json.dumps(sample_document(scored)) + "\n")
        elif not headings and self._columns is None:
            self._bare.append([key, scored.problem, notes])
            if self._is_added_to:
                self._write([*_BEFORE, *_BEHIND], *self._bare, anew=True)
        else:
            if self._columns is None:
                self._columns = headings
                blank = [""] * len(headings)
                bare = [[each[0], *blank, *each[1:]] for each in self._bare]
                self._write([*_BEFORE, *headings, *_BEHIND], *bare, anew=self._is_added_to)
            elif headings and headings != self._columns:
                raise OutputExistsError("The file to add to has other columns than this run tells; name another --out.")
            values = list(scored.columns.values()) or [None] * len(self._columns)
            self._write([key, *values, scored.problem, notes])
        self._file.flush()

    def close(self) -> None:
        """Write what waits for columns that have not come."""
        if self._bare and self._columns is None and not self._is_added_to:
            self._write([*_BEFORE, *_BEHIND], *self._bare)
            self._file.flush()

    def _write(self, *rows: Sequence[object], anew: bool = False) -> None:
        if anew:
            self._file.seek(0)
            self._file.truncate()
        csv.writer(self._file, lineterminator="\n").writerows(
            [spreadsheet_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
        )
