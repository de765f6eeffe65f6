"""Making room: what of the runs in a folder can be spared, and taking it away.

Planning reads only. Each part of a plan is looked at again when its run is locked, and left alone if it is not as it
was; a run goes by one renaming, so that a kill leaves it whole or not a run any more. What such a kill leaves behind
is found by the next plan.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ...atomic import is_temporary, locked_folder, remove_folder
from ...errors import BusyError
from ...wording import count_of
from ..tasks import monitors_of
from .catalogue import UNSEALED, RunEntry, Status, file_sizes, list_runs, read_entry
from .folder import RunFolder
from .names import folders_of_runs

_KILLED = "left by a kill"


@dataclass(frozen=True)
class Removal:
    """One thing to take away.

    Attributes:
        name: of the run, or of what is left of one that was half removed.
        path: its folder.
        status: of the run when the removal was planned; None for what is no run any more.
        files: names of the run's files that go; None: the whole folder goes.
        reason: why it can be spared.
        num_bytes: that become free.
    """

    name: str
    path: Path
    status: Status | None
    files: tuple[str, ...] | None
    reason: str
    num_bytes: int


@dataclass(frozen=True)
class LeftAlone:
    """Something that nothing is taken away from, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class PruningPlan:
    """What can be spared, and which runs were not even looked at for it."""

    removals: Sequence[Removal]
    left: Sequence[LeftAlone]


def plan_pruning(
    folder: Path, *, nested: bool, keep_best: int | None, unfinished: bool, older_than: int | None = None
) -> PruningPlan:
    """What can be spared: runs that are asked for, and of the others what is of use to training alone.

    `keep_best`: of the finished runs that can be compared, on the same features and validation samples and for the
    same task, all but so many of the best by validation go. `unfinished`: runs go that were not trained to their end.
    `older_than`: finished runs go that were begun more than so many days ago. A run whose figures cannot be trusted,
    because it is damaged or has no checksums, is left to its owner.
    """
    everyone = list_runs(folder, nested=nested)
    entries = [entry for entry in everyone if _distrust(entry) is None]
    removals = list(_surplus(entries, folder=folder, keep_best=keep_best)) if keep_best is not None else []
    if unfinished:
        left = [entry for entry in entries if entry.status == "unfinished"]
        removals += [_whole(entry, folder=folder, reason="not finished") for entry in left]
    if older_than is not None:
        before, named = datetime.now(UTC) - timedelta(days=older_than), {removal.name for removal in removals}
        old = [entry for entry in entries if entry.finished and datetime.fromisoformat(entry.created) < before]
        age = f"more than {count_of(older_than, 'day')} old"
        removals += [_whole(entry, folder=folder, reason=age) for entry in old if entry.name not in named]
    gone = {removal.name for removal in removals}
    kept = (_spared(entry, folder=folder) for entry in entries if entry.name not in gone)
    return PruningPlan(
        removals=[*removals, *(removal for removal in kept if removal is not None), *_half_removed(folder, nested)],
        left=[LeftAlone(entry.name, reason) for entry in everyone if (reason := _distrust(entry)) is not None],
    )


def carry_out(plan: PruningPlan) -> PruningPlan:
    """Carry out a plan; what was removed, and what was not, also because it is in use or no longer as it was."""
    outcomes = [(removal, _why_not(removal)) for removal in plan.removals]
    left = [LeftAlone(removal.name, reason) for removal, reason in outcomes if reason is not None]
    return PruningPlan([removal for removal, reason in outcomes if reason is None], [*plan.left, *left])


def pruning_document(plan: PruningPlan, *, done: bool) -> dict[str, Any]:
    """A plan, or with `done` its outcome, as JSON values."""
    return {
        "done": done,
        "num_bytes": sum(removal.num_bytes for removal in plan.removals),
        "removals": [_as_json(removal) for removal in plan.removals],
        "left_alone": [{"run": item.name, "left_because": item.reason} for item in plan.left],
    }


def _as_json(removal: Removal) -> dict[str, Any]:
    return {
        "run": removal.name,
        "files": None if removal.files is None else list(removal.files),
        "reason": removal.reason,
        "num_bytes": removal.num_bytes,
    }


def _distrust(entry: RunEntry) -> str | None:
    """Why nothing may be taken away by what a run says of itself."""
    if entry.status == "damaged":
        return f"It is damaged: {entry.faults[0]}"
    return None if entry.sealed else f"It {UNSEALED}. Remove it by hand where it can be spared."


def _surplus(entries: Sequence[RunEntry], *, folder: Path, keep_best: int) -> Iterator[Removal]:
    groups: dict[tuple[str, str, str], list[RunEntry]] = {}
    for entry in entries:
        if entry.finished:
            groups.setdefault((entry.fingerprint, entry.validated_on, entry.task), []).append(entry)
    for group in groups.values():
        for place, entry in enumerate(_best_first(group), start=1):
            if place > keep_best:
                yield _whole(entry, folder=folder, reason=f"{place} of {len(group)} by validation")


def _best_first(entries: Sequence[RunEntry]) -> list[RunEntry]:
    """Runs of one task by the first of its monitors that validation could measure; a run that lacks it is left out."""
    for name, better in monitors_of(entries[0].task).items():
        figures = {entry: value for entry in entries if (value := entry.best_figure(name)) is not None}
        if figures:
            sign = -1 if better == "max" else 1
            return sorted(figures, key=lambda entry: (sign * figures[entry], entry.created))
    return []


def _whole(entry: RunEntry, *, folder: Path, reason: str) -> Removal:
    return Removal(entry.name, folder / entry.name, entry.status, files=None, reason=reason, num_bytes=entry.num_bytes)


def _spared(entry: RunEntry, *, folder: Path) -> Removal | None:
    run = RunFolder(folder / entry.name)
    spared = {name: size for name, size in file_sizes(run.path) if is_temporary(name)}
    reason = _KILLED
    if entry.finished and run.last_path.is_file():
        spared[run.last_path.name] = run.last_path.stat().st_size
        reason = "only needed to go on, and it is finished"
    if not spared:
        return None
    return Removal(entry.name, run.path, entry.status, tuple(spared), reason, sum(spared.values()))


def _half_removed(folder: Path, nested: bool) -> Iterator[Removal]:
    """Folders of runs that were being made or removed when their process was killed."""
    for parent in folders_of_runs(folder) if nested else [folder]:
        for path in sorted(parent.glob(".*.tmp*")):
            if is_temporary(path.name) and path.is_dir() and not path.is_symlink():
                num_bytes = sum(size for _, size in file_sizes(path))
                name = path.relative_to(folder).as_posix()
                yield Removal(name, path, None, files=None, reason=_KILLED, num_bytes=num_bytes)


def _why_not(removal: Removal) -> str | None:
    """Do one removal; None, or why it was not done."""
    try:
        with locked_folder(removal.path):
            run = RunFolder(removal.path)
            if removal.status is not None and read_entry(run, folder=run.path.parent).status != removal.status:
                return "It has changed meanwhile."
            if removal.files is None:
                remove_folder(removal.path)
            else:
                for name in removal.files:
                    (removal.path / name).unlink(missing_ok=True)
    except BusyError as error:
        return str(error)
    except FileNotFoundError:
        return "It is gone already."
    return None
