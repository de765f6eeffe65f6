"""sweep.html: one file that any browser opens without network, with what was tried and what came of it.

It shares the style sheet of reports and has no script. What it draws are lines and dots by their places in a box; the
template makes SVG of them, so that a name that looks like markup stays text.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ...wording import format_seconds, in_words, visible
from ..report.html import part

_WIDTH, _HEIGHT = 760.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 16.0, 12.0, 34.0
_TICKS = 4
_MOST_LINES = 300  # of trials in one picture, the best ones

Trial = Mapping[str, Any]


@dataclass(frozen=True)
class Mark:
    """A tick or a label: where it is, what it says, and which way the text runs from there."""

    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True)
class Line:
    """A path; `weight` from 0, faint, to 1."""

    path: str
    weight: float
    title: str


@dataclass(frozen=True)
class Dot:
    """A trial; `kind` is its state."""

    x: float
    y: float
    kind: str
    title: str


@dataclass(frozen=True)
class Chart:
    """A picture of this size."""

    width: float
    height: float
    description: str
    axes: Sequence[str]
    marks: Sequence[Mark]
    lines: Sequence[Line]
    dots: Sequence[Dot] = ()


def shown(value: Any) -> str:
    """A value of a setting in a table: a number in four digits, text as it is."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def render_page(document: Mapping[str, Any]) -> str:
    """The whole page, from what sweep.json says."""
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(in_words=in_words, shown=shown, seconds=format_seconds)
    ranked = _ranked(document)
    page = environment.get_template("sweep.html").render(
        sweep=document,
        style=Markup(part("report.css")),
        ranked=ranked,
        importances=sorted(document["importances"].items(), key=lambda each: -each[1]),
        history=_history(document),
        courses=_courses(document, ranked),
        parallel=_parallel(document, ranked),
    )
    return "\n".join(map(visible, page.split("\n")))


