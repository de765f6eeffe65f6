"""When the picture is lit, on series of mean brightness like those of films."""

import numpy as np
import pytest

from weldcache.extract.decode.brightness import SECONDS_BETWEEN_MEASURES, brightness, lit_span

TIMES = np.arange(150) * SECONDS_BETWEEN_MEASURES


def series(*, dark: float, lit: float, first: int = 30, last: int = 119, flicker: float = 0.0) -> np.ndarray:
    """150 measures, half a minute; the noise of a mean over a picture is small."""
    generator = np.random.default_rng(4)
    levels = np.full(150, dark)
    steps = np.clip(flicker * generator.standard_normal(last + 1 - first), -1.0, 0.8)
    levels[first : last + 1] = lit * np.exp(steps)
    return np.clip(levels + 0.2 * generator.standard_normal(150), 0.0, 255.0)


def test_brightness_is_the_mean_of_a_few_rows() -> None:
    picture = np.zeros((600, 960, 3), dtype=np.uint8)
    assert brightness(picture) == 0.0
    picture[:300] = 100
    assert brightness(picture) == pytest.approx(50, abs=1)
    noisy = np.random.default_rng(0).integers(0, 80, size=picture.shape, dtype=np.uint8)
    assert brightness(noisy) == pytest.approx(noisy.mean(), abs=0.5)
    assert brightness(np.full((5, 7, 3), (10, 20, 60), dtype=np.uint8)) == pytest.approx(30)


@pytest.mark.parametrize(
    ("dark", "lit", "flicker"),
    [(4, 40, 0.1), (4, 40, 0.45), (0, 10, 0.1), (16, 50, 0.2), (60, 110, 0.05), (4, 250, 0.0)],
)
def test_the_arc_is_between_the_first_and_the_last_lit_picture(dark: float, lit: float, flicker: float) -> None:
    found = lit_span(series(dark=dark, lit=lit, flicker=flicker), times=TIMES)
    np.testing.assert_allclose(found, TIMES[[30, 119]], atol=SECONDS_BETWEEN_MEASURES if flicker > 0.2 else 1e-9)


@pytest.mark.parametrize(("first", "last"), [(0, 119), (30, 149), (2, 147), (70, 75)])
def test_long_and_short_arcs(first: int, last: int) -> None:
    found = lit_span(series(dark=4, lit=40, first=first, last=last), times=TIMES)
    np.testing.assert_array_equal(found, TIMES[[first, last]])


def test_the_glow_after_the_arc_is_not_the_arc() -> None:
    levels = series(dark=4, lit=40)
    levels[120:] += 9 * np.exp(-np.arange(30) * SECONDS_BETWEEN_MEASURES / 0.5)
    np.testing.assert_array_equal(lit_span(levels, times=TIMES), TIMES[[30, 119]])


def test_a_flash_before_and_a_dark_picture_within_do_not_count() -> None:
    levels = series(dark=4, lit=40)
    levels[[5, 140]], levels[[60, 80]] = 200, 4
    np.testing.assert_array_equal(lit_span(levels, times=TIMES), TIMES[[30, 119]])


def test_an_arc_that_restarts_is_on_from_the_first_to_the_last() -> None:
    levels = series(dark=4, lit=40)
    levels[60:80] = 4
    np.testing.assert_array_equal(lit_span(levels, times=TIMES), TIMES[[30, 119]])


@pytest.mark.parametrize("flicker", [0.0, 0.1, 0.3, 0.5])
def test_a_film_lit_throughout_is_lit_from_end_to_end(flicker: float) -> None:
    levels = series(dark=4, lit=40, first=0, last=149, flicker=flicker)
    np.testing.assert_array_equal(lit_span(levels, times=TIMES), TIMES[[0, 149]])


@pytest.mark.parametrize("dark", [0.0, 4.0, 10.0])
def test_a_film_dark_throughout_is_never_lit(dark: float) -> None:
    levels = series(dark=dark, lit=dark)
    assert np.isnan(lit_span(levels, times=TIMES)).all()
    assert np.isnan(lit_span(levels[:1], times=TIMES[:1])).all()
    assert np.isnan(lit_span(levels[:0], times=TIMES[:0])).all()
