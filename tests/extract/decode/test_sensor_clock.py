"""What a sensor file's time stamps may do, and what rows become of it."""

from pathlib import Path

import numpy as np
import pytest

from weldcache.errors import DecodeError
from weldcache.extract.decode.sensor_clock import Timing, read_clock
from weldcache.extract.decode.sensor_times import DAY_SECONDS, Stamps

STEP = 0.111
START = 10 * 3600.0


def ticks(number: int = 60, *, jitter: float = 0.02, seed: int = 0) -> np.ndarray:
    """About nine rows a second, as a polled bus gives them."""
    return START + STEP * np.arange(number) + np.random.default_rng(seed).uniform(-jitter, jitter, number)


def clock(seconds: np.ndarray) -> Timing:
    """Lines are counted from 2, behind the header."""
    return read_clock(
        Stamps(np.asarray(seconds) % 86_400, period=DAY_SECONDS),
        lines=np.arange(len(seconds)) + 2,
        path=Path("weld.csv"),
    )


def test_a_good_clock_is_left_alone_and_not_remarked_on() -> None:
    seconds = ticks()
    timing = clock(seconds)
    np.testing.assert_array_equal(timing.times, seconds - seconds[0])
    assert timing.rows.tolist() == list(range(60))
    assert timing.notes == ()


@pytest.mark.parametrize("late_by", [1, 2, 5])
def test_rows_written_late_are_sorted_and_counted(late_by: int) -> None:
    order = list(range(60))
    order.insert(20 + late_by, order.pop(20))
    timing = clock(ticks()[order])
    np.testing.assert_array_equal(timing.times, clock(ticks()).times)
    assert np.array(order)[timing.rows].tolist() == list(range(60))
    (note,) = timing.notes
    assert "1 row" in note
    assert f"line {20 + late_by + 2}" in note


@pytest.mark.parametrize("back", [0.35, 0.7, 2.0, 3600.0])
def test_a_clock_that_is_set_back_goes_on_in_the_order_of_the_file(back: float) -> None:
    seconds = ticks()
    true = seconds - seconds[0]
    seconds[30:] -= back
    timing = clock(seconds)
    assert timing.rows.tolist() == list(range(60))
    np.testing.assert_allclose(timing.times, true, atol=2 * STEP)
    (note,) = timing.notes
    assert "set back" in note
    assert "line 32" in note


def test_a_clock_that_is_set_back_over_midnight() -> None:
    seconds = ticks() - START + 86_400 - 3.0
    seconds[30:] -= 0.7  # the rows at which it is set are the first of the new day
    timing = clock(seconds)
    assert timing.rows.tolist() == list(range(60))
    assert timing.times[-1] == pytest.approx(59 * STEP, abs=2 * STEP)


def test_times_in_no_order_at_all_are_an_error_with_the_line() -> None:
    with pytest.raises(DecodeError, match=r"weld\.csv, line \d+: the times go back again and again"):
        clock(np.random.default_rng(0).permutation(ticks()))


def test_a_file_from_its_end_to_its_start_is_turned_round() -> None:
    timing = clock(ticks()[::-1])
    assert timing.rows.tolist() == list(reversed(range(60)))
    assert "59 rows" in timing.notes[0]


@pytest.mark.parametrize("gap", [14.0, 1200.0])
def test_a_gap_is_told_with_its_place_and_length(gap: float) -> None:
    seconds = ticks()
    seconds[30:] += gap
    timing = clock(seconds)
    np.testing.assert_array_equal(timing.times, seconds - seconds[0])
    (note,) = timing.notes
    assert "1 gap" in note
    assert "after line 31" in note
    assert ("14.1 s" if gap == 14.0 else "20 min 00 s") in note


def test_equal_stamps_of_a_coarse_clock_are_spread_evenly() -> None:
    seconds = ticks(40, jitter=0.0) + 0.4
    timing = clock(np.floor(seconds))
    assert timing.rows.tolist() == list(range(40))
    np.testing.assert_allclose(timing.times, seconds - seconds[0], atol=0.12)
    (note,) = timing.notes
    assert "steps of 1 s" in note


def test_a_time_that_is_there_twice_keeps_its_first_row_and_the_other_is_counted() -> None:
    seconds = np.insert(ticks(), 10, ticks()[9])
    timing = clock(seconds)
    assert timing.rows.tolist() == [row for row in range(61) if row != 10]
    (note,) = timing.notes
    assert "1 row has the time of another" in note
    assert "line 12" in note
