"""The machine's sensor file: six channels about nine times a second, in the real header's quirky form."""

import datetime
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from .recording import Clock
from .state import MAX_CURRENT_A, OPEN_CIRCUIT_V, WeldState, along

SAMPLES_PER_SECOND = 9.0
# The trailing space and the one field fewer in each data row are the real files' own.
_COLUMNS = "Date,Time,Part No,Pressure,CO2 Weld Flow,Feed,Primary Weld Current,Wire Consumed,Secondary Weld Voltage"
_LAST_COLUMN = "Remarks "
# What the real files lack and a plan may ask for: the speed (cm/min) and the plate's thickness (mm), with the largest
# magnitude of each that is a measurement.
OBSERVED: Mapping[str, float] = MappingProxyType({"Robot Speed": 300.0, "Plate Thickness": 100.0})
_PART_NUMBER = "HX-1207"

Readings = Float[np.ndarray, "rows 6"]


def sensor_times(clock: Clock, *, generator: np.random.Generator) -> Float[np.ndarray, " rows"]:
    """Seconds of each row: about 9 Hz, with the jitter of a polled bus."""
    rows = max(int(clock.total * SAMPLES_PER_SECOND), 4)
    return (np.arange(rows) + generator.uniform(-0.12, 0.12, size=rows) + 0.15) / SAMPLES_PER_SECOND


def sensor_readings(
    state: WeldState, *, clock: Clock, times: Float[np.ndarray, " rows"], generator: np.random.Generator
) -> Readings:
    """Pressure (bar), gas flow (l/min), feed, current (A), wire consumed and voltage (V) at `times`."""
    arc, rows = state.process, len(times)
    place = clock.progress(times)
    on = (place >= 0) & (place <= 1)
    extent = along(arc.extent, np.clip(place, 0, 1))
    heat = along(arc.profile, np.clip(place, 0, 1))
    noise = generator.standard_normal((6, rows))
    restless = 1 - arc.stability
    sag = arc.drift * (np.clip(place, 0, 1) - 0.35)
    event = sum((np.exp(-(((place - site) / 0.02) ** 2)) for site in state.sites), start=np.zeros(rows))

    ramp = np.clip(place / 0.02, 0.5, 1) * np.where(place > 0.95, 1 - arc.crater_fill * 8 * (place - 0.95), 1.0)
    slow = _wander(generator, rows=rows)
    current = arc.current * np.exp(0.45 * heat + 0.02 * slow[0] - 0.25 * sag + (0.01 + 0.12 * restless) * noise[3])
    current = np.where(on, current * ramp * (1 - 0.5 * event), 0.3 * np.abs(noise[3]))
    voltage = arc.voltage * np.exp(0.1 * heat + 0.01 * slow[1] + 0.22 * sag + (0.008 + 0.09 * restless) * noise[5])
    ready = ~on & (place > -0.25) & (place < 0)
    idle = np.where(ready, OPEN_CIRCUIT_V + 0.15 * noise[5], 0.2 * np.abs(noise[5]))
    voltage = np.where(on, voltage * (1 + 0.35 * event), idle)
    feed = np.where(on, arc.feed * (1 + 0.012 * noise[2] + 0.02 * slow[2] + 0.1 * restless * noise[0]), 0.0)
    starved = (1 - arc.shielding) * extent
    gas_on = (place > -0.12) & (place < 1.08)
    flow = np.where(gas_on, arc.gas_flow * (1 - 0.25 * starved * np.abs(noise[4])) + 0.25 * noise[1], 0.03 * noise[1])
    pressure = np.where(gas_on, arc.pressure, arc.pressure * 1.12) + 0.012 * noise[0]
    steps = np.diff(times, prepend=times[0])
    consumed = float(generator.uniform(0, 2500)) + np.cumsum(feed * steps / 2.0)
    columns = (
        np.clip(pressure, -0.07, 4.9),
        np.clip(flow, -0.07, 50.0),
        np.clip(feed, 0.0, 180.0),
        np.clip(current, 0.0, MAX_CURRENT_A + 6),
        np.clip(consumed, 0.0, 5001.0),
        np.clip(voltage, 0.0, 82.0),
    )
    return np.stack(columns, axis=1)


def observed_readings(
    state: WeldState, *, clock: Clock, times: Float[np.ndarray, " rows"], generator: np.random.Generator
) -> Float[np.ndarray, "rows 2"]:
    """The columns of `OBSERVED` at `times`: without the arc the robot stands still; the plate is gauged always."""
    arc, place = state.process, clock.progress(times)
    noise = generator.standard_normal((2, len(times)))
    speed = np.where((place >= 0) & (place <= 1), arc.speed * (1 + 0.01 * noise[0]), 0.0)
    return np.stack([speed, arc.thickness + 0.02 * noise[1]], axis=1)


def sensor_csv(
    readings: Readings,
    *,
    times: Float[np.ndarray, " rows"],
    start: datetime.datetime,
    further: Float[np.ndarray, "rows 2"] | None = None,
) -> str:
    """The file's text; `start` is the wall-clock time of second 0, `further` are the columns of `OBSERVED`."""
    lines = [",".join([_COLUMNS, *([] if further is None else OBSERVED), _LAST_COLUMN])]
    more = [""] * len(times) if further is None else [f",{speed:.2f},{thick:.3f}" for speed, thick in further.tolist()]
    for seconds, row, tail in zip(times.tolist(), readings.tolist(), more, strict=True):
        stamp = start + datetime.timedelta(seconds=seconds)
        pressure, flow, feed, current, consumed, voltage = row
        moment = f"{stamp:%m/%d/%y},{stamp:%H:%M:%S}.{stamp.microsecond // 1000:03d}"
        gas = f"{pressure:.3f},{flow:.2f}"
        lines.append(f"{moment},{_PART_NUMBER},{gas},{feed:.1f},{current:.1f},{consumed:.1f},{voltage:.2f}{tail}")
    return "\n".join(lines) + "\n"


def _wander(generator: np.random.Generator, *, rows: int) -> Float[np.ndarray, "3 rows"]:
    """Three slow drifts of about unit size, as of warming cables and a slipping wire drive."""
    steps = generator.standard_normal((3, rows)).cumsum(axis=1)
    return np.asarray(steps / np.sqrt(np.arange(1, rows + 1) + 4))
