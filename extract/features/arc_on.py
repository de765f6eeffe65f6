"""When the arc burns, as each modality tells it: kept for each, because their clocks and their onsets differ."""

from ...cache.arrays import ArraySpec


def arc_on_array() -> ArraySpec:
    """First and last second with the arc on, in the recording's own time; NaN twice where it cannot be told.

    The difference of two modalities' first entries is the offset of their onsets: 1.2 s in the median of real welds.
    """
    attributes = {"unit": "s", "clock": "from the start of this modality's recording"}
    return ArraySpec("arc_on", (2,), ("bound",), "float64", allows_nan=True, distinct=False, attributes=attributes)
