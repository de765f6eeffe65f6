"""What a run's folder says of itself: the types of its documents, and reading them as if a stranger had written them.

Every JSON file of a run is sealed: a checksum over all that it says. All but the manifest also name the manifest that
they go with, so that neither an edited figure nor another run's file is taken for this run's. Runs from before the
seals can be read, and are said to be unsealed.
"""

import os
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypeVar, cast

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from ...cache.nodes import MOST_ROWS
from ...configs.section import with_paths
from ...documents import (
    faults_told,
    fingerprint,
    is_sealed,
    read_document,
    read_regular_file,
    seal_holds,
    sealed,
    write_sealed,
)
from ...errors import TrainingError
from ...settings import Settings, settings_from_saved
from ...wording import under_home

BELONGS_TO = "manifest_checksum"
"""Under this a document names the manifest of its run."""

_LARGEST = 2**63 - 1

Count = Annotated[int, Field(ge=0, le=_LARGEST)]
Figure = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)] | float
Figures = dict[Annotated[str, StringConstraints(pattern=r"^[\w./+-]+$", max_length=500)], Figure | None]
Line = Annotated[str, StringConstraints(max_length=10_000)]
PlainName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=255)]
Shape = Annotated[list[Annotated[int, Field(ge=0, le=MOST_ROWS)]], Field(max_length=9)]  # as an array of a store has

Document = TypeVar("Document")

_VALIDATORS: dict[object, TypeAdapter[Any]] = {}  # making one costs more than all that it is used for


class Parameters(TypedDict):
    """Numbers of parameters."""

    trainable: Count
    total: Count


class Counts(TypedDict, total=False):
    """Samples that took part and that were left out; by feature set or modality, where that is why."""

    train: Count
    train_left_out: Count
    train_lacking: dict[str, Count]
    train_without: dict[str, Count]
    validation: Count
    validation_normals: Count  # as the task counts its samples: these two are of anomaly, the next of classification
    validation_defects: Count
    validation_classes: Count
    validation_lacking: dict[str, Count]
    validation_without: dict[str, Count]
    # What earlier versions called `train` and `train_without`, whatever the task was.
    train_normals: Count
    train_normals_without: dict[str, Count]


class Samples(TypedDict):
    """Keys of the rows that were trained and validated on."""

    train: list[str]
    validation: list[str]


class SplitTold(TypedDict):
    """The split of the store by which rows were divided, and the hash that it is known by."""

    name: Line
    hash: Line


class Manifest(TypedDict):
    """manifest.json; what it says beyond this is for people."""

    recipe: Line
    created: Line
    command: str
    seed: int
    versions: dict[str, str]
    fingerprint: Line
    cache: dict[str, dict[str, Any]]
    backbones_are_random: bool
    parameters: Parameters
    counts: Counts
    samples: Samples
    task: NotRequired[Line]
    split: NotRequired[SplitTold]
    untrained: NotRequired[list[Line]]
    classes: NotRequired[dict[Line, list[Line]]]  # in the order of their codes, by the target that was learned from
    shapes: NotRequired[dict[Line, Shape]]  # what the module is built from; former versions did not tell
    caveats: NotRequired[list[str]]
    config_sha256: NotRequired[str]
    checksum: NotRequired[str]


class RunState(TypedDict):
    """state.json; `log` is the checksum of the log's line of that epoch."""

    finished: bool
    stopped: Line | None
    epoch: Count
    best: Figures | None
    log: NotRequired[str]


class Interval(TypedDict):
    """A figure with its 95 % interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


Fact = Interval | Figure | Annotated[str, StringConstraints(max_length=10_000)] | None


class ReportSection(TypedDict):
    """A section of report.json; figures by their names, which no other section has."""

    facts: NotRequired[dict[PlainName, Fact]]


class Report(TypedDict):
    """What of report.json is read back."""

    sections: NotRequired[dict[PlainName, ReportSection]]
    provenance: NotRequired[Any]


class FirstReport(TypedDict):
    """report.json of the first schema, which had no sections."""

    auroc: Interval
    ap: float
    fpr_at_95_tpr: float
    num_normal: Count
    num_defect: Count


class WithFiles(TypedDict):
    """A document that was written with other files: their SHA-256 by name."""

    files: NotRequired[dict[PlainName, str]]


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object, whatever it says.

    Raises:
        TrainingError: if there is none in the file.
        OSError: if the file cannot be read.
    """
    try:
        value = read_document(path)
    except ValueError as error:
        raise damaged(path, error) from None
    if not isinstance(value, dict):
        raise damaged(path, "it holds no JSON object")
    return value


