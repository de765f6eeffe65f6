"""Trials: each variant of a list with each seed is a run of its own, in the list's folder of runs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...configs.schema import Settings
from ...configs.variant_lists import VariantList
from ...errors import OutputExistsError, SettingsError
from ...train.runs.folder import RunFolder

# One copy of the features on one device is what makes a list quick, and its runs lie together.
_SHARED = ("cache.path", "train.device", "runs.folder")

_LONGEST_NAME = 160  # the seed is added to it, and a run's name has bounds of its own


@dataclass(frozen=True)
class Trial:
    """One variant with one seed; `settings` are complete, seed and folder of runs included."""

    variant: str
    seed: int
    settings: Settings
    run: RunFolder


def plan_trials(
    variants: VariantList, *, overrides: Sequence[str], seeds: Sequence[int]
) -> tuple[Settings, list[Trial]]:
    """The settings that all variants share, and every trial, the first seed of all variants first.

    Nothing is written. In that order an interrupted list has figures of every variant early.

    Raises:
        SettingsError: if a setting is unknown or out of range, if variants differ in what they have to share, or if
            two would be one folder.
        OutputExistsError: if the list's folder is a run.
    """
    if any(text.startswith("train.seed=") for text in overrides):
        raise SettingsError("--set train.seed: a list trains each variant with several; name them with --seeds 0,1,2.")
    shared = variants.shared(overrides=overrides)
    folder = shared.runs.folder / plain_name(variants.name)
    if RunFolder(folder).exists:
        raise OutputExistsError(f"{folder} is a run, and the list's runs would lie in it; rename one of the two.")
    names = _folder_names(variants)
    resolved = {name: variants.resolve(name, overrides=overrides) for name in names}
    for name, settings in resolved.items():
        _require_shared(settings, shared, where=f"{variants.origin}, variant {name!r}")
    trials = [
        _trial(name, seed, settings, path=folder / f"{names[name]}-seed{seed}")
        for seed in seeds
        for name, settings in resolved.items()
    ]
    return _with(shared, "runs", folder=folder), trials


def plain_name(name: str) -> str:
    """A name as one plain folder: `10+21` becomes `10_21`.

    Raises:
        SettingsError: if nothing is left of it, or too much for a folder's name.
    """
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._-")
    if not plain:
        raise SettingsError(f"{name!r} cannot be the name of a folder: it has neither letters nor digits.")
    if len(plain) > _LONGEST_NAME:
        raise SettingsError(f"{name[:40]!r}... has {len(name)} characters; {_LONGEST_NAME} are the most for a folder.")
    return plain


def _folder_names(variants: VariantList) -> dict[str, str]:
    """Each variant's folder; two that differ only in letters' case would be one on some disks."""
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in variants.variants:
        names[name] = plain_name(name)
        other = taken.setdefault(names[name].casefold(), name)
        if other != name:
            raise SettingsError(
                f"{variants.origin}: the variants {other!r} and {name!r} would both be kept as {names[name]}; rename "
                "one."
            )
    return names


def _require_shared(settings: Settings, shared: Settings, *, where: str) -> None:
    for key in _SHARED:
        section, _, name = key.partition(".")
        mine, theirs = (getattr(getattr(side, section), name) for side in (settings, shared))
        if mine != theirs:
            raise SettingsError(
                f"{where}: {key} is {mine}, and {theirs} for the list; all variants share it. Set it for all, in the "
                f"list's own `set` or with --set {key}=..."
            )


def _trial(variant: str, seed: int, settings: Settings, *, path: Path) -> Trial:
    settings = _with(_with(settings, "train", seed=seed), "runs", folder=path.parent)
    return Trial(variant, seed, settings, RunFolder(path))


def _with(settings: Settings, section: str, **values: object) -> Settings:
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})
