"""What is known of the runs in a folder: a line of each, damaged and half-written ones too."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from ...documents import fingerprint, is_sealed
from ...errors import WeldcacheError
from ...metrics.estimate import Estimate
from .documents import Report, RunState
from .folder import RunFolder, relative_name, runs_below, runs_in
from .metrics_log import MetricRow, seconds_of

Status = Literal["finished", "stopped early", "weights deleted", "unfinished", "damaged"]
"""The first three are trained to their end; the third can no longer be evaluated."""

REPORTS = {"test": "report.json", "val": "report_val.json"}
"""Reports that an evaluation leaves in a run's folder, by split."""

UNSEALED = "has no checksums in its files, as older runs: an edited figure in it would not be noticed"
"""Said of such a run, after its name."""

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class RunEntry:
    """A run in a few figures; None, zero or nothing where they are not there or cannot be read.

    Attributes:
        name: relative to the folder of runs, as `find_run` takes it.
        created: ISO 8601 time.
        fingerprint: of the features that it was trained on.
        validated_on: fingerprint of the samples that it was validated on.
        epochs: how many were trained.
        best: row of the log of the best epoch.
        test_auroc: from the report, if the run was evaluated on the test split.
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
    status: Status
    epochs: int
    best: MetricRow | None
    test_auroc: Estimate | None
    seconds: float
    num_bytes: int
    sealed: bool
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"faults": list(self.faults)}

    def best_figure(self, name: str) -> float | None:
        """A figure of the best epoch; None where it is not there or undefined."""
        return _number((self.best or {}).get(name))

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end, and nothing is wrong with it."""
        return self.status in ("finished", "stopped early", "weights deleted")


def list_runs(folder: Path, *, nested: bool) -> list[RunEntry]:
    """The runs directly in `folder`, and with `nested` those of lists in it; the newest last."""
    runs = runs_below(folder) if nested else runs_in(folder)
    entries = [read_entry(run, folder=folder) for run in runs if run.path.is_dir()]
    return sorted(entries, key=lambda entry: (entry.created, entry.name))


def read_entry(run: RunFolder, *, folder: Path) -> RunEntry:
    """What can be read of a run; never fails on what it holds."""
    faults: list[str] = []
    manifest = tried(run.manifest, None, faults=faults)
    state = tried(run.state, None, faults=faults)
    rows: Sequence[MetricRow] = tried(run.log, (), faults=faults)
    report = tried(lambda: read_report(run, split="test"), None, faults=faults)
    tried(run.require_unedited_settings, None, faults=faults)
    return RunEntry(
        name=relative_name(run, folder=folder),
        recipe="" if manifest is None else manifest["recipe"],
        created="" if manifest is None else manifest["created"],
        fingerprint="" if manifest is None else manifest["fingerprint"],
        validated_on="" if manifest is None else fingerprint(manifest["samples"]["validation"]),
        status=_status(run, state, damaged=bool(faults)),
        epochs=len(rows),
        best=None if state is None else state["best"],
        test_auroc=auroc_of(report),
        seconds=seconds_of(rows),
        num_bytes=sum(size for _, size in file_sizes(run.path)),
        sealed=manifest is not None and is_sealed(manifest),
        faults=tuple(dict.fromkeys(faults)),
    )


def read_report(run: RunFolder, *, split: str) -> Report | None:
    """The report of an evaluation on `split`; None if there is none.

    Raises:
        TrainingError: if it is damaged or was edited.
    """
    path = run.path / REPORTS[split]
    return run.read(path, Report) if path.exists() else None


def auroc_of(report: Report | None) -> Estimate | None:
    """The AUROC of a report with its interval; None where the report does not define it."""
    if report is None:
        return None
    low, value, high = (report["auroc"][key] for key in ("low", "value", "high"))
    if low is None or value is None or high is None or not low <= value <= high:
        return None
    return Estimate(value, low, high)


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


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, float | int) else None


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
