"""What a checkpoint belongs to: kept inside it, and held against the run's folder and the cache before it is used.

The files of a run can be exchanged or edited one by one, and weights score features that they were not trained on
without a word. So a checkpoint trusts no file beside it.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from typing_extensions import TypedDict

from ...cache.provenance import differences, differences_told
from ...cache.store import FeatureStore
from ...configs.schema import Settings
from ...documents import Json, faults_told
from ...errors import FingerprintError, NotFoundError, TrainingError
from ...wording import lined_up
from ..loop import schedule_for
from .checkpoint import Checkpoint, read_checkpoint
from .documents import Figure, fingerprints_of, typed
from .folder import RunFolder
from .settings import shareable

_SECTIONS = ("model", "loss", "autoencoder", "train")  # these and the features decide what training gives
_HARMLESS = {"checkpoint_seconds", "loading", "loggers"}
_SHOWN = 10


class _Origin(TypedDict):
    run: str
    recipe: str
    settings: dict[str, Any]
    schedule: dict[str, Figure]
    fingerprint: str
    cache: dict[str, dict[str, Any]]
    samples: dict[str, str]
    members: list[dict[str, Any]]


def origin_of(run: RunFolder) -> dict[str, Any]:
    """What the checkpoints of `run` belong to, by its settings and its manifest, as JSON values.

    With the moment that a checkpoint's record tells, this decides all that training still does: the learning rates are
    a function of the schedule and the step, and every random number follows from the seed and the epoch.

    Raises:
        NotFoundError: if this is not a run.
        TrainingError: if its manifest or its settings are damaged or were edited.
    """
    settings, manifest = run.settings(), run.manifest()
    samples = manifest["samples"]
    return {
        "run": run.name,
        "recipe": manifest["recipe"],
        "settings": shareable(settings).model_dump(mode="json"),
        "schedule": asdict(schedule_for(settings.train, num_samples=len(samples["train"]))),
        "fingerprint": manifest["fingerprint"],
        "cache": manifest["cache"],
        "samples": fingerprints_of(samples),
        "members": manifest.get("members", []),
    }


def deciding_settings(settings: Settings) -> dict[str, Any]:
    """Those settings that decide what training gives, by section, as JSON values."""
    sections = {name: getattr(settings, name).model_dump(mode="json") for name in _SECTIONS}
    sections["train"] = {name: value for name, value in sections["train"].items() if name not in _HARMLESS}
    return sections


def read_run_checkpoint(path: Path, *, run: RunFolder) -> Checkpoint:
    """Read a checkpoint of `run`, which may have been renamed or moved since.

    Raises:
        NotFoundError: if there is no such file; the message tells a run that is trained from one that never was.
        TrainingError: if it is damaged.
        FingerprintError: if it belongs to other settings, features or samples than the run's folder tells; the message
            names each difference.
    """
    if not path.is_file() and run.finished:
        raise NotFoundError(
            f"There is no {path} any more: the run is finished, and its weights were deleted. Train it again; as one "
            "of a list, with `weldcache bench LIST --keep-weights --overwrite`, which keeps them."
        )
    checkpoint = read_checkpoint(path)
    typed(checkpoint.origin, _Origin, path=path)
    found = differences(_comparable(checkpoint.origin, path=path), _comparable(origin_of(run), path=path))
    if found:
        raise FingerprintError(
            f"{path} was not made by the run that its folder describes:\n"
            f"{_lines(found, mine='in the checkpoint', theirs='in the folder')}\n"
            f"The checkpoint, {run.config_path.name} or {run.manifest_path.name} was exchanged or edited: restore it, "
            "or train again with --overwrite."
        )
    return checkpoint


def require_same_features(checkpoint: Checkpoint, store: FeatureStore, *, path: Path) -> None:
    """Refuse a store whose features are not those that a checkpoint was trained on.

    What the store holds beyond them does not matter.

    Raises:
        FingerprintError: the message names each difference.
    """
    trained_on = checkpoint.origin["cache"]
    used = [name for entries in trained_on.values() for name in entries]
    found = differences(trained_on, store.manifest_of(used))
    if found:
        raise FingerprintError(
            f"{path} was trained on other features than {store.path} holds:\n"
            f"{_lines(found, mine='in the run', theirs='in the cache')}\n"
            "Use the cache that it was trained on, or train again."
        )


def _comparable(origin: Mapping[str, Any], *, path: Path) -> Json:
    """Without the run's name and the settings that decide nothing; settings as this version reads them."""
    try:
        settings = deciding_settings(Settings.model_validate(origin["settings"]))
        return {name: value for name, value in origin.items() if name != "run"} | {"settings": settings}
    except ValidationError as error:
        raise TrainingError(
            f"{path} is of a version with other settings ({faults_told(error)}); train again."
        ) from None


def _lines(found: list[tuple[str, Json, Json]], *, mine: str, theirs: str) -> str:
    return lined_up(differences_told(found, mine=mine, theirs=theirs), most=_SHOWN)
