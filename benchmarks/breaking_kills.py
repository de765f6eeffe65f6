"""Kills at random moments of every command that writes: is anything complete lost, and does the next run end well?"""

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from breaking import Commands, Tally, content_of, false_rows, leftovers

from weldcache.train.runs.checkpoint import read_checkpoint

_STORE, _RUN = "features.zarr", "runs/first"
_TRAIN = ("train", "--run", "first", "--set", "train.epochs=6", "--set", "train.checkpoint_seconds=0.2")
_TRAIN_ANOTHER = ("train", "--run", "second", "--set", "train.epochs=1", "--set", "train.seed=1")
_EXPORT = ("export", "--to", "store.h5")
_IMPORT = ("import", "store.h5", "--cache", "copy.zarr")
# What is killed, and what must be there before.
_JOBS: dict[str, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {
    "extract": (("extract",), ()),
    "extract, two workers": (("extract", "--set", "extract.workers=2"), ()),
    "train": (_TRAIN, (("extract",),)),
    "eval": (("eval", "--run", "first"), (("extract",), _TRAIN)),
    "export": (_EXPORT, (("extract",),)),
    "import": (_IMPORT, (("extract",), _EXPORT)),
    "prune": (("runs", "prune", "--keep-best", "1", "--yes"), (("extract",), _TRAIN, _TRAIN_ANOTHER)),
}


def campaign(commands: Commands, project: Path, scratch: Path, *, trials: int, seed: int) -> Iterator[Tally]:
    """Kill each job about equally often; a job that ends before its kill came is begun anew and does not count."""
    generator = random.Random(seed)
    shares = [trials // len(_JOBS) + (place < trials % len(_JOBS)) for place in range(len(_JOBS))]
    for (name, (command, before)), share in zip(_JOBS.items(), shares, strict=True):
        if share:
            yield _kill(name, command, before, commands, project, scratch, trials=share, generator=generator)


def _kill(
    name: str,
    command: tuple[str, ...],
    before: tuple[tuple[str, ...], ...],
    commands: Commands,
    project: Path,
    scratch: Path,
    *,
    trials: int,
    generator: random.Random,
) -> Tally:
    log, start, work = scratch / "log.txt", scratch / "start", scratch / "work"
    shutil.rmtree(start, ignore_errors=True)
    shutil.copytree(project, start)
    for step in before:
        _must(commands, *step, folder=start, log=log)
    _anew(start, work)
    started = time.monotonic()
    _must(commands, *command, folder=work, log=log)
    usual = time.monotonic() - started
    expected, whole = _outcome(work), content_of(work / _STORE)
    tally, done = Tally(f"kill of {name}"), False
    _anew(start, work)
    while tally.num_trials < trials:
        if done:
            _anew(start, work)
        code = commands.run(*command, folder=work, log=log, kill_after=generator.uniform(0.01, usual))
        done = code != -9
        if not done:
            store = work / _STORE
            false = false_rows(store, whole) if store.exists() else 0
            tally.add("false row" if false else "killed", detail=f"{false} rows", fine=not false)
        elif fault := _fault(code, work, expected, log):
            tally.add("ended otherwise", detail=fault, fine=False)
    if not done:
        code = commands.run(*command, folder=work, log=log)
        if fault := _fault(code, work, expected, log):
            tally.add("ended otherwise", detail=fault, fine=False)
    return tally


def _fault(code: int | None, work: Path, expected: dict[str, object], log: Path) -> str:
    """What is not as it is after a command that nobody killed."""
    outcome, left = _outcome(work), leftovers(work)
    differences = [name for name in expected.keys() | outcome.keys() if expected.get(name) != outcome.get(name)]
    # One that was killed after its last step is done: repeating it says that the file is there already.
    fine = code == 0 or (code == 2 and not differences)
    return (
        ""
        if fine and not differences and not left
        else f"exit {code}, left {left}, {differences}: {log.read_text()[-300:]}"
    )


def _anew(start: Path, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(start, work)


def _must(commands: Commands, *command: str, folder: Path, log: Path) -> None:
    code = commands.run(*command, folder=folder, log=log, timeout=600)
    if code != 0:
        raise SystemExit(f"weldcache {' '.join(command)} ended with {code} without any kill:\n{log.read_text()}")


def _outcome(work: Path) -> dict[str, object]:
    """What must be the same however often the commands were killed."""
    outcome: dict[str, object] = {}
    for store in ("features.zarr", "copy.zarr"):
        if (work / store).exists():
            outcome[store] = content_of(work / store)
    if (work / _RUN / "best.safetensors").exists():
        tensors = read_checkpoint(work / _RUN / "best.safetensors").tensors
        outcome["weights"] = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
    outcome["files"] = sorted(str(path.relative_to(work)) for path in work.glob("runs/*/*")) + sorted(
        path.name for path in work.glob("*.h5")
    )
    return outcome
