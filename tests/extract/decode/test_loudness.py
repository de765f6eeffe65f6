"""When one hears the arc, on noise with a louder part in it."""

import numpy as np
import pytest

from weldcache.extract.decode.loudness import WINDOW_SECONDS, heard_span

RATE = 16_000
ONSET, END, TOTAL = 5.03, 24.02, 30.0
TIMES = np.arange(round(TOTAL * RATE)) / RATE
ON = (TIMES >= ONSET) & (TIMES < END)


def hiss(*, background: float, weld: float, seed: int = 0) -> np.ndarray:
    """White noise whose RMS is `background`, and `weld` with the arc on."""
    return np.random.default_rng(seed).standard_normal(len(TIMES)) * np.where(ON, weld, background)


def heard(signal: np.ndarray) -> np.ndarray:
    return heard_span(np.clip(signal, -1, 1).astype(np.float32), rate=RATE)


@pytest.mark.parametrize("decibels", [8, 12, 20, 40, 60])
@pytest.mark.parametrize("seed", range(3))
def test_onset_and_end_are_right_to_a_window(decibels: float, seed: int) -> None:
    signal = hiss(background=0.3 * 10 ** (-decibels / 20), weld=0.3, seed=seed)
    np.testing.assert_allclose(heard(signal), [ONSET, END], atol=WINDOW_SECONDS)


def test_hum_that_is_louder_than_the_weld_does_no_harm() -> None:
    hum = 0.5 * np.sin(2 * np.pi * 50 * TIMES) + 0.2 * np.sin(2 * np.pi * 100 * TIMES)
    assert np.sqrt(np.mean(hum**2)) > 5 * 0.05
    signal = hum + hiss(background=0.005, weld=0.05)
    np.testing.assert_allclose(heard(signal), [ONSET, END], atol=WINDOW_SECONDS)


def test_clicks_and_knocks_do_not_count() -> None:
    signal = hiss(background=0.005, weld=0.1)
    for seconds in (0.0, 1.7, 3.2, 26.0, 29.4):
        place = round(seconds * RATE)
        signal[place : place + 10] = 0.9
        signal[place + 8000 : place + 8000 + 3200] *= 40  # a knock of 0.2 s
    np.testing.assert_allclose(heard(signal), [ONSET, END], atol=WINDOW_SECONDS)


def test_pauses_within_the_weld_do_not_part_it() -> None:
    signal = hiss(background=0.005, weld=0.1)
    for seconds in (8.0, 12.0):
        signal[round(seconds * RATE) : round((seconds + 2.0) * RATE)] /= 20
    np.testing.assert_allclose(heard(signal), [ONSET, END], atol=WINDOW_SECONDS)


def test_pulses_are_a_weld_too() -> None:
    pulses = np.zeros(len(TIMES))
    pulses[:: RATE // 62] = 0.8  # short circuits
    signal = pulses * ON + hiss(background=0.003, weld=0.003)
    np.testing.assert_allclose(heard(signal), [ONSET, END], atol=WINDOW_SECONDS)


@pytest.mark.parametrize(
    "signal",
    [
        np.zeros(len(TIMES)),
        hiss(background=0.1, weld=0.1),
        hiss(background=0.1, weld=0.13),
        0.5 * np.sin(2 * np.pi * 50 * TIMES),
        np.random.default_rng(0).integers(0, 2, len(TIMES)) / 32_768 * ON,  # the last bit's noise
        hiss(background=0.1, weld=0.1)[:900],
        np.ones(1),
    ],
    ids=["silence", "noise", "noise with 2 dB more", "hum", "one bit", "one window", "one sample"],
)
def test_where_nothing_stands_out_there_is_no_onset(signal: np.ndarray) -> None:
    assert np.isnan(heard(signal)).all()


def test_a_weld_that_is_cut_off_reaches_the_end() -> None:
    signal = hiss(background=0.005, weld=0.1)[: 20 * RATE]
    np.testing.assert_allclose(heard(signal), [ONSET, 20.0], atol=WINDOW_SECONDS)
