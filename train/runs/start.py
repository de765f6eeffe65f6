"""Whether a training command starts a new run, goes on with an unfinished one, or is refused; making and holding it."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from ...atomic import is_empty_folder, locked_folder, remove_partial
from ...cache.description import has_random_backbones
from ...cache.provenance import differences, differences_told, library_versions
from ...cache.splits import OFFICIAL
from ...cache.store import FeatureStore
from ...documents import Json
from ...errors import BusyError, OutputExistsError, SettingsError
from ...settings import Settings, to_yaml
from ...wording import lined_up
from ..data.features import classes_of, targets_of
from ..data.samples import ChosenSamples
from ..recipes.recipe import Recipe
from ..tasks import make_task
from ..types import Shapes
from .checkpoint import deciding_settings
from .documents import shareable
from .folder import RunFolder
from .names import all_runs, named_run, next_name


@dataclass(frozen=True)
class RunStart:
    """What was decided: nothing is written yet.

    Attributes:
        replaces: a run is in the way and will be deleted.
        numbered: the name is the next number, and another one will do if it is taken meanwhile.
    """

    run: RunFolder
    resumes: bool
    replaces: bool
    numbered: bool = False


def decide_start(settings: Settings, manifest: Mapping[str, Any], *, run_name: str | None, overwrite: bool) -> RunStart:
    """Decide by what is in the runs' folder; `manifest` is that of the run that is asked for.

    Without a name, the newest run that was not named by hand is continued if it is unfinished and asks for the same;
    otherwise the next number is taken.

    Raises:
        SettingsError: if the folder of runs cannot be one.
        OutputExistsError: if the name belongs to a finished run, or to an unfinished one that asks for something else.
    """
    run = None if run_name is None else named_run(settings.runs.folder, run_name)
    make_folder_of_runs(settings.runs.folder)
    if run is None:
        return _start_unnamed(settings, manifest, overwrite=overwrite)
    if Path(os.path.realpath(run.path)).is_symlink():
        raise OutputExistsError(f"{run.path} is a link that leads to itself; remove it, or choose another --run.")
    if not run.path.exists() or is_empty_folder(run.path):
        return RunStart(run, resumes=False, replaces=False)
    if not run.exists:
        raise OutputExistsError(f"{run.path} is there and is not a run; choose another --run.")
    if overwrite:
        return RunStart(run, resumes=False, replaces=True)
    if run.finished:
        raise OutputExistsError(
            f"The run {run.path} is finished. Choose another --run, or replace it with --overwrite."
        )
    found = _differences(run, settings, manifest)
    if found:
        raise OutputExistsError(
            f"The run {run.path} is not finished and asks for something else:\n{lined_up(found)}\n"
            "Go on with what it was started with, choose another --run, or replace it with --overwrite."
        )
    return RunStart(run, resumes=True, replaces=False)


def make_folder_of_runs(folder: Path) -> None:
    """Make the folder of runs, or where a link in its place leads, if it is not there.

    Raises:
        SettingsError: if a file is in its place, or nothing can be made there.
    """
    try:
        folder.resolve().mkdir(parents=True, exist_ok=True)
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError, RuntimeError) as error:
        raise SettingsError(f"runs.folder is {folder}, where no folder can be ({error}); set another.") from None


@contextmanager
def held_run(start: RunStart, *, settings: Settings, manifest: Mapping[str, Any]) -> Iterator[RunFolder]:
    """Make the run that was decided on, or find it, and keep it from other processes meanwhile.

    Raises:
        OutputExistsError: if another process has taken the name since.
        BusyError: if another process works on the run, or has made something else of it since.
    """
    run = start.run if start.resumes else _made(start, settings=settings, manifest=manifest)
    try:
        with locked_folder(run.path):
            # Between deciding, or making, and locking there was room for somebody who overwrites.
            if run.finished or _differences(run, settings, manifest):
                raise BusyError(f"Another process has changed {run.path} meanwhile; run the same command again.")
            for path in (run.best_path, run.last_path, run.state_path, run.metrics_path):
                remove_partial(path)
            yield run
    except FileNotFoundError as error:
        if run.path.exists():
            raise
        raise BusyError(f"Another process has removed {run.path} meanwhile; run the same command again.") from error


def _made(start: RunStart, *, settings: Settings, manifest: Mapping[str, Any]) -> RunFolder:
    if start.replaces:
        with suppress(FileNotFoundError), locked_folder(start.run.path):
            start.run.remove()
    try:
        start.run.create(config=to_yaml(shareable(settings)), manifest=manifest)
    except OutputExistsError:
        if not start.numbered:
            raise
        folder = start.run.path.parent
        other = named_run(folder, next_name(folder, str(manifest["recipe"])))
        return _made(replace(start, run=other), settings=settings, manifest=manifest)
    return start.run


def _start_unnamed(settings: Settings, manifest: Mapping[str, Any], *, overwrite: bool) -> RunStart:
    folder, recipe = settings.runs.folder, str(manifest["recipe"])
    numbered = [run for run in all_runs(folder) if run.name.startswith(f"{recipe}-")]
    if numbered and not overwrite and not numbered[-1].finished and not _differences(numbered[-1], settings, manifest):
        return RunStart(numbered[-1], resumes=True, replaces=False)
    return RunStart(named_run(folder, next_name(folder, recipe)), resumes=False, replaces=False, numbered=True)


def _differences(run: RunFolder, settings: Settings, manifest: Mapping[str, Any]) -> list[str]:
    """What an unfinished run was started with against what is asked for, settings first, a line each."""
    before = run.manifest()
    asked = differences(deciding_settings(run.settings()), deciding_settings(settings))
    told = differences(_told(before), _told(manifest))
    if "classes" in before:  # which runs of former versions do not tell
        told += differences({"classes": before["classes"]}, {"classes": manifest.get("classes", {})})
    return differences_told([*asked, *told], mine="there", theirs="now")


def _told(manifest: Mapping[str, Any]) -> Json:
    """What decides a training beside its settings."""
    told = {name: manifest[name] for name in ("recipe", "cache", "samples")}
    split = manifest.get("split", {"name": OFFICIAL})
    # The data set's own split changes with the data set: then it is the samples that count.
    return told | {"split": {"name": OFFICIAL} if split["name"] == OFFICIAL else split}


def make_manifest(
    recipe: Recipe,
    *,
    settings: Settings,
    model: nn.Module,
    shapes: Shapes,
    store: FeatureStore,
    samples: ChosenSamples,
    command: str,
) -> dict[str, Any]:
    """The manifest of a run of `recipe`, which `settings` made, as plain JSON values.

    `samples` names every row by its key, so that evaluation can hold against them what it scores. `cache` is what the
    store's manifest says of the features that the recipe uses, and `fingerprint` is over that alone: what is added to
    the store later changes neither. `shapes` are those that `model` was built from, so that scoring needs no store.
    `classes` are what the outputs of a recipe that learns some stand for.
    """
    used = recipe.needs().names
    targets = {name: target[samples.validation] for name, target in targets_of(store).items()}
    classes = {target: list(names) for target, names in classes_of(store, recipe).items()}
    return {
        "recipe": settings.recipe.name,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "command": command,
        "task": settings.train.task,
        "split": {"name": store.split, "hash": store.split_hash},
        "seed": settings.train.seed,
        "versions": library_versions(),
        "fingerprint": store.fingerprint_of(used),
        "cache": store.manifest_of(used),
        "backbones_are_random": has_random_backbones(store.manifest_of(used)),
        "parameters": count_parameters(model),
        "counts": {
            "train": len(samples.train),
            "train_left_out": samples.train_left_out,
            "train_lacking": dict(samples.train_lacking),
            "train_without": dict(samples.train_without),
            "validation": len(samples.validation),
            **make_task(settings.train).counts(targets),
            "validation_lacking": dict(samples.validation_lacking),
            "validation_without": dict(samples.validation_without),
        },
        "untrained": sorted(samples.untrained),
        **({"classes": classes} if classes else {}),
        "shapes": {name: list(shape) for name, shape in shapes.items()},
        "samples": {
            "train": store.index.keys[samples.train].tolist(),
            "validation": store.index.keys[samples.validation].tolist(),
        },
    }


def count_parameters(model: nn.Module) -> Mapping[str, int]:
    """Parameters that are trained, and all of them."""
    return {
        "trainable": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        "total": sum(parameter.numel() for parameter in model.parameters()),
    }
