"""What is known of the runs in a folder, damaged and half-written ones too: a line of each, and all about one."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from ...configs.place import PATH_TYPES
from ...configs.section import fields
from ...documents import Json, fingerprint, is_sealed
from ...errors import WeldcacheError
from ...metrics.estimate import Estimate
from ...settings import DEFAULT_PRESET, Settings, load_settings, preset_names
from ..fit import unread
from ..tasks import monitors_of
from .documents import RunState, fingerprints_of
from .folder import RunFolder
from .log import MetricRow, seconds_of
from .names import relative_name, runs_below, runs_in
from .reports import (
    REPORTS,
    Headline,
    Headlines,
    ReportedFigure,
    RunReport,
    ToldIn,
    as_plain,
    no_headlines,
    read_report,
)

Status = Literal["finished", "stopped early", "weights deleted", "unfinished", "damaged"]
"""The first three are trained to their end; the third can no longer be evaluated."""

UNSEALED = "has no checksums in its files, as older runs: an edited figure in it would not be noticed"
"""Said of such a run, after its name."""

_LONG = ("cache", "samples", "versions", "checksum", "config_sha256")  # of use to programs only

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class RunEntry:
    """A run in a few figures; None, zero or nothing where they are not there or cannot be read.

    Attributes:
        name: relative to the folder of runs, as `find_run` takes it.
        created: ISO 8601 time.
        fingerprint: of the features that it was trained on.
        validated_on: fingerprint of the samples that it was validated on.
        task: that it was trained for; anomalies in runs of before tasks had names.
        epochs: how many were trained.
        best: row of the log of the best epoch.
        headline: the figures by which runs of its judge are told.
        test: the report on the test split, if there is one.
        seconds: that training took.
        num_bytes: of all files.
        sealed: whether its files have checksums, so that an edited figure would be noticed.
        faults: why a run is damaged, a sentence each.
    """

    name: str
    recipe: str
    created: str
    fingerprint: str
    validated_on: str
    task: str
    status: Status
    epochs: int
    best: MetricRow | None
    headline: tuple[Headline, ...]
    test: RunReport | None
    seconds: float
    num_bytes: int
    sealed: bool
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """As JSON values; of the report the figures for a list, such as `test_auroc`."""
        values = {field.name: getattr(self, field.name) for field in dataclass_fields(self)}
        first, last = list(values).index("headline"), list(values).index("test")
        entries = list((values | {"faults": list(self.faults)}).items())
        reached = self.reached("list")
        figures = {f"test_{figure.name}": as_plain(value) for figure, value in reached.items()}
        return {**dict(entries[:first]), **figures, **dict(entries[last + 1 :])}

    def as_row(self) -> dict[str, str | float | int | None]:
        """What a table has of it: no faults and nothing for programs alone, intervals in columns of their own."""
        row: dict[str, str | float | int | None] = {
            name: getattr(self, name)
            for name in ("recipe", "task", "created", "status", "epochs", "seconds", "num_bytes")
        }
        row |= self.validation()
        for figure, value in self.reached("list").items():
            ends = vars(value) if isinstance(value, Estimate) else {"value": value}
            row |= {f"test_{figure.name}{'' if end == 'value' else f'_{end}'}": each for end, each in ends.items()}
        return row

    def reached(self, place: ToldIn, report: RunReport | None = None) -> dict[Headline, ReportedFigure]:
        """The headline figures of a report, or else of that on the test split, that are told in a place."""
        report = report or self.test
        return {
            figure: None if report is None else report.figure(figure.name)
            for figure in self.headline
            if place in figure.told_in
        }

    def best_figure(self, name: str) -> float | None:
        """A figure of the best epoch; None where it is not there or undefined."""
        value = (self.best or {}).get(name)
        return None if value is None else float(value)

    def validation(self) -> Mapping[str, float]:
        """What validation measured of the best epoch, by the task's monitors; without what is undefined."""
        figures = {name: self.best_figure(name) for name in monitors_of(self.task)}
        return {name: value for name, value in figures.items() if value is not None}

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end, and nothing is wrong with it."""
        return self.status in ("finished", "stopped early", "weights deleted")


def list_runs(folder: Path, *, nested: bool, headlines: Headlines = no_headlines) -> list[RunEntry]:
    """The runs directly in `folder`, and with `nested` those of lists in it; the newest last."""
    runs = runs_below(folder) if nested else runs_in(folder)
    entries = [read_entry(run, folder=folder, headlines=headlines) for run in runs if run.path.is_dir()]
    return sorted(entries, key=lambda entry: (entry.created, entry.name))


def read_entry(run: RunFolder, *, folder: Path, headlines: Headlines = no_headlines) -> RunEntry:
    """What can be read of a run; never fails on what it holds."""
    faults: list[str] = []
    manifest = tried(run.manifest, None, faults=faults)
    state = tried(run.state, None, faults=faults)
    rows: Sequence[MetricRow] = tried(run.log, (), faults=faults)
    report = tried(lambda: read_report(run, split="test"), None, faults=faults)
    tried(run.require_unedited_settings, None, faults=faults)
    task = "" if manifest is None else manifest.get("task", "anomaly")
    return RunEntry(
        name=relative_name(run, folder=folder),
        recipe="" if manifest is None else manifest["recipe"],
        created="" if manifest is None else manifest["created"],
        fingerprint="" if manifest is None else manifest["fingerprint"],
        validated_on="" if manifest is None else fingerprint(manifest["samples"]["validation"]),
        task=task,
        status=_status(run, state, damaged=bool(faults)),
        epochs=len(rows),
        best=None if state is None else state["best"],
        headline=tuple(headlines("" if report is None else report.judge, task)),
        test=report,
        seconds=seconds_of(rows),
        num_bytes=sum(size for _, size in file_sizes(run.path)),
        sealed=manifest is not None and is_sealed(manifest),
        faults=tuple(dict.fromkeys(faults)),
    )


def file_sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """Name below `folder` and size of each file in it, following no link; what vanishes meanwhile is passed over."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            try:
                yield path.relative_to(folder).as_posix(), path.lstat().st_size
            except FileNotFoundError:
                continue


