"""What a run's features are made of and by, where there is no store: its manifest is the law, its settings say how."""

import os
from collections.abc import Sequence
from pathlib import Path

from ...cache.provenance import differences, differences_told
from ...configs.place import BucketUrl
from ...documents import Json
from ...errors import FingerprintError, NotFoundError
from ...extract.features.kind import Encoder
from ...extract.features.settings import PicturesSettings
from ...extract.request import load_features
from ...extract.sources.new import NewSamples, new_samples
from ...progress import say
from ...settings import Settings
from ...train.runs.trained_run import TrainedRun
from ...wording import lined_up, listed


def samples_at(run: TrainedRun, paths: Sequence[Path], *, settings: Settings) -> NewSamples:
    """The samples that somebody named, read as the run's data set was; says nothing.

    Raises:
        NotFoundError: if a path is not there.
        SourceError: if one cannot be read as the run's source reads it.
    """
    names = run.recipe.needs().feature_sets
    pictures = [
        section.num_views
        for name, section in settings.features.items()
        if isinstance(section, PicturesSettings) and _makes(name, names)
    ]
    return new_samples(settings.data, paths, num_views=max(pictures, default=1))


def _makes(feature: str, sets: Sequence[str] | frozenset[str]) -> bool:
    """Whether some of the feature sets are of this feature: a set is called as it, or `<feature>/<part>`."""
    return any(name == feature or name.startswith(f"{feature}/") for name in sets)


def settings_here(run: TrainedRun, settings: Settings) -> Settings:
    """Settings with the arithmetic that the run's features were made in, whatever this machine would choose, and with
    the store's place as seen from the run: demo backbones lie beside it."""
    arithmetic = {
        str(backbone["arithmetic"])
        for entry in run.manifest["cache"].get("features", {}).values()
        if (backbone := entry["made_by"].get("backbone")) and "arithmetic" in backbone
    }
    extract = settings.extract
    if extract.precision == "auto" and len(arithmetic) == 1:
        extract = extract.model_validate(extract.model_dump() | {"precision": arithmetic.pop()})
    recorded, cache = run.settings.cache.path, settings.cache
    if cache.path == recorded and not isinstance(recorded, BucketUrl):
        from_run = os.path.relpath(recorded, run.settings.runs.folder / run.folder.name)
        moved = Path(os.path.normpath(run.folder.path / from_run))
        if moved.parent.is_dir():
            cache = cache.model_copy(update={"path": moved})
    return settings.model_copy(update={"extract": extract, "cache": cache})


def encoders_of(run: TrainedRun, found: NewSamples, shown: frozenset[str], *, settings: Settings) -> dict[str, Encoder]:
    """What makes the feature sets `shown` of the samples `found`, by feature. Where libraries alone are of other
    versions than they were, that is said.

    Raises:
        NotFoundError: if the settings do not say how a feature is made that the run needs.
        FingerprintError: if they make it otherwise than that which the run was trained on.
        BackboneError: if a backbone cannot be had.
    """
    names = [name for name in settings.features if _makes(name, shown)]
    encoders = load_features(settings, names, found).encoders
    made = {spec.name: spec.to_manifest() for encoder in encoders.values() for spec in encoder.specs}
    if missing := sorted(shown - made.keys()):
        raise NotFoundError(
            f"The settings of {run.folder.path} do not say how {listed(missing)} is made: name the settings by which "
            "`weldcache extract` made it, with --config or --set."
        )
    trained_on = run.manifest["cache"]["features"]
    other, libraries = list[tuple[str, Json, Json]](), list[tuple[str, Json, Json]]()
    for name in sorted(shown):
        for difference in differences(trained_on[name], made[name]):
            (libraries if difference[0].startswith("made_by.libraries.") else other).append(
                (f"{name}, {difference[0]}", *difference[1:])
            )
    if other:
        raise FingerprintError(
            f"{run.folder.path} was trained on other features than would be made here:\n"
            f"{lined_up(differences_told(other, mine='in the run', theirs='here'))}\n"
            "Score with the backbones and the settings that the run was trained with, or train again."
        )
    if libraries:
        each = {path.partition(", made_by.libraries.")[2]: (held, here) for path, held, here in libraries}
        told = differences_told(
            [(name, *versions) for name, versions in each.items()], mine="in the run", theirs="here"
        )
        say("Not all is of the same versions, so that last digits of scores may differ:\n" + lined_up(told))
    return encoders
