"""Making room: what of the runs in a folder can be spared, and taking it away.

Planning reads only. Each part of a plan is looked at again when its run is locked, and left alone if it is not as it
was; a run goes by one renaming, so that a kill leaves it whole or not a run any more.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BusyError
from ..locking import locked_folder
from .run_catalogue import RunEntry, file_sizes, list_runs, read_entry
from .run_folder import RunFolder

_FINISHED = ("finished", "stopped early", "weights deleted")
_TEMPORARY = re.compile(r"\.[^/]+\.[0-9a-f]{8}\.tmp(\.[^/]+)?")  # of `replaced_file`, left behind by a kill


@dataclass(frozen=True)
class Removal:
    """One thing to take away.

    Attributes:
        entry: the run as it was when the removal was planned.
        files: names of the run's files that go; None: the run goes.
        reason: why it can be spared.
        num_bytes: that become free.
    """

    run: RunFolder
    entry: RunEntry
    files: tuple[str, ...] | None
    reason: str
    num_bytes: int


@dataclass(frozen=True)
class LeftAlone:
    """A removal that was planned and not made."""

    removal: Removal
    reason: str


def plan_pruning(folder: Path, *, nested: bool, keep_best: int | None, unfinished: bool) -> list[Removal]:
    """What can be spared: runs that are asked for, and of the others what is of use to training alone.

    `keep_best`: of the finished runs that can be compared, on the same features and validation samples, all but so
    many of the best by validation go. `unfinished`: runs go that were not trained to their end. A damaged run is left
    to its owner.
    """
    entries = [entry for entry in list_runs(folder, nested=nested) if entry.status != "damaged"]
    removals = list(_surplus(entries, folder=folder, keep_best=keep_best)) if keep_best is not None else []
    if unfinished:
        left = [entry for entry in entries if entry.status == "unfinished"]
        removals += [_whole(entry, folder=folder, reason="not finished") for entry in left]
    gone = {removal.entry.name for removal in removals}
    kept = (_spared(entry, folder=folder) for entry in entries if entry.name not in gone)
    return [*removals, *(removal for removal in kept if removal is not None)]


def carry_out(removals: Sequence[Removal]) -> tuple[list[Removal], list[LeftAlone]]:
    """Carry out a plan; what was removed, and what was not, because it is in use or no longer as it was."""
    outcomes = [(removal, _why_not(removal)) for removal in removals]
    left = [LeftAlone(removal, reason) for removal, reason in outcomes if reason is not None]
    return [removal for removal, reason in outcomes if reason is None], left


def pruning_document(removals: Sequence[Removal], left: Sequence[LeftAlone], *, done: bool) -> dict[str, Any]:
    """A plan, or with `done` its outcome, as JSON values."""
    return {
        "done": done,
        "num_bytes": sum(removal.num_bytes for removal in removals),
        "removals": [_as_json(removal) for removal in removals],
        "left_alone": [_as_json(item.removal) | {"left_because": item.reason} for item in left],
    }


def _as_json(removal: Removal) -> dict[str, Any]:
    return {
        "run": removal.entry.name,
        "files": None if removal.files is None else list(removal.files),
        "reason": removal.reason,
        "num_bytes": removal.num_bytes,
    }


def _surplus(entries: Sequence[RunEntry], *, folder: Path, keep_best: int) -> Iterator[Removal]:
    groups: dict[tuple[str, str], list[RunEntry]] = {}
    for entry in entries:
        if entry.status in _FINISHED:
            groups.setdefault((entry.fingerprint, entry.validated_on), []).append(entry)
    for group in groups.values():
        for place, entry in enumerate(_best_first(group), start=1):
            if place > keep_best:
                yield _whole(entry, folder=folder, reason=f"{place} of {len(group)} by validation")


def _best_first(entries: Sequence[RunEntry]) -> list[RunEntry]:
    """By AUROC, or by loss where validation has no defects; a run that lacks the figure is not among them."""
    aurocs = {entry: value for entry in entries if (value := entry.best_figure("val_auroc")) is not None}
    if aurocs:
        return sorted(aurocs, key=lambda entry: (-aurocs[entry], entry.created))
    losses = {entry: value for entry in entries if (value := entry.best_figure("val_loss")) is not None}
    return sorted(losses, key=lambda entry: (losses[entry], entry.created))


def _whole(entry: RunEntry, *, folder: Path, reason: str) -> Removal:
    return Removal(RunFolder(folder / entry.name), entry, files=None, reason=reason, num_bytes=entry.num_bytes)


def _spared(entry: RunEntry, *, folder: Path) -> Removal | None:
    run = RunFolder(folder / entry.name)
    spared = {name: size for name, size in file_sizes(run.path) if _TEMPORARY.fullmatch(name)}
    reason = "left by a kill"
    if entry.status in _FINISHED and run.last_path.is_file():
        spared[run.last_path.name] = run.last_path.stat().st_size
        reason = "only needed to go on, and it is finished"
    return Removal(run, entry, tuple(spared), reason, sum(spared.values())) if spared else None


def _why_not(removal: Removal) -> str | None:
    """Do one removal; None, or why it was not done."""
    run = removal.run
    try:
        with locked_folder(run.path):
            if read_entry(run, folder=run.path.parent).status != removal.entry.status:
                return "It has changed meanwhile."
            if removal.files is None:
                run.remove()
            else:
                for name in removal.files:
                    (run.path / name).unlink(missing_ok=True)
    except BusyError as error:
        return str(error)
    except FileNotFoundError:
        return "It is gone already."
    return None