def typed(document: Any, kind: type[Document], *, path: Path) -> Document:
    """The document itself, once it is known to have the types of `kind`; `path` is for the message.

    Raises:
        TrainingError: names what is not as it must be.
    """
    if kind not in _VALIDATORS:
        _VALIDATORS[kind] = TypeAdapter(kind)
    try:
        _VALIDATORS[kind].validate_python(document, strict=True)
    except ValidationError as error:
        raise damaged(path, faults_told(error)) from None
    return cast(Document, document)


def read_manifest(path: Path) -> Manifest:
    """A run's manifest, sealed or from before the seals.

    Raises:
        TrainingError: if it is damaged or was edited.
        OSError: if it cannot be read.
    """
    document = read_object(path)
    if is_sealed(document) and not seal_holds(document):
        raise _edited(path)
    return typed(document, Manifest, path=path)


def read_sealed(path: Path, kind: type[Document], *, manifest: Manifest) -> Document:
    """A document of the run that `manifest` is of.

    Raises:
        TrainingError: if it is damaged, was edited, or is of another run.
        OSError: if it cannot be read.
    """
    document = read_object(path)
    require_seal(document, path=path, manifest=manifest)
    return typed(document, kind, path=path)


def require_seal(document: Mapping[str, Any], *, path: Path, manifest: Manifest) -> None:
    """Refuse a document that does not say what was written into it for the run that `manifest` is of.

    Raises:
        TrainingError: as `read_sealed`.
    """
    run_is_sealed = is_sealed(manifest)
    if (is_sealed(document) or run_is_sealed) and not seal_holds(document):
        raise _edited(path)
    if is_sealed(document) and document.get(BELONGS_TO) != manifest.get("checksum", ""):
        raise TrainingError(f"{path} is not of this run, by its manifest: one of the two was exchanged. Restore it.")


def fingerprints_of(samples: Samples) -> dict[str, str]:
    """A fingerprint of the keys of each split, which tells whether two runs saw the same."""
    return {"train": fingerprint(samples["train"]), "validation": fingerprint(samples["validation"])}


def write_of_run(path: Path, document: Mapping[str, Any], *, manifest: Manifest) -> None:
    """Replace `path` by a sealed document that says which run it is of."""
    write_sealed(path, {**document, BELONGS_TO: manifest.get("checksum", "")})


def sealed_manifest(manifest: Mapping[str, Any], *, config: str) -> dict[str, Any]:
    """A manifest as it is written beside the settings `config`."""
    return sealed({**manifest, "config_sha256": sha256(config.encode()).hexdigest()})


def hashes_of(paths: Iterable[Path]) -> dict[str, str]:
    """What a document says of files beside it under `files`."""
    return {path.name: sha256(read_regular_file(path)).hexdigest() for path in paths}


def damaged(path: Path, why: object) -> TrainingError:
    """The error for a file of a run that cannot be understood."""
    return TrainingError(f"{path} is damaged ({why}); restore it, or delete the run's folder.")


def _edited(path: Path) -> TrainingError:
    return TrainingError(
        f"{path} does not match its checksum: it was damaged or edited. Restore it, or delete the run's folder."
    )


def shareable(settings: Settings) -> Settings:
    """Settings as they are written into a run of `runs.folder`, which is copied with its project and given to others.

    So a path in the project is meant from the run's folder, one elsewhere in the user's home begins with `~`; reading
    turns both round.
    """
    runs = settings.runs.folder

    def shared(path: Path) -> Path:
        for project in (runs.parent, runs.parent.parent):  # of a list of variants, runs lie one folder deeper
            if path.is_relative_to(project) and not Path.home().is_relative_to(project):
                return Path(os.path.relpath(path, runs / "run"))
        return Path(under_home(path))

    return with_paths(settings, shared)


def read_settings(path: Path, content: bytes) -> Settings:
    """The settings that the file `path` of a run holds as `content`, with the paths as they are on this machine.

    Raises:
        SettingsError: if they are not of this version of the schema.
    """
    here = path.parent.absolute()
    # Without `..` by the names alone: the run's folder may be a link to another disk, and the project is where it is.
    saved = settings_from_saved(content, origin=str(path))
    return with_paths(saved, lambda told: Path(os.path.normpath(here / told.expanduser())))
