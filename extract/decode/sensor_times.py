"""Time stamps of a sensor file as seconds: times of day, dates with times, numbers in a unit.

How a file writes them is told by its first stamp, and all others must be written alike. A number alone does not tell
its unit: it is taken for Unix time where it has the size of that, and is refused otherwise until the setting `times`
says the unit.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
from jaxtyping import Float64

from ...errors import DecodeError
from ..features.settings import TimeUnit

# Of ASCII digits alone: float() and \d also take 1_000 and the digits of other scripts.
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_TIME_OF_DAY = re.compile(r"(\d{1,2}):(\d{2}):(\d{2}(?:\.\d+)?)", re.ASCII)
_DATE_AND_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(\.\d+)?\s?(?:(Z)|([+-])(\d{2}):?(\d{2}))?", re.ASCII
)

DAY_SECONDS = 86_400.0
_OF_SECONDS: dict[TimeUnit, Decimal] = {
    "seconds": Decimal(1),
    "milliseconds": Decimal("1e-3"),
    "microseconds": Decimal("1e-6"),
    "nanoseconds": Decimal("1e-9"),
}
# Unix time of the years 1973 to 5138 in each unit; the ranges do not meet, and a count since the recording's start of
# any of these sizes would have lasted for years, days or hours.
_UNIX_SIZES: dict[TimeUnit, tuple[float, float]] = {
    "seconds": (1e8, 1e11),
    "milliseconds": (1e11, 1e14),
    "microseconds": (1e14, 1e17),
    "nanoseconds": (1e17, 1e20),
}


@dataclass(frozen=True)
class Stamps:
    """The times of all rows, in the order of the file."""

    seconds: Float64[np.ndarray, " rows"]  # of times of day since midnight, of all others since the first row
    period: float | None = None  # after which they begin again; None: they tell the day as well
    notes: tuple[str, ...] = ()


def parse_stamps(texts: Sequence[str], *, unit: TimeUnit | None, name: str, places: Sequence[str]) -> Stamps:
    """Read the stamps of the column `name`, which stand at `places`.

    Raises:
        DecodeError: if one is malformed or written otherwise than the first, or is a number whose unit nobody tells.
    """
    stripped = [text.strip() for text in texts]
    first = stripped[0] if stripped else ""
    if unit is not None or NUMBER.fullmatch(first):
        return _numbers(stripped, unit=unit, name=name, places=places)
    if _DATE_AND_TIME.fullmatch(first):
        return _dates(stripped, name=name, places=places)
    parsed = [_time_of_day(text, name=name, place=place) for text, place in zip(texts, places, strict=True)]
    return Stamps(np.array(parsed, dtype=np.float64), period=DAY_SECONDS)


def _time_of_day(text: str, *, name: str, place: str) -> float:
    """Seconds since midnight."""
    found = _TIME_OF_DAY.fullmatch(text.strip())
    if found is None:
        raise DecodeError(
            f"{place}: {name} is {text!r}, expected HH:MM:SS.mmm, as 2026-01-31T10:00:00.000Z in all rows, or a "
            "number, whose unit the feature's setting `times` tells."
        )
    hours, minutes, seconds = int(found[1]), int(found[2]), float(found[3])
    if hours > 23 or minutes > 59 or seconds >= 60:
        raise DecodeError(f"{place}: {name} is {text!r}, which is no time of day.")
    return hours * 3600 + minutes * 60 + seconds


def _dates(texts: Sequence[str], *, name: str, places: Sequence[str]) -> Stamps:
    """ISO 8601: seconds since the first, to the last digit that is written."""
    read = [_date(text, name=name, place=place) for text, place in zip(texts, places, strict=True)]
    for (_, _, zoned), text, place in zip(read, texts, places, strict=True):
        if zoned != read[0][2]:
            raise DecodeError(f"{place}: {name} is {text!r}: some of its times tell their offset from UTC, others not.")
    start, start_fraction, _ = read[0]
    seconds = [(when - start).total_seconds() + float(fraction - start_fraction) for when, fraction, _ in read]
    return Stamps(np.array(seconds, dtype=np.float64))


def _date(text: str, *, name: str, place: str) -> tuple[datetime, Decimal, bool]:
    """The whole second in UTC, the rest of it, and whether an offset is written."""
    found = _DATE_AND_TIME.fullmatch(text)
    if found is None:
        raise DecodeError(f"{place}: {name} is {text!r}, expected a time as 2026-01-31T10:00:00.000Z, as the first.")
    date, time, fraction, utc, sign, hours, minutes = found.groups()
    try:
        when = datetime.fromisoformat(f"{date}T{time}")
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        zone = timezone(-offset if sign == "-" else offset)
        return when.replace(tzinfo=zone).astimezone(UTC), Decimal(fraction or 0), bool(utc or sign)
    except (ValueError, OverflowError) as error:
        raise DecodeError(f"{place}: {name} is {text!r}, which is no time ({error}).") from error


def _numbers(texts: Sequence[str], *, unit: TimeUnit | None, name: str, places: Sequence[str]) -> Stamps:
    """Numbers in one unit, from whatever start: only their distances count, and these are exact."""
    for text, place in zip(texts, places, strict=True):
        if not NUMBER.fullmatch(text):
            raise DecodeError(f"{place}: {name} is {text!r}, expected a number of {unit or 'any unit, as the first'}.")
    if not texts:
        return Stamps(np.zeros(0))
    notes = []
    if unit is None:
        unit = unix_unit(float(texts[0]), name=name, place=places[0])
        notes.append(unix_told(name, unit))
    start, scale = Decimal(texts[0]), _OF_SECONDS[unit]
    seconds = np.array([float((Decimal(text) - start) * scale) for text in texts])
    if not np.isfinite(seconds).all():
        where = int(np.argmin(np.isfinite(seconds)))
        raise DecodeError(f"{places[where]}: {name} is {texts[where]!r}, which is no time.")
    return Stamps(seconds, notes=tuple(notes))


def seconds_in(unit: TimeUnit) -> float:
    """How long one of the unit is."""
    return float(_OF_SECONDS[unit])


def unix_unit(number: float, *, name: str, place: str) -> TimeUnit:
    """The unit in which `number` is a Unix time.

    Raises:
        DecodeError: if there is none.
    """
    for unit, (low, high) in _UNIX_SIZES.items():
        if math.isfinite(number) and low <= number < high:
            return unit
    raise DecodeError(
        f"{place}: {name} is the number {number:g}, which does not tell its unit; the feature's setting `times` does, "
        "such as times=seconds."
    )


def unix_told(name: str, unit: TimeUnit) -> str:
    """In words, that a unit was told by the size of the numbers."""
    return f"the numbers in {name} are taken for Unix time in {unit}, by their size: times={unit} says so"
