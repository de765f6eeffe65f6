"""Runs side by side: the settings in which they differ, what they reached, and what forbids comparing them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cache.provenance import ABSENT, differences
from ...documents import Json
from ...errors import SettingsError
from ...wording import listed, shortened
from .catalogue import UNSEALED, RunDetails, describe_run_folder
from .names import find_run
from .reports import Headlines, ReportedFigure, as_plain, no_headlines

Figure = ReportedFigure | str

_POSITION = {"epoch", "step", "lr", "seconds", "samples_per_second"}  # of a row of the log: no measure of quality


@dataclass(frozen=True)
class Comparison:
    """Two or more runs; every sequence has one value a run, in the order of `runs`.

    Attributes:
        settings: those in which at least two runs that read them differ, by dotted name.
        figures: what each run is and reached, by name.
        notes: why figures may not be compared, in sentences.
    """

    runs: Sequence[RunDetails]
    settings: Mapping[str, Sequence[Json]]
    figures: Mapping[str, Sequence[Figure]]
    notes: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "runs": [run.entry.name for run in self.runs],
            "settings": {name: list(values) for name, values in self.settings.items()},
            "figures": {
                name: [value if isinstance(value, str) else as_plain(value) for value in values]
                for name, values in self.figures.items()
            },
            "notes": list(self.notes),
        }


def compare(folder: Path, names: Sequence[str], *, headlines: Headlines = no_headlines) -> Comparison:
    """Compare runs in `folder`, by names that `find_run` takes.

    Raises:
        NotFoundError: if there is no such run.
        SettingsError: if there are fewer than two different names.
    """
    found = dict.fromkeys(find_run(folder, name) for name in names)
    if len(found) < 2:
        raise SettingsError("Name two or more different runs to compare; `weldcache runs list` shows what there is.")
    runs = [describe_run_folder(run, folder=folder, headlines=headlines) for run in found]
    reached = [_figures_of(run) for run in runs]
    names_of_figures = dict.fromkeys(name for figures in reached for name in figures)
    return Comparison(
        runs=runs,
        settings=_differing_settings(runs),
        figures={name: [figures.get(name) for figures in reached] for name in names_of_figures},
        notes=tuple(_notes(runs)),
    )


def _differing_settings(runs: Sequence[RunDetails]) -> dict[str, list[Json]]:
    differing = {}
    for name in dict.fromkeys(name for run in runs for name in run.settings):
        values = [ABSENT if name in run.unread else run.settings.get(name, ABSENT) for run in runs]
        told = [value for value in values if value != ABSENT]
        if any(value != told[0] for value in told):
            differing[name] = values
    return differing


def _figures_of(run: RunDetails) -> dict[str, Figure]:
    best, parameters = run.entry.best or {}, run.facts.get("parameters")
    reached = run.entry.reached("comparison").items()
    return {
        "recipe": run.entry.recipe,
        "status": run.entry.status,
        "epochs": run.entry.epochs,
        "best_epoch": best.get("epoch"),
        "parameters": parameters.get("trainable") if isinstance(parameters, Mapping) else None,
        "seconds": run.entry.seconds,
        **{f"test_{figure.name}": value for figure, value in reached},
        **{name: value for name, value in best.items() if name not in _POSITION},
    }


def _notes(runs: Sequence[RunDetails]) -> Iterator[str]:
    first = runs[0]
    for run in runs:
        yield from (f"{run.entry.name} is damaged: {fault}" for fault in run.entry.faults)
        if not run.entry.sealed:
            yield f"{run.entry.name} {UNSEALED}."
    if random := [run.entry.name for run in runs if run.facts.get("backbones_are_random")]:
        yield f"Trained on features of random weights, so that figures say nothing of the method: {listed(random)}."
    for run in runs[1:]:
        pair = f"{first.entry.name} and {run.entry.name}"
        if first.facts.get("fingerprint") != run.facts.get("fingerprint"):
            yield f"{pair} {_other_features(first, run)}."
        for split, what in (("train", "trained"), ("validation", "validated")):
            if first.samples.get(split) != run.samples.get(split):
                yield f"{pair} were {what} on different samples."


def _other_features(first: RunDetails, run: RunDetails) -> str:
    """What is not the same of the features that two runs were trained on; of recipes that look at others, which."""
    mine, theirs = (each.features.get("features", {}) for each in (first, run))
    shared = sorted(mine.keys() & theirs.keys())
    found = differences(*({"features": {name: sets[name] for name in shared}} for sets in (mine, theirs)))
    names = [name for name, _, _ in found]
    if names or mine.keys() == theirs.keys():
        return f"were trained on different features{f' ({shortened(names, most=3)})' if names else ''}"
    alone = [(first, sorted(mine.keys() - theirs.keys())), (run, sorted(theirs.keys() - mine.keys()))]
    told = [f"{each.entry.name} alone at {shortened(sets, most=3)}" for each, sets in alone if sets]
    return f"do not look at the same features: {' and '.join(told)}"
