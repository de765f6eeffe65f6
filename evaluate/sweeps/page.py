"""sweep.html: what was tried and what came of it, as a page that any browser opens without network, in the look of
reports."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...wording import count_of, in_words
from ..exhibits import SampleColumn, SampleTable
from ..figures import Curve, Curves, Panel, Parallels, Upright
from ..report.html import provenance_section, render_page
from ..section import Fact, Section

_MOST_LINES = 300  # of trials in one picture, the best ones
_WARNING = "Warning: "

Trial = Mapping[str, Any]


def shown(value: Any) -> str:
    """A value of a setting in a table: a number in four digits, text as it is."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def sweep_page(document: Mapping[str, Any]) -> str:
    """The whole page, from what sweep.json says."""
    made_by: Mapping[str, str] = {
        "sweep": document["name"],
        "created": document["created"],
        "command": document["command"],
        "drawn by": document["sampler"],
        "ended early by": document["pruner"],
        "fingerprint of the features": document["fingerprint"],
    }
    return render_page(
        [*_sections(document), provenance_section(made_by, document["versions"], {})],
        title=document["name"] + (f": {document['question']}" if document["question"] else ""),
        kind="sweep",
        created=document["created"],
        banner=document["demo_sentence"],
    )


def _sections(document: Mapping[str, Any]) -> Iterator[Section]:
    ranked = _ranked(document)
    complete = [trial for trial in ranked if trial["value"] is not None]
    yield Section("history", "In the order of trying", figures=[_history(document)])
    yield from _importances(document["importances"])
    yield Section(
        "parallel",
        "Settings side by side",
        figures=[_parallel(document, complete[:_MOST_LINES])],
        note=["A line is a trial, the better the stronger; at the foot of an axis are those without the setting."],
    )
    if courses := [trial for trial in ranked if len(trial["course"]) > 1][:_MOST_LINES]:
        yield Section("courses", f"{in_words(document['objective'])} by epoch", figures=[_courses(document, courses)])
    yield Section("trials", "All trials", exhibits=[_table(document, ranked)])
    yield _verdict(document, complete[0])


def _ranked(document: Mapping[str, Any]) -> list[Trial]:
    """Complete trials, the best first, then the others."""
    sign = -1 if document["direction"] == "max" else 1
    trials = document["trials"]
    complete = sorted((each for each in trials if each["value"] is not None), key=lambda each: sign * each["value"])
    return [*complete, *(each for each in trials if each["value"] is None)]


def _verdict(document: Mapping[str, Any], best: Trial) -> Section:
    """Which trial is the best, how it fares on what no trial saw, and what was warned of."""
    warnings = [each.removeprefix(_WARNING) for each in document["sentences"] if each.startswith(_WARNING)]
    if document["winner"] is None:
        warnings.append("Nothing but validation has judged the best trial, and the best of many is partly lucky.")
    chosen = f"{in_words(document['objective'])} {best['value']:.4f} on validation, by which it was chosen."
    return Section(
        "verdict",
        f"The best of {count_of(len(document['trials']), 'trial')} is {document['best']}",
        note=[chosen, *(each for each in document["sentences"] if not each.startswith(_WARNING))],
        points=warnings,
        look="verdict",
        standing="good" if document["winner"] and document["winner"]["gained"] else "doubtful",
    )


def _history(document: Mapping[str, Any]) -> Curves:
    """Each trial's value in the order of trying, those that were ended early at their last one, and the best so far."""
    places = {state: [each["state"] == state for each in document["trials"]] for state in ("complete", "pruned")}
    order = np.arange(1, len(document["trials"]) + 1, dtype=np.float64)
    values = np.array([_last(trial) for trial in document["trials"]], dtype=np.float64)
    best = np.maximum if document["direction"] == "max" else np.minimum
    done = np.array(places["complete"])
    curves = [
        Curve(order[done], best.accumulate(values[done]), "model", label="best so far", shape="steps"),
        Curve(order[done], values[done], "model", label="complete", shape="dots"),
    ]
    if any(places["pruned"]):
        early = np.array(places["pruned"])
        curves.append(Curve(order[early], values[early], "control", label="ended early", shape="dots"))
    panel = Panel(in_words(document["objective"]), curves)
    return Curves("value of each trial, and the best so far", "trial", [panel])


