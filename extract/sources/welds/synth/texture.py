"""Noise and small stamps from which surfaces are drawn."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

Plane = Float32[np.ndarray, "height width"]


def value_noise(generator: np.random.Generator, *, shape: tuple[int, int], cell: tuple[float, float]) -> Plane:
    """Smooth noise of about unit standard deviation whose grains are `cell` (height, width) pixels large."""
    height, width = shape
    rows, columns = max(int(height / cell[0]), 1) + 3, max(int(width / cell[1]), 1) + 3
    coarse = generator.standard_normal((rows, columns), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def row_noise(generator: np.random.Generator, *, width: int, cell: float) -> Float32[np.ndarray, " width"]:
    """Smooth noise along one row, with grains of `cell` pixels and about unit standard deviation."""
    return value_noise(generator, shape=(1, width), cell=(1.0, cell)).ravel()


def blur(plane: Plane, *, sigma: float) -> Plane:
    """`plane` under a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), max(sigma, 0.3)), np.float32)


def soft_step(plane: Plane, *, width: float) -> Plane:
    """0 below, 1 above zero, with a linear edge `width` pixels wide."""
    return np.asarray(np.clip(plane / np.float32(width) + np.float32(0.5), 0, 1))


def stamp(target: Plane, *, row: float, column: float, patch: Float32[np.ndarray, "rows columns"]) -> None:
    """Put `patch` centred at (row, column) into `target` where it is the larger, in place; what overhangs is cut."""
    size_rows, size_columns = patch.shape
    top, left = round(row) - size_rows // 2, round(column) - size_columns // 2
    first_row, first_column = max(top, 0), max(left, 0)
    last_row = min(top + size_rows, target.shape[0])
    last_column = min(left + size_columns, target.shape[1])
    if first_row >= last_row or first_column >= last_column:
        return
    part = patch[first_row - top : last_row - top, first_column - left : last_column - left]
    window = target[first_row:last_row, first_column:last_column]
    np.maximum(window, part, out=window)


def dome(radius: float) -> Plane:
    """A half ball of `radius` pixels and height 1, at least one pixel wide."""
    reach = max(int(np.ceil(radius)), 1)
    axis = np.arange(-reach, reach + 1, dtype=np.float32) / np.float32(max(radius, 0.7))
    squared = axis[:, None] ** 2 + axis[None, :] ** 2
    return np.asarray(np.sqrt(np.clip(1 - squared, 0, None)), np.float32)


def to_bytes(plane: Float32[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Grey values clipped to 0..255 and rounded."""
    return np.asarray(cv2.convertScaleAbs(np.clip(plane, 0, 255)), np.uint8)


def gain_for_mean(scene: Float32[np.ndarray, "..."], *, mean: float) -> float:
    """The exposure at which `scene`, clipped at 255, has `mean`; what a camera's automatic exposure finds."""
    gain = mean / max(float(scene.mean()), 1e-6)
    for _ in range(5):
        reached = float(np.minimum(scene * np.float32(gain), 255).mean())
        gain *= mean / max(reached, 1e-6)
    return gain
