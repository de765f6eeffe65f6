"""How new samples are told: a line each, of CSV or of JSON, and in the end how many there were."""

import csv
import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, TextIO

from ...errors import OutputExistsError
from ...wording import count_of, format_seconds, listed, spreadsheet_cell
from .scorer import ScoredSample

Form = Literal["csv", "jsonl"]
Emit = Callable[[ScoredSample], None]

_BEFORE, _BEHIND = ("key",), ("problem", "notes")  # what the run's judge tells of a sample


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