def _last(trial: Trial) -> float | None:
    """What a trial reached, or how far it came before it was ended early; None where it came to nothing."""
    if trial["value"] is None and trial["state"] == "pruned" and trial["course"]:
        last: float = trial["course"][max(trial["course"], key=int)]
        return last
    value: float | None = trial["value"]
    return value


def _importances(shares: Mapping[str, float]) -> Iterator[Section]:
    """The part of each setting; no section where there are too few trials to tell."""
    if shares:
        ordered = sorted(shares.items(), key=lambda each: -each[1])
        yield Section(
            "importance",
            "What matters",
            facts=[Fact(key, key, share, style=".0%") for key, share in ordered],
            note=[
                "Shares in what parts the better trials from the others, by PED-ANOVA. They are of these trials: of a "
                "setting whose range is wide, more hangs on it."
            ],
            look="tiles",
        )


def _courses(document: Mapping[str, Any], trials: Sequence[Trial]) -> Curves:
    """The objective by epoch, a line a trial, that of the best one last and so over the others."""
    curves = []
    for trial in sorted(trials, key=lambda each: bool(each["run"] == document["best"])):
        epochs = sorted(map(int, trial["course"]))
        x = np.array(epochs, dtype=np.float64)
        y = np.array([trial["course"][str(epoch)] for epoch in epochs], dtype=np.float64)
        is_best = trial["run"] == document["best"]
        curves.append(
            Curve(x, y, "model", label=trial["run"]) if is_best else Curve(x, y, "control", label="", shape="faint")
        )
    return Curves("the objective by epoch", "epoch", [Panel(in_words(document["objective"]), curves)])


def _parallel(document: Mapping[str, Any], trials: Sequence[Trial]) -> Parallels:
    """A line a complete trial through its values, an axis a setting and the objective last; the best is the first."""
    reached = [trial["value"] for trial in trials]
    low, high = min(reached), max(reached)
    objective = {"kind": "float", "low": low, "high": high, "log": False}
    axes, heights = [], []
    for name, parameter, values in (
        *((key, each, [trial["values"].get(key) for trial in trials]) for key, each in document["space"].items()),
        (in_words(document["objective"]), objective, reached),
    ):
        height_of, ticks = _upright(parameter)
        axes.append(Upright(name, ticks))
        heights.append([math.nan if value is None else height_of(value) for value in values])
    strengths = (1 - np.arange(len(trials)) / max(len(trials) - 1, 1)) ** 3
    return Parallels("settings of each trial and its value", axes, np.array(heights).T, strengths)


def _upright(parameter: Mapping[str, Any]) -> tuple[Callable[[Any], float], list[tuple[float, str]]]:
    """How high a value stands on an axis, and what is said beside it."""
    if parameter["kind"] == "choice":
        texts = [json.dumps(value) for value in parameter["values"]]
        step = 1 / max(len(texts) - 1, 1)
        ticks = [(place * step, shown(value)) for place, value in enumerate(parameter["values"])]
        return lambda value: texts.index(json.dumps(value)) * step, ticks
    change: Callable[[float], float] = math.log if parameter["log"] else float
    low, high = change(parameter["low"]), change(parameter["high"])
    if low == high:
        return lambda _: 0.5, [(0.5, shown(parameter["low"]))]
    ticks = [(0.0, shown(parameter["low"])), (1.0, shown(parameter["high"]))]
    return lambda value: (change(value) - low) / (high - low), ticks


def _table(document: Mapping[str, Any], ranked: Sequence[Trial]) -> SampleTable:
    """All trials with their settings, to be sorted and filtered."""
    of_numbers = {key for key, each in document["space"].items() if each["kind"] != "choice"}
    columns = [
        SampleColumn("trial", "trial"),
        SampleColumn("state", "state", choice=True),
        SampleColumn("value", in_words(document["objective"]), style=".4f"),
        *(SampleColumn(key, key, style=".4g" if key in of_numbers else None) for key in document["space"]),
        SampleColumn("epochs", "epochs", style="d"),
        SampleColumn("seconds", "train s", style=".1f"),
        SampleColumn("reason", "why not"),
    ]
    values = [
        [
            trial["run"],
            trial["state"],
            trial["value"],
            *(
                trial["values"].get(key) if key in of_numbers else shown(trial["values"].get(key))
                for key in document["space"]
            ),
            trial["epochs"],
            trial["seconds"],
            trial["reason"],
        ]
        for trial in ranked
    ]
    return SampleTable(columns, values, noun="trial")
