"""Mixtures of von Mises distributions over a circle: densities, divergences, modes, and what true ones look like.

A mixture is an array (peaks, 3): of each peak its angle in radians, its concentration kappa and its weight; weights add
up to 1. With kappa 0 a peak is the uniform distribution. Integrals over the circle are sums over equal steps (the
periodic trapezoidal rule), which for smooth functions converge faster than any power: 360 steps are exact to 1e-14 up
to kappa 500. Bessel functions are the scaled ones, since those that are not overflow in float32 at kappa 89.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Integer, Shaped
from scipy.special import i0e, logsumexp

ANGLE, KAPPA, WEIGHT = range(3)
"""Places in the last axis of a mixture."""

SYMMETRIES = (0, 1, 2, 4)
"""By how many turns about the vertical a thing may look the same: 0 by any, 1 by a whole one alone."""

NUM_STEPS = 360

Mixtures = Float[np.ndarray, "rows _ 3"]

_MODE_SHARE = 0.5  # of the highest mode's height above the lowest density: what is lower is no mode
_ROUNDING = 1e-6
_FLAT = 1.25  # highest density over lowest, below which there is no mode


def circle(num_steps: int = NUM_STEPS) -> Float64[np.ndarray, " steps"]:
    """Angles in equal steps over the circle, from 0."""
    return 2 * np.pi * np.arange(num_steps) / num_steps


def log_density(mixtures: Mixtures, angles: Float64[np.ndarray, " angles"]) -> Float64[np.ndarray, "rows angles"]:
    """Logarithm of the density of each mixture at each angle."""
    angle, kappa, weight = np.moveaxis(np.asarray(mixtures, dtype=np.float64)[..., np.newaxis], -2, 0)
    # exp(kappa cos) / I0(kappa), with exp(kappa) taken out of both.
    log_peaks = kappa * (np.cos(angles - angle) - 1) - np.log(i0e(kappa)) - math.log(2 * math.pi)
    with np.errstate(divide="ignore"):  # a peak without weight
        return np.asarray(logsumexp(np.log(weight) + log_peaks, axis=1))


def kl_divergence(truth: Mixtures, predicted: Mixtures, *, num_steps: int = NUM_STEPS) -> Float64[np.ndarray, " rows"]:
    """KL(truth || predicted) of each row in nats."""
    angles = circle(num_steps)
    return kl_of_densities(log_density(truth, angles), log_density(predicted, angles))


def kl_of_densities(
    log_true: Float64[np.ndarray, "rows steps"], log_predicted: Float64[np.ndarray, "*rows steps"]
) -> Float64[np.ndarray, " rows"]:
    """KL in nats of densities to others, by the logarithms of each at equal steps around the circle."""
    found = (np.exp(log_true) * (log_true - log_predicted)).sum(axis=1) * (2 * math.pi / log_true.shape[1])
    # Predicted weights are of single precision: where both are the same, their sum may leave a little below 0.
    return np.asarray(np.where(np.abs(found) < _ROUNDING, np.maximum(found, 0.0), found))


def symmetric_mixtures(
    degrees: Shaped[np.ndarray, " rows"], symmetry: Integer[np.ndarray, " rows"], kappa: Shaped[np.ndarray, " rows"]
) -> Float64[np.ndarray, "rows peaks 3"]:
    """What is true of things at these angles: as many peaks of one weight as turns leave each as it is, evenly around
    the circle; for symmetry 0 the uniform distribution, one peak of kappa 0."""
    peaks = np.arange(max(1, int(np.max(symmetry, initial=1))))
    count = np.maximum(1, symmetry)[:, np.newaxis]
    found = np.zeros((len(degrees), len(peaks), 3))
    found[..., ANGLE] = np.remainder(np.radians(degrees)[:, np.newaxis] + 2 * np.pi * peaks / count, 2 * np.pi)
    found[..., KAPPA] = np.where(symmetry > 0, kappa, 0)[:, np.newaxis]
    found[..., WEIGHT] = (peaks < count) / count
    return found


def modes_of(mixtures: Mixtures) -> Bool[np.ndarray, "rows steps"]:
    """Where on the circle, in `2 * NUM_STEPS` steps, each density has a mode: a maximum that rises at least half as far
    above the lowest density as the highest does. One that is nearly flat has none."""
    density = np.exp(log_density(mixtures, circle(2 * NUM_STEPS)))
    low, high = density.min(axis=1, keepdims=True), density.max(axis=1, keepdims=True)
    is_top = (density > np.roll(density, 1, axis=1)) & (density >= np.roll(density, -1, axis=1))
    return np.asarray(is_top & (density - low >= _MODE_SHARE * (high - low)) & (high > _FLAT * low))


def angle_errors(
    truth: Mixtures, modes: Bool[np.ndarray, "rows steps"]
) -> tuple[Float64[np.ndarray, " rows"], Float64[np.ndarray, " rows"]]:
    """How far, in degrees, a true peak is from the nearest mode, and a mode from the nearest true peak, on average in
    each row; NaN where there are none of either. No order of peaks plays a part."""
    steps = np.degrees(circle(modes.shape[1]))
    to_mode, to_peak = (np.full(len(truth), np.nan) for _ in range(2))
    for row, (mixture, is_mode) in enumerate(zip(truth, modes, strict=True)):
        peaks = np.degrees(mixture[(mixture[:, WEIGHT] > 0) & (mixture[:, KAPPA] > 0), ANGLE])
        if len(peaks) and is_mode.any():
            apart = np.abs((peaks[:, np.newaxis] - steps[is_mode] + 180) % 360 - 180)
            to_mode[row], to_peak[row] = apart.min(axis=1).mean(), apart.min(axis=0).mean()
    return to_mode, to_peak


def count_modes(modes: Bool[np.ndarray, "rows steps"]) -> Int64[np.ndarray, " rows"]:
    """How many modes each row has."""
    return np.asarray(modes.sum(axis=1), dtype=np.int64)