def _template(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _ranked(document: Mapping[str, Any]) -> list[Trial]:
    """Complete trials, the best first, then the others."""
    sign = -1 if document["direction"] == "max" else 1
    trials = document["trials"]
    complete = sorted((each for each in trials if each["value"] is not None), key=lambda each: sign * each["value"])
    return [*complete, *(each for each in trials if each["value"] is None)]


def _history(document: Mapping[str, Any]) -> Chart | None:
    """Each trial's value in the order of trying, those that were ended early at their last one, and the best so far."""
    better = max if document["direction"] == "max" else min
    values = [(trial, each) for trial in document["trials"] if (each := _last(trial)) is not None]
    if not values:
        return None
    across = _scale(0, max(len(document["trials"]) - 1, 1), _LEFT, _WIDTH - _RIGHT)
    up, marks = _upwards([value for _, value in values])
    order = {trial["number"]: place for place, trial in enumerate(document["trials"])}
    dots = [
        Dot(across(order[trial["number"]]), up(value), trial["state"], f"{trial['run']}: {value:.4g}")
        for trial, value in values
    ]
    best, steps = None, []
    for trial, value in values:
        if trial["state"] == "complete":
            best = value if best is None else better(best, value)
            steps.append((across(order[trial["number"]]), up(best)))
    staircase = [
        point for (x, y), (_, before) in zip(steps[1:], steps, strict=False) for point in ((x, before), (x, y))
    ]
    line = Line(_path([*steps[:1], *staircase]), 1.0, "best so far")
    ends = [Mark(across(place), _HEIGHT - 14, f"{place + 1}", "middle") for place in {0, len(document["trials"]) - 1}]
    return Chart(_WIDTH, _HEIGHT, "value of each trial, and the best so far", [_frame()], [*marks, *ends], [line], dots)


def _last(trial: Trial) -> float | None:
    value: float | None = trial["value"]
    if value is None and trial["state"] == "pruned" and trial["course"]:
        value = trial["course"][max(trial["course"], key=int)]
    return value


def _courses(document: Mapping[str, Any], ranked: Sequence[Trial]) -> Chart | None:
    """The objective by epoch, a line a trial."""
    courses = [(trial, {int(epoch): value for epoch, value in trial["course"].items()}) for trial in ranked]
    courses = [(trial, course) for trial, course in courses if len(course) > 1][:_MOST_LINES]
    if not courses:
        return None
    longest = max(max(course) for _, course in courses)
    across = _scale(1, max(longest, 2), _LEFT, _WIDTH - _RIGHT)
    up, marks = _upwards([value for _, course in courses for value in course.values()])
    lines = [
        Line(
            _path([(across(epoch), up(value)) for epoch, value in sorted(course.items())]),
            1.0 if trial["run"] == document["best"] else 0.0,
            trial["run"],
        )
        for trial, course in reversed(courses)
    ]
    ends = [Mark(across(epoch), _HEIGHT - 14, f"epoch {epoch}", "middle") for epoch in (1, longest)]
    return Chart(_WIDTH, _HEIGHT, "the objective by epoch", [_frame()], [*marks, *ends], lines)


def _parallel(document: Mapping[str, Any], ranked: Sequence[Trial]) -> Chart | None:
    """A line a complete trial through its values, an axis a setting and the objective last; the better the stronger."""
    trials = [trial for trial in ranked if trial["value"] is not None][:_MOST_LINES]
    if not trials:
        return None
    space: Mapping[str, Any] = document["space"]
    places = _scale(0, len(space), _LEFT, _WIDTH - _LEFT)
    low, high = _HEIGHT - _BOTTOM - 24, _TOP + 4
    absent = _HEIGHT - _BOTTOM  # where a trial has no such setting
    heights = {key: _axis(parameter, low, high) for key, parameter in space.items()}
    value_at = _scale(*_spread([trial["value"] for trial in trials]), low, high)
    marks, lines = [], []
    for place, (key, (_, labels)) in enumerate(heights.items()):
        marks.append(Mark(places(place), _HEIGHT - 14 + 12 * (place % 2), key, "middle"))
        marks += [Mark(places(place) + 4, y + 4, text, "start") for y, text in labels]
    marks.append(
        Mark(places(len(space)), _HEIGHT - 14 + 12 * (len(space) % 2), in_words(document["objective"]), "middle")
    )
    marks += [Mark(places(len(space)) + 4, y + 4, f"{value:.3g}", "start") for value, y in _ends_of(trials, value_at)]
    for rank, trial in reversed(list(enumerate(trials))):
        points = [
            (places(place), absent if trial["values"].get(key) is None else at(trial["values"][key]))
            for place, (key, (at, _)) in enumerate(heights.items())
        ]
        points.append((places(len(space)), value_at(trial["value"])))
        weight = 1 - rank / max(len(trials) - 1, 1)
        lines.append(Line(_path(points), round(weight**3, 3), f"{trial['run']}: {trial['value']:.4g}"))
    axes = [f"M{places(place):.1f} {high:.1f}V{absent:.1f}" for place in range(len(space) + 1)]
    return Chart(_WIDTH, _HEIGHT + 14, "settings of each trial and its value", axes, marks, lines)


def _axis(
    parameter: Mapping[str, Any], low: float, high: float
) -> tuple[Callable[[Any], float], list[tuple[float, str]]]:
    """Where a value stands on an axis, and labels for it."""
    if parameter["kind"] == "choice":
        texts = [json.dumps(value) for value in parameter["values"]]
        at = _scale(0, max(len(texts) - 1, 1), low, high)
        labels = [(at(place), shown(value)) for place, value in enumerate(parameter["values"])]
        return lambda value: at(texts.index(json.dumps(value))), labels
    change: Callable[[float], float] = math.log if parameter["log"] else float
    along = _scale(change(parameter["low"]), change(parameter["high"]), low, high)
    ends = [(along(change(parameter[end])), shown(parameter[end])) for end in ("low", "high")]
    return lambda value: along(change(value)), ends


def _ends_of(trials: Sequence[Trial], at: Callable[[float], float]) -> list[tuple[float, float]]:
    values = {min(trial["value"] for trial in trials), max(trial["value"] for trial in trials)}
    return [(value, at(value)) for value in sorted(values)]


def _scale(start: float, stop: float, low: float, high: float) -> Callable[[float], float]:
    width = (stop - start) or 1.0
    return lambda value: low + (high - low) * (value - start) / width


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """From the least to the largest, with some room where they are equal."""
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _upwards(values: Sequence[float]) -> tuple[Callable[[float], float], list[Mark]]:
    """Heights of values in the box, and the marks at its left."""
    low, high = _spread(values)
    up = _scale(low, high, _HEIGHT - _BOTTOM, _TOP)
    steps = [low + (high - low) * place / _TICKS for place in range(_TICKS + 1)]
    return up, [Mark(_LEFT - 8, up(step) + 4, f"{step:.3g}", "end") for step in steps]


def _frame() -> str:
    return f"M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
