"""Whether runs are what was written: every file against the checksums that it or another file of its run holds.

There is no key, so whoever edits a file can make its checksum anew: what is found was damaged, edited by hand,
exchanged between runs or lost; what was forged with care is not.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...documents import is_sealed, seal_holds
from ...errors import TrainingError
from ...findings import Check, Finding
from .catalogue import UNSEALED, tried
from .checkpoint import read_run_checkpoint
from .checkpointer import best_of
from .documents import Manifest, WithFiles, hashes_of, read_object, require_seal, typed
from .folder import RunFolder
from .names import folders_of_runs, relative_name, runs_in

# Of evaluation and of a list's trials, beside what training writes.
_DOCUMENTS = ("calibration.json", "report*.json", "trial_*.json")
_TABLES = "table_*.json"
_NOTHING: dict[str, Any] = {}


def verify_runs(folder: Path) -> Iterator[Check]:
    """Each run in `folder` and in the folders of lists in it, and the tables of these lists."""
    for parent in folders_of_runs(folder):
        yield from (verify_run(run, folder=folder) for run in runs_in(parent))
        if tables := sorted(parent.glob(_TABLES)):
            faults: list[str] = []
            documents = [tried(partial(_table, path), _NOTHING, faults=faults) for path in tables]
            faults += _wrong_files(documents, folder=parent)
            name = parent.relative_to(folder).as_posix()
            yield _check(f"{name}/{_TABLES}", "tables of a list", faults, sealed=all(map(is_sealed, documents)))


def verify_run(run: RunFolder, *, folder: Path) -> Check:
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
    return _check(relative_name(run, folder=folder), "files of a run", faults, sealed=sealed)


def verification_lines(check: Check) -> Iterator[str]:
    """What was found in words, a line each."""
    yield from (f"{check.name}: {finding.evidence}" for finding in check.findings)
    if not check.findings:
        yield f"{check.name}: nothing wrong"


def as_json(check: Check) -> dict[str, Any]:
    """As JSON values; `sealed` says whether an edit would be noticed."""
    faults = [finding.evidence for finding in check.findings if finding.severity == "error"]
    return {"name": check.name, "faults": faults, "sealed": all(finding.check != "seal" for finding in check.findings)}


def _check(name: str, looked_at: str, faults: Iterable[str], *, sealed: bool) -> Check:
    findings = [Finding("files", "error", fault, "") for fault in dict.fromkeys(faults)]
    unsealed = Finding("seal", "note", f"it {UNSEALED}.", "")
    return Check(name, looked_at, findings if sealed else [*findings, unsealed])


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
