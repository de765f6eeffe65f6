"""What is known of the runs in a folder: a line of each, damaged and half-written ones too."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..documents import fingerprint
from ..errors import WeldcacheError
from ..metrics.estimate import Estimate
from .metrics_log import MetricRow, read_rows
from .run_folder import RunFolder, read_json, relative_name, runs_below, runs_in

Status = Literal["finished", "stopped early", "weights deleted", "unfinished", "damaged"]
"""The first three are trained to their end; the third can no longer be evaluated."""

REPORTS = {"test": "report.json", "val": "report_val.json"}
"""Reports that an evaluation leaves in a run's folder, by split."""

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
    faults: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"faults": list(self.faults)}

    def best_figure(self, name: str) -> float | None:
        """A figure of the best epoch; None where it is not there or undefined."""
        return _number((self.best or {}).get(name))


def list_runs(folder: Path, *, nested: bool) -> list[RunEntry]:
    """The runs directly in `folder`, and with `nested` those of lists in it; the newest last."""
    runs = runs_below(folder) if nested else runs_in(folder)
    entries = [read_entry(run, folder=folder) for run in runs if run.path.is_dir()]
    return sorted(entries, key=lambda entry: (entry.created, entry.name))


def read_entry(run: RunFolder, *, folder: Path) -> RunEntry:
    """What can be read of a run; never fails on what it holds."""
    faults: list[str] = []
    manifest: dict[str, Any] = tried(run.manifest, {}, faults=faults)
    tried(run.created, "", faults=faults)
    state: dict[str, Any] = tried(run.state, {}, faults=faults)
    rows: list[MetricRow] = tried(lambda: read_rows(run.metrics_path), [], faults=faults)
    report = tried(lambda: read_report(run, split="test"), None, faults=faults)
    best, samples = state.get("best"), manifest.get("samples")
    return RunEntry(
        name=relative_name(run, folder=folder),
        recipe=str(manifest.get("recipe", "")),
        created=str(manifest.get("created", "")),
        fingerprint=str(manifest.get("fingerprint", "")),
        validated_on=fingerprint(samples.get("validation")) if isinstance(samples, dict) else "",
        status=_status(run, state, damaged=bool(faults)),
        epochs=len(rows),
        best=best if isinstance(best, dict) else None,
        test_auroc=auroc_of(report),
        seconds=math.fsum(_number(row.get("seconds")) or 0 for row in rows),
        num_bytes=sum(size for _, size in file_sizes(run.path)),
        faults=tuple(dict.fromkeys(faults)),
    )


def read_report(run: RunFolder, *, split: str) -> dict[str, Any] | None:
    """The report of an evaluation on `split` as JSON values; None if there is none.

    Raises:
        TrainingError: if it is damaged.
    """
    path = run.path / REPORTS[split]
    return read_json(path) if path.is_file() else None


def auroc_of(report: Mapping[str, Any] | None) -> Estimate | None:
    """The AUROC of a report with its interval; None where the report does not define it."""
    found = (report or {}).get("auroc")
    low, value, high = (
        _number(found.get(key)) if isinstance(found, dict) else None for key in ("low", "value", "high")
    )
    if low is None or value is None or high is None or not low <= value <= high:
        return None
    return Estimate(value, low, high)


def file_sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """Name below `folder` and size of each file in it; one that vanishes meanwhile is passed over."""
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path.stat().st_size
        except FileNotFoundError:
            continue


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, float | int) else None


def _status(run: RunFolder, state: Mapping[str, Any], *, damaged: bool) -> Status:
    if damaged:
        return "damaged"
    if not state.get("finished"):
        return "unfinished"
    if not run.best_path.is_file():
        return "weights deleted"
    return "stopped early" if state.get("stopped") == "patience" else "finished"


def tried(read: Callable[[], Value], otherwise: Value, *, faults: list[str]) -> Value:
    """What `read` gives, or `otherwise` where that fails on a run's files; why is added to `faults`."""
    try:
        return read()
    except (WeldcacheError, OSError, UnicodeDecodeError) as error:
        faults.append(str(error))
        return otherwise
