"""What the page draws itself of samples: curves and dots as paths, pictures as data URIs, and what its script reads."""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...documents import Json
from ...wording import visible
from ..exhibits import Circle, Colouring, Picture, SampleColumn, SampleTable, Scatter, ThresholdSlider, Trace, Traces

_TRACE_WIDTH, _TRACE_HEIGHT = 300, 44
_RING_POINTS = 120
_MARGIN = 12  # round a plane, so that no dot is cut
_PLANE_WIDTH, _PLANE_HEIGHT = 760, 460
_KINDS = {b"\x89PNG": "png", b"RIFF": "webp", b"\xff\xd8\xff\xe0": "jpeg"}


@dataclass(frozen=True)
class DrawnTrace:
    """A channel as paths in a box; `low` and `high` are the values at its lower and upper edge."""

    name: str
    description: str
    line: str
    band: str
    low: str
    high: str


@dataclass(frozen=True)
class Plane:
    """Dots in a box of this size, and by what they are coloured, for the page's script."""

    width: int
    height: int
    places: Sequence[tuple[float, float]]
    colourings: Sequence[Mapping[str, Json]]


def picture_uri(picture: Picture) -> str:
    """The picture for the source of an HTML image."""
    return _uri(picture.content)


def overlay_uri(picture: Picture) -> str:
    """What is laid over a picture, for the source of an HTML image."""
    return _uri(picture.overlay)


def _uri(content: bytes) -> str:
    kind = _KINDS.get(content[:4], "jpeg")
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def traced(traces: Traces) -> list[DrawnTrace]:
    """The channels, each in a box of its own that its line and its band just fill."""
    return [_traced(trace, seconds=traces.seconds) for trace in traces.traces]


def _traced(trace: Trace, *, seconds: float) -> DrawnTrace:
    lines = [each for each in (trace.values, trace.low, trace.high) if each is not None]
    known = np.concatenate(lines)
    known = known[np.isfinite(known)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    described = f"{trace.name} over {seconds:.3g} s, from {low:.4g} to {high:.4g}"

    def points(values: NDArray[np.float64]) -> list[str]:
        heights = _TRACE_HEIGHT - 2 - (_TRACE_HEIGHT - 4) * (values - low) / ((high - low) or 1.0)
        across = np.linspace(0, _TRACE_WIDTH, len(values))
        return [f"{x:.0f} {y:.1f}" for x, y in zip(across, heights, strict=True) if math.isfinite(y)]

    band = ""
    if trace.low is not None and trace.high is not None:
        band = f"M{'L'.join([*points(trace.high), *points(trace.low)[::-1]])}z"
    line = points(trace.values)
    return DrawnTrace(
        trace.name, described, f"M{'L'.join(line)}" if line else "", band, low=f"{low:.3g}", high=f"{high:.3g}"
    )


def ringed(circle: Circle) -> Sequence[tuple[str, str, str]]:
    """Tone, name and path of each density, as a distance from the centre of a box from -50 to 50, the highest of all on
    its rim."""
    highest = max(float(density.max()) for _, _, density in circle.densities)
    found = []
    for tone, name, density in circle.densities:
        chosen = np.arange(0, len(density), max(1, len(density) // _RING_POINTS))
        angles, lengths = 2 * np.pi * chosen / len(density), 48 * density[chosen] / highest
        # An SVG's y grows downwards.
        places = zip(lengths * np.cos(angles), -lengths * np.sin(angles), strict=True)
        found.append((tone, name, f"M{'L'.join(f'{x:.1f} {y:.1f}' for x, y in places)}z"))
    return found


def plane(scatter: Scatter) -> Plane:
    """The dots, as far apart in both directions as the first direction asks for."""
    x, y = scatter.x - scatter.x.min(), scatter.y - scatter.y.min()
    # One scale for both, or else distances would say nothing.
    scale = min(
        (_PLANE_WIDTH - 2 * _MARGIN) / (float(x.max()) or 1.0), (_PLANE_HEIGHT - 2 * _MARGIN) / (float(y.max()) or 1.0)
    )
    height = math.ceil(float(y.max()) * scale) + 2 * _MARGIN
    width = math.ceil(float(x.max()) * scale) + 2 * _MARGIN
    places = [
        (round(_MARGIN + across, 1), round(height - _MARGIN - up, 1))
        for across, up in zip(x * scale, y * scale, strict=True)
    ]
    return Plane(width, height, places, [_colouring(each) for each in scatter.colourings])


def _colouring(colouring: Colouring) -> dict[str, Json]:
    """Names as numbers of the names, most frequent first; numbers as they are."""
    names = [visible(value) for value in colouring.values if isinstance(value, str)]
    if not names:
        return {"label": colouring.label, "values": [float(value) for value in colouring.values]}
    ranked = sorted(dict.fromkeys(names), key=lambda name: (-names.count(name), name))
    code_of = {name: code for code, name in enumerate(ranked)}
    return {"label": colouring.label, "names": list(ranked), "values": [code_of[name] for name in names]}


def slider_data(slider: ThresholdSlider) -> dict[str, Json]:
    """What the page's script counts from."""
    return {
        "chosen": slider.chosen,
        "scores": slider.scores.tolist(),
        "defect": slider.is_defect.astype(int).tolist(),
        "classes": [visible(name) for name in slider.class_names],
    }


def told(table: SampleTable, row: int) -> list[tuple[SampleColumn, float | int | str]]:
    """What the table tells of a sample beside its name, as far as that is known."""
    pairs = zip(table.columns[1:], table.values[row][1:], strict=True)
    return [(column, value) for column, value in pairs if value is not None and value != ""]


def shape(value: object) -> str:
    """The name of an exhibit's or a medium's type."""
    return type(value).__name__


FILTERS: Mapping[str, Callable[..., object]] = {
    "overlay_uri": overlay_uri,
    "picture_uri": picture_uri,
    "plane": plane,
    "ringed": ringed,
    "shape": shape,
    "slider_data": slider_data,
    "told": told,
    "traced": traced,
}
