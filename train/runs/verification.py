"""Whether runs are what was written: every file against the checksums that it or another file of its run holds.

There is no key, so whoever edits a file can make its checksum anew: what is found was damaged, edited by hand,
exchanged between runs or lost; what was forged with care is not.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...documents import is_sealed, seal_holds
from ...errors import TrainingError
from .catalogue import UNSEALED, tried
from .checkpoint import read_run_checkpoint
from .checkpointer import best_of
from .documents import Manifest, WithFiles, hashes_of, read_object, require_seal, typed
from .folder import RunFolder, folders_of_runs, relative_name, runs_in

_DOCUMENTS = ("report*.json", "trial_*.json")  # of evaluation and of a list's trials, beside what training writes
_TABLES = "table_*.json"
_NOTHING: dict[str, Any] = {}


@dataclass(frozen=True)
class Verified:
    """What is wrong with a run or with the tables of a list of variants; `sealed`: whether an edit would be noticed."""

    name: str
    faults: tuple[str, ...]
    sealed: bool

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"faults": list(self.faults)}


def verify_runs(folder: Path) -> Iterator[Verified]:
    """Each run in `folder` and in the folders of lists in it, and the tables of these lists."""
    for parent in folders_of_runs(folder):
        yield from (verify_run(run, folder=folder) for run in runs_in(parent))
        if tables := sorted(parent.glob(_TABLES)):
            faults: list[str] = []
            documents = [tried(partial(_table, path), _NOTHING, faults=faults) for path in tables]
            faults += _wrong_files(documents, folder=parent)
            name = parent.relative_to(folder).as_posix()
            yield Verified(f"{name}/{_TABLES}", tuple(faults), sealed=all(map(is_sealed, documents)))


def verify_run(run: RunFolder, *, folder: Path) -> Verified:
    """All files of a run in `folder`; never fails on what they hold."""
    faults: list[str] = []
    manifest = tried(run.manifest, None, faults=faults)
    if manifest is not None:
        for check in _checks(run):
            tried(check, None, faults=faults)
        paths = sorted(path for pattern in _DOCUMENTS for path in run.path.glob(pattern))
        documents = [tried(partial(_document, path, manifest), _NOTHING, faults=faults) for path in paths]
        faults += _wrong_files(documents, folder=run.path)
    sealed = manifest is not None and is_sealed(manifest)
    return Verified(relative_name(run, folder=folder), tuple(dict.fromkeys(faults)), sealed)


def verification_lines(found: Verified) -> Iterator[str]:
    """What was found in words, a line each."""
    yield from (f"{found.name}: {fault}" for fault in found.faults)
    if not found.faults:
        yield f"{found.name}: nothing wrong" if found.sealed else f"{found.name} {UNSEALED}"


def _checks(run: RunFolder) -> Iterator[Callable[[], object]]:
    yield from (run.state, run.log, run.settings)
    if run.best_path.exists():
        yield lambda: best_of(read_run_checkpoint(run.best_path, run=run), path=run.best_path)
    if run.last_path.exists():
        yield lambda: read_run_checkpoint(run.last_path, run=run)


def _document(path: Path, manifest: Manifest) -> dict[str, Any]:
    document = read_object(path)
    require_seal(document, path=path, manifest=manifest)
    typed(document, WithFiles, path=path)
    return document


def _table(path: Path) -> dict[str, Any]:
    document = read_object(path)
    if is_sealed(document) and not seal_holds(document):
        raise TrainingError(f"{path} does not match its checksum: it was damaged or edited. Run the list again.")
    typed(document, WithFiles, path=path)
    return document


def _wrong_files(documents: Iterable[Mapping[str, Any]], *, folder: Path) -> Iterator[str]:
    """Files beside the documents that are not what any of these says was written with it."""
    expected: dict[str, set[str]] = {}  # of a trial that was evaluated too, scores are written twice
    for document in documents:
        for name, digest in document.get("files", {}).items():
            expected.setdefault(name, set()).add(digest)
    for name, digests in expected.items():
        path = folder / name
        if not path.is_file():
            yield f"{path} is missing."
        elif hashes_of([path])[name] not in digests:
            yield (
                f"{path} does not match the checksum that was written with it: it was edited or exchanged, or writing "
                "was interrupted. Restore it, or make it again."
            )
