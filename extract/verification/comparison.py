"""When a live feature equals a cached one: how far apart they may be, and how far apart they are.

They are never equal to the last bit: storing rounds, and a backbone's sums depend on the shape of the batch and on the
machine. So each sample is computed twice, alone and in a batch as large as those of the store's making, and a cached
value v passes if

    |live - v|  <=  half a unit in v's last place as stored  +  NOISE_FACTOR * noise  +  floor * rms

where noise is the largest difference between the two computations of the sample's array, rms its root mean square, and
floor what the backbone's arithmetic resolves after many layers. Numbers that go through no backbone, such as sensors,
lengths and masks, have to be equal.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from ...cache.arrays import NUMPY_TYPES, ArraySpec
from ...cache.verification.chunk_scan import to_float64
from ...documents import Json

NOISE_FACTOR = 4.0
# Of an array's root mean square: what a change of machine may do to a deep network's output in this arithmetic.
FLOORS = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}

TOLERANCE = (
    "half a unit in the last place of the storage type + "
    f"{NOISE_FACTOR:g} x the largest difference between computing the sample alone and in a batch + "
    + ", ".join(f"{floor:g} ({name})" for name, floor in FLOORS.items())
    + " x the array's root mean square; what goes through no backbone has to be equal"
)


@dataclass(frozen=True)
class Comparison:
    """One sample's array: the largest difference, and the largest share of its tolerance that a value's one takes."""

    difference: float
    of_tolerance: float  # above 1 is too much
    noise: float

    @property
    def passed(self) -> bool:
        """Whether every value is within its tolerance."""
        return self.of_tolerance <= 1


@dataclass
class LiveArray:
    """How an array's live values compare with the cached ones, over the samples so far."""

    name: str
    num_samples: int = 0
    difference: float = 0.0  # these three: the largest
    of_tolerance: float = 0.0
    noise: float = 0.0
    failed: list[str] = field(default_factory=list)  # keys
    _sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))  # of cached values: count, sum, squares

    def add(self, key: str, comparison: Comparison, cached: NDArray[np.float64]) -> None:
        """Take in one sample."""
        self.num_samples += 1
        self.difference = max(self.difference, comparison.difference)
        self.of_tolerance = max(self.of_tolerance, comparison.of_tolerance)
        self.noise = max(self.noise, comparison.noise)
        if not comparison.passed:
            self.failed.append(key)
        finite = cached[np.isfinite(cached)]
        self._sums += [finite.size, finite.sum(), np.square(finite).sum()]

    @property
    def std(self) -> float:
        """Standard deviation of the cached values of the samples looked at."""
        _, mean, mean_square = self._sums / max(self._sums[0], 1.0)
        return float(np.sqrt(max(mean_square - mean**2, 0.0)))

    def to_json(self) -> dict[str, Json]:
        """Plain JSON values; None where a number has no bound, as when one side alone is NaN."""
        std = self.std
        return {
            "array": self.name,
            "samples": self.num_samples,
            "difference": _finite_or_none(self.difference),
            "difference_of_std": _finite_or_none(self.difference / std) if std > 0 else None,
            "of_tolerance": _finite_or_none(self.of_tolerance),
            "noise": self.noise,
            "passed": not self.failed,
            "failed": list(self.failed),
        }


def compare(
    cached: NDArray[np.generic],
    *,
    together: NDArray[np.floating[Any]],
    alone: NDArray[np.floating[Any]],
    spec: ArraySpec,
    floor: float | None,
) -> Comparison:
    """Compare one sample's array, `cached` as stored. `floor` is relative to its rms; None asks for equality."""
    values = to_float64(cached, spec.dtype)
    live, again = together.astype(np.float64), alone.astype(np.float64)
    differences = _difference(live, values)
    largest = float(differences.max(initial=0.0))
    if floor is None:
        return Comparison(difference=largest, of_tolerance=np.inf if largest else 0.0, noise=0.0)
    noise = float(_difference(live, again).max(initial=0.0))
    rms = float(np.sqrt(np.mean(np.square(live))))
    tolerances = half_ulp(values, spec) + NOISE_FACTOR * noise + floor * rms
    with np.errstate(invalid="ignore"):
        shares = differences / tolerances
    worst = float(np.where(np.isnan(shares), np.inf, shares).max())
    return Comparison(difference=largest, of_tolerance=worst, noise=noise)


def half_ulp(values: Float64[np.ndarray, "..."], spec: ArraySpec) -> Float64[np.ndarray, "..."]:
    """What rounding to the storage type may have done to values: half the distance to the next one it holds."""
    if spec.dtype == "bfloat16":  # eight bits of precision, and the exponents of float32
        exponents = np.frexp(np.maximum(np.abs(values), np.finfo(np.float32).tiny))[1]
        return np.asarray(np.ldexp(0.5, exponents - 8))
    return np.asarray(np.spacing(np.abs(values).astype(NUMPY_TYPES[spec.dtype])), dtype=np.float64) / 2


def _difference(live: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Absolute difference; NaN equals NaN, and differs from anything else without bound."""
    either = np.isnan(live) | np.isnan(values)
    both = np.isnan(live) & np.isnan(values)
    with np.errstate(invalid="ignore"):
        distance = np.abs(live - values)
    return np.where(either, np.where(both, 0.0, np.inf), distance)


def _finite_or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
