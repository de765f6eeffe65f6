"""Mixtures of von Mises peaks against SciPy's density, quadrature of another kind, and closed forms."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import vonmises

from weldcache.metrics.von_mises import (
    angle_errors,
    circle,
    count_modes,
    kl_divergence,
    log_density,
    modes_of,
    symmetric_mixtures,
)

FOURFOLD = symmetric_mixtures(np.array([10.0]), np.array([4]), np.array([8.0]))
UNIFORM = symmetric_mixtures(np.array([0.0]), np.array([0]), np.array([8.0]))


def one_peak(degrees: float, kappa: float) -> np.ndarray:
    return symmetric_mixtures(np.array([degrees]), np.array([1]), np.array([kappa]))


def test_densities_are_those_of_scipy() -> None:
    mixture = np.array([[[0.3, 8.0, 0.7], [4.0, 0.5, 0.3], [1.0, 2.0, 0.0]]])
    angles = np.linspace(-1, 7, 20)
    expected = 0.7 * vonmises.pdf(angles, 8, loc=0.3) + 0.3 * vonmises.pdf(angles, 0.5, loc=4)
    np.testing.assert_allclose(np.exp(log_density(mixture, angles))[0], expected, rtol=1e-12)


def test_the_divergence_is_that_of_adaptive_quadrature() -> None:
    true, predicted = np.array([[[0.3, 8.0, 0.7], [4.0, 0.5, 0.3]]]), np.array([[[1.0, 3.0, 1.0], [0.0, 1.0, 0.0]]])

    def integrand(angle: float) -> float:
        p, q = (float(log_density(each, np.array([angle]))[0, 0]) for each in (true, predicted))
        return math.exp(p) * (p - q)

    assert kl_divergence(true, predicted)[0] == pytest.approx(quad(integrand, 0, 2 * math.pi)[0], abs=1e-9)


@pytest.mark.parametrize("kappa", [0.0, 8.0, 80.0, 500.0])
def test_360_steps_are_enough(kappa: float) -> None:
    total = np.exp(log_density(one_peak(12.3, kappa), circle())).sum() * 2 * math.pi / 360
    assert total == pytest.approx(1, abs=7e-15)


def test_what_a_constant_predictor_reaches_and_what_one_peak_costs() -> None:
    assert kl_divergence(FOURFOLD, UNIFORM)[0] == pytest.approx(0.1306, abs=5e-5)
    # One peak at a true angle with all the weight: what the celebrated checkpoint predicted.
    assert kl_divergence(FOURFOLD, one_peak(10.0, 8.0))[0] == pytest.approx(6.19, abs=5e-3)
    density = log_density(UNIFORM, circle())
    np.testing.assert_allclose(-density, math.log(2 * math.pi))
    assert math.log(2 * math.pi) == pytest.approx(1.8379, abs=5e-5)


def test_large_concentrations_do_not_overflow() -> None:
    assert np.isfinite(kl_divergence(one_peak(0.0, 500.0), one_peak(170.0, 500.0))).all()


@pytest.mark.parametrize(("symmetry", "angles"), [(1, [30]), (2, [30, 210]), (4, [30, 120, 210, 300])])
def test_true_mixtures_by_symmetry(symmetry: int, angles: list[float]) -> None:
    (mixture,) = symmetric_mixtures(np.array([30.0]), np.array([symmetry]), np.array([8.0]))
    real = mixture[mixture[:, 2] > 0]
    np.testing.assert_allclose(np.degrees(real[:, 0]), angles)
    assert (real[:, 1] == 8).all() and real[:, 2] == pytest.approx(np.full(symmetry, 1 / symmetry))


def test_modes_and_errors_that_no_order_of_peaks_changes() -> None:
    predicted = np.concatenate([FOURFOLD, FOURFOLD[:, ::-1], FOURFOLD, FOURFOLD])
    predicted[2, :, 0] += np.radians(5)
    predicted[3] = [[np.radians(10), 8.0, 1.0], *[[1.0, 8.0, 0.0]] * 3]
    modes = modes_of(predicted)
    assert count_modes(modes).tolist() == [4, 4, 4, 1] and count_modes(modes_of(UNIFORM)).tolist() == [0]
    to_mode, to_peak = angle_errors(np.repeat(FOURFOLD, 4, axis=0), modes)
    # Three of four true peaks have no mode near them: 0, 90, 90 and 180 degrees.
    np.testing.assert_allclose(to_mode, [0, 0, 5, 90], atol=0.5)
    np.testing.assert_allclose(to_peak, [0, 0, 5, 0], atol=0.5)
    assert (
        np.isnan(angle_errors(UNIFORM, modes[:1])).all() and np.isnan(angle_errors(FOURFOLD, modes_of(UNIFORM))).all()
    )