def _status(run: RunFolder, state: RunState | None, *, damaged: bool) -> Status:
    if damaged:
        return "damaged"
    if state is None or not state["finished"]:
        return "unfinished"
    if not run.best_path.is_file():
        return "weights deleted"
    return "stopped early" if state["stopped"] == "patience" else "finished"


def tried(read: Callable[[], Value], otherwise: Value, *, faults: list[str]) -> Value:
    """What `read` gives, or `otherwise` where that fails on a run's files; why is added to `faults`."""
    try:
        return read()
    except (WeldcacheError, OSError, UnicodeError) as error:
        faults.append(str(error))
        return otherwise


@dataclass(frozen=True)
class RunDetails:
    """A run as far as it can be read.

    Attributes:
        entry: its line in the list.
        path: its folder.
        facts: its manifest, but for what is long.
        features: what the manifest says of the features that it was trained on.
        cache: the store that they were in; empty where the settings cannot be read.
        samples: fingerprint of the keys in each split, which tells whether two runs saw the same.
        settings: by dotted name, all but the paths.
        unread: names of those that decide nothing, as a recipe that is fitted has no epochs.
        preset: the preset that they are nearest to.
        changed: names of those that are not as in `preset`, with the preset's value.
        reports: what evaluations found, by split.
        files: size of each file, by name.
    """

    entry: RunEntry
    path: Path
    facts: Mapping[str, Any]
    features: Mapping[str, Any]
    cache: str
    samples: Mapping[str, str]
    settings: Mapping[str, Json]
    unread: frozenset[str]
    preset: str
    changed: Mapping[str, Json]
    reports: Mapping[str, RunReport]
    files: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """As JSON values, but for the features, of which the fingerprint is enough."""
        return {
            **self.facts,
            **self.entry.as_json(),
            "path": str(self.path),
            "cache": self.cache,
            "samples": dict(self.samples),
            "preset": self.preset,
            "changed": {name: {"here": self.settings[name], "preset": value} for name, value in self.changed.items()},
            "settings": dict(self.settings),
            "reports": {split: dict(report.facts) for split, report in self.reports.items()},
            "files": dict(self.files),
        }


def describe_run_folder(run: RunFolder, *, folder: Path, headlines: Headlines = no_headlines) -> RunDetails:
    """Read all about a run in `folder`; what cannot be read is among the faults of its entry."""
    entry = read_entry(run, folder=folder, headlines=headlines)
    faults = list(entry.faults)
    manifest = tried(run.manifest, None, faults=faults)
    settings = tried(run.settings, None, faults=faults)
    found = {split: tried(partial(read_report, run, split=split), None, faults=faults) for split in REPORTS}
    preset, changed = ("", {}) if settings is None else _nearest_preset(settings)
    facts: Mapping[str, Any] = {} if manifest is None else manifest
    told = {} if settings is None else _told(settings)
    return RunDetails(
        entry=replace(entry, faults=tuple(dict.fromkeys(faults)), status="damaged" if faults else entry.status),
        path=run.path,
        facts={name: value for name, value in facts.items() if name not in _LONG},
        features={} if manifest is None else manifest["cache"],
        cache="" if settings is None else str(settings.cache.path),
        samples={} if manifest is None else fingerprints_of(manifest["samples"]),
        settings=told,
        unread=frozenset() if settings is None else frozenset(unread(settings, told)),
        preset=preset,
        changed=changed,
        reports={split: report for split, report in found.items() if report is not None},
        files=dict(file_sizes(run.path)),
    )


def _told(settings: Settings) -> dict[str, Json]:
    """All settings by dotted name but the paths, which say where things are and not what is done with them."""
    return {setting.key: setting.told for setting in fields(settings) if setting.field.annotation not in PATH_TYPES}


@cache
def _told_by(preset: str) -> Mapping[str, Json]:
    """The same of a preset, read once a process: a list of runs asks for all presets of each of them."""
    return _told(load_settings(preset, folder=Path(__file__).parent))  # where no weldcache.yaml changes a preset


def _nearest_preset(settings: Settings) -> tuple[str, dict[str, Json]]:
    """The preset from which the fewest settings differ, and its value of each that does."""
    here, differing = _told(settings), {}
    for preset in preset_names():
        there = _told_by(preset)
        differing[preset] = {name: there.get(name) for name, value in here.items() if there.get(name) != value}
    nearest = min(differing, key=lambda preset: (len(differing[preset]), preset != DEFAULT_PRESET))
    return nearest, differing[nearest]
