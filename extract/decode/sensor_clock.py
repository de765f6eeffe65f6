"""The clock of a sensor file: rows in the order of time, and in words what their time stamps did on the way.

Rows that a logger wrote late are sorted, since their stamps are right. A clock that was set back while it recorded is
another matter: sorting would lay two times over each other, so there the file's order is kept and the clock goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ...errors import DecodeError
from ...wording import count_of, format_seconds, shortened
from ..sources.source import SeriesFormat
from .sensor_rows import MOST_SHOWN, is_coarse, lines_told
from .sensor_times import Stamps

_MOST_SET_BACKS = 5  # of a clock, in one recording, and one in so many rows; more, and the file is in no order
_ROWS_A_SET_BACK = 20
_GAP_SECONDS = 1.0
_GAP_STEPS = 10  # usual ones; a longer step than both is a gap
_HOLE_STEPS = 4
_DENSITY = 0.75  # of the usual distance; two times laid over each other stand at about half of it


@dataclass(frozen=True)
class Timing:
    """Which rows are kept, in the order of time, and when each was taken in seconds from the first."""

    rows: Int64[np.ndarray, " kept"]
    times: Float64[np.ndarray, " kept"]  # strictly ascending
    notes: tuple[str, ...]


def read_clock(
    stamps: Stamps, *, lines: Int64[np.ndarray, " rows"], max_seconds: float = SeriesFormat.max_seconds, path: Path
) -> Timing:
    """Put rows in the order of time; `stamps` are in the order of the file, `lines` their lines there.

    Times of day unroll over midnight: a step of more than half a day is a step into another day, which needs no guess
    at the format of `Date`. Where a clock counts more slowly than rows follow, those of one stamp are spread evenly up
    to the next. Of rows with one time otherwise, the first is kept.

    Raises:
        DecodeError: if there are not two times, the clock goes back again and again, or the times span more than
            `max_seconds`: hours are wrong time stamps or several recordings, unless somebody says otherwise.
    """
    seconds = stamps.seconds
    if len(np.unique(seconds)) < 2:
        raise DecodeError(
            f"{path}: the sensor file has {len(np.unique(seconds))} distinct times, and at least 2 are needed."
        )
    times, notes = _spread_over_stamps(seconds if stamps.period is None else np.unwrap(seconds, period=stamps.period))
    usual = float(np.median(np.abs(steps := np.diff(times))[steps != 0]))
    times, set_backs = _undo_set_backs(times, usual=usual, lines=lines, path=path)
    notes += set_backs
    late = np.flatnonzero(np.diff(times) < 0) + 1
    if len(late):
        where = count_of(len(late), "row was", "rows were")
        notes.append(f"{where} written late and put in the order of time ({lines_told(lines[late].tolist())})")
    # np.unique sorts, and its indices are those of first occurrences.
    ordered, rows = np.unique(times, return_index=True)
    if repeated := sorted(set(range(len(times))) - set(rows.tolist())):
        where = count_of(len(repeated), "row has", "rows have")
        notes.append(f"{where} the time of another and no part in this ({lines_told(lines[repeated].tolist())})")
    ordered -= ordered[0]
    if ordered[-1] > max_seconds:
        raise DecodeError(
            f"{path}: the times span {ordered[-1] / 3600:.1f} h, so the time stamps are wrong or the file holds "
            f"several recordings; if it is one, raise max_seconds, which is {max_seconds:g}."
        )
    return Timing(rows, ordered, (*stamps.notes, *notes, *_gaps(ordered, lines=lines[rows], usual=usual)))


def _spread_over_stamps(times: Float64[np.ndarray, " rows"]) -> tuple[Float64[np.ndarray, " rows"], list[str]]:
    """Times as they are, or spread where the clock counts more slowly than rows follow."""
    if not is_coarse(times):
        return times, []
    starts = np.flatnonzero(np.diff(times, prepend=np.nan) != 0)
    sizes = np.diff(starts, append=len(times))
    steps = np.diff(times[starts])
    unit = float(np.median(np.abs(steps)))
    room = np.append(np.where((steps > 0) & (steps < unit), steps, unit), unit)
    # The first stamp may have been under way when the recording began, and the last not over when it ended.
    most, firsts = int(sizes.max()), np.zeros(len(sizes))
    firsts[0] = most - sizes[0]
    counts = np.concatenate(([most], sizes[1:-1], [most]))
    within = np.arange(len(times)) - np.repeat(starts, sizes) + np.repeat(firsts, sizes)
    spread = times + within / np.repeat(counts, sizes) * np.repeat(room, sizes)
    return spread, [f"its clock counts in steps of {unit:g} s: up to {most} rows of one time are spread evenly over it"]


def _undo_set_backs(
    times: Float64[np.ndarray, " rows"], *, usual: float, lines: Int64[np.ndarray, " rows"], path: Path
) -> tuple[Float64[np.ndarray, " rows"], list[str]]:
    """Let a clock that was set back go on one usual step after the row before."""
    notes: list[str] = []
    times = times.copy()
    while len(found := _set_backs(times, usual=usual)):
        row = int(found[0])
        if len(notes) == max(1, min(_MOST_SET_BACKS, len(times) // _ROWS_A_SET_BACK)):
            raise DecodeError(
                f"{path}, line {lines[row]}: the times go back again and again, so the rows are in no order that can "
                "be told; sort the file by time."
            )
        back = times[row - 1] - times[row]
        notes.append(
            f"the clock is set back by {format_seconds(back + usual)} in line {lines[row]}; it is taken to go on after "
            f"a usual step of {usual:.3g} s"
        )
        times[row:] += back + usual
    return times, notes


def _set_backs(times: Float64[np.ndarray, " rows"], *, usual: float) -> Int64[np.ndarray, " found"]:
    """Rows at which time goes back because the clock was set, and not because a row was written late.

    A late row fills the hole that it left: between it and the latest time before it, rows stand about a usual step
    apart. After a set-back they are twice as dense there, or lie in two heaps.
    """
    back = np.flatnonzero(np.diff(times) < 0) + 1
    low, high = times[back], np.maximum.accumulate(times)[back]
    ordered = np.sort(times)
    first, last = np.searchsorted(ordered, low), np.searchsorted(ordered, high)
    dense: Bool[np.ndarray, " back"] = (high - low) < _DENSITY * usual * (last - first)
    holes = np.cumsum(np.diff(ordered, prepend=ordered[0]) > _HOLE_STEPS * usual)
    heaps: Bool[np.ndarray, " back"] = holes[last] > holes[first]
    return np.asarray(back[(dense & (high - low > usual)) | heaps])


def _gaps(times: Float64[np.ndarray, " kept"], *, lines: Int64[np.ndarray, " kept"], usual: float) -> Sequence[str]:
    steps = np.diff(times)
    found = np.flatnonzero(steps > max(_GAP_SECONDS, _GAP_STEPS * usual)).tolist()
    shown = shortened([f"{format_seconds(steps[row])} after line {lines[row]}" for row in found], most=MOST_SHOWN)
    return [f"{count_of(len(found), 'gap')} bridged by straight lines: {shown}"] if found else []
