"""What a bench will do: the trials of a list, what is left of each, and the features that they share.

Each variant of a list with each seed is a run of its own, in the list's folder of runs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import indent
from typing import Any

import numpy as np

from ...atomic import remove_partial, write_text
from ...cache.splits import OFFICIAL
from ...cache.store import FeatureStore
from ...configs.device import resolve_device
from ...configs.layers import override_layer
from ...errors import NotFoundError, OutputExistsError, SettingsError, WeldcacheError
from ...progress import say
from ...settings import Settings
from ...train.data.features import Rows, chosen_for, require_features
from ...train.data.resident import FeaturePool, fits_memory
from ...train.fit import require_read, unread
from ...train.recipes.recipe import make_recipe
from ...train.runs.folder import RunFolder
from ...train.types import Needs
from ...wording import format_size, homes_hidden, shortened
from ..judge import Judge, judge_named, name_of_judge
from .measure import Measure
from .trial import Entry, Step, Trial, TrialRequest, next_step, request_of
from .variant_list import VariantList

# One copy of the features on one device is what makes a list quick, and its runs lie together.
_SHARED = ("cache.path", "train.device", "runs.folder")

_NAMED = 3  # variants in a message

_SPLIT = "train.split"

_LONGEST_NAME = 160  # the seed is added to it, and a run's name has bounds of its own


@dataclass(frozen=True, eq=False)
class BenchPlan:
    """What is to be done.

    Attributes:
        requests: by split and variant what it asks of the store; only those that can be tried.
        steps: the trials of those variants in their order, with what is left of each.
        failures: by split and variant why it cannot be tried, in one line.
        passed_over: the same of those that the store lacks the features of, where the list passes over such.
    """

    requests: Mapping[Entry, TrialRequest]
    steps: Sequence[tuple[Trial, Step]]
    failures: Mapping[Entry, str]
    passed_over: Mapping[Entry, str]

    @property
    def entries(self) -> Sequence[Entry]:
        """All of them, whatever became of them."""
        return [*self.requests, *self.failures, *self.passed_over]

    @property
    def num_done(self) -> int:
        """Trials of which nothing is left."""
        return sum(step == "done" for _, step in self.steps)

    def train_rows(self, store_split: str) -> Rows:
        """Rows that some variant trains on by this split."""
        return _union([request.train for (asked, _), request in self.requests.items() if asked == store_split])


def plan_trials(
    variants: VariantList,
    *,
    overrides: Sequence[str],
    seeds: Sequence[int],
    store_splits: Sequence[str] = (),
    base: Settings | None = None,
) -> tuple[Settings, list[Trial]]:
    """The settings that all variants share, and every trial, the first seed of all variants by all splits first.

    Without `store_splits` each variant goes by its own. `base` is what the list is laid over; None: what the folder
    says.

    Nothing is written. In that order an interrupted list has figures of every variant early.

    Raises:
        SettingsError: if a setting is unknown, out of range or not read by the recipe that it is said of, if variants
            differ in what they have to share, or if two would be one folder.
        OutputExistsError: if the list's folder is a run.
    """
    if any(text.startswith("train.seed=") for text in overrides):
        raise SettingsError("--set train.seed: a list trains each variant with several; name them with --seeds 0,1,2.")
    shared = variants.shared(overrides=overrides, base=base)
    folder = shared.runs.folder / plain_name(variants.name)
    if RunFolder(folder).exists:
        raise OutputExistsError(f"{folder} is a run, and the list's runs would lie in it; rename one of the two.")
    names = _folder_names(variants)
    resolved = {name: variants.resolve(name, overrides=overrides, base=base) for name in names}
    for name, settings in resolved.items():
        _require_shared(settings, shared, where=f"{variants.origin}, variant {name!r}")
    keys = override_layer(overrides).keys
    _require_read(variants, resolved, overrides=keys)
    if store_splits:
        _require_no_split(variants, overrides=keys)
    asked = list(store_splits) or [""]
    folders = _run_folders(names, asked, origin=variants.origin)
    trials = [
        _trial(name, seed, settings, store_split=store_split, path=folder / f"{folders[store_split, name]}-seed{seed}")
        for seed in seeds
        for store_split in asked
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
    """The folder's name of each variant; names that differ only in case are refused, being one on some disks."""
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


def _run_folders(names: Mapping[str, str], store_splits: Sequence[str], *, origin: str) -> dict[Entry, str]:
    """Folders without their seeds: the split stands behind the variant's name, but for the data set's own."""
    found: dict[Entry, str] = {}
    for store_split in store_splits:
        for name, plain in names.items():
            found[store_split, name] = plain if store_split in ("", OFFICIAL) else f"{plain}-{store_split}"
    if len({folder.casefold() for folder in found.values()}) < len(found):
        raise SettingsError(f"{origin}: a variant has the name of another one by one of the splits; rename it.")
    return found


def _require_no_split(variants: VariantList, *, overrides: Sequence[str]) -> None:
    """Where the list is gone through split by split, nothing else says a split."""
    of_variants = [key for variant in variants.variants.values() for key in variant.settings]
    if _SPLIT in (*overrides, *variants.settings, *of_variants):
        raise SettingsError(
            f"{variants.origin}: {_SPLIT} is set, and the splits are asked for, too (--splits, or `splits` of the "
            "list); leave one of the two out."
        )


def _require_shared(settings: Settings, shared: Settings, *, where: str) -> None:
    for key in _SHARED:
        section, _, name = key.partition(".")
        mine, theirs = (getattr(getattr(side, section), name) for side in (settings, shared))
        if mine != theirs:
            raise SettingsError(
                f"{where}: {key} is {mine}, and {theirs} for the list; all variants share it. Set it for all, in the "
                f"list's own `set` or with --set {key}=..."
            )


def _require_read(variants: VariantList, resolved: Mapping[str, Settings], *, overrides: Sequence[str]) -> None:
    """What is said of all variants has to be read by one of them; what is said of one, by that one."""
    of_all = [key for key in (*variants.settings, *overrides) if all(unread(each, [key]) for each in resolved.values())]
    for name, settings in resolved.items():
        try:
            require_read(settings, (*of_all, *variants.variants[name].settings))
        except SettingsError as error:
            raise SettingsError(f"{variants.origin}, variant {name!r}: {error}") from None


def _trial(variant: str, seed: int, settings: Settings, *, store_split: str, path: Path) -> Trial:
    split = store_split or settings.train.split
    settings = _with(_with(settings, "train", seed=seed, split=split), "runs", folder=path.parent)
    return Trial(variant, seed, settings, RunFolder(path), store_split)


def _with(settings: Settings, section: str, **values: object) -> Settings:
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})


def judge_of_all(trials: Sequence[Trial]) -> Judge[Any]:
    """Who judges every variant.

    Raises:
        SettingsError: if variants have several judges, whose figures have no place in one table, or theirs cannot be
            had.
    """
    judges: dict[str, list[str]] = {}
    for variant, settings in {trial.variant: trial.settings for trial in trials}.items():
        judges.setdefault(settings.evaluate.judge or name_of_judge(settings.train.task), []).append(variant)
    if len(judges) > 1:
        told = "; ".join(f"{name}: {shortened(variants, most=_NAMED)}" for name, variants in judges.items())
        raise SettingsError(
            f"These variants have several judges ({told}), whose figures do not compare. Make a list for each, with "
            "one train.task and one evaluate.judge."
        )
    settings = trials[0].settings
    return judge_named(settings.evaluate.judge, task=settings.train.task, of="the list")


def make_plan(
    trials: Sequence[Trial],
    store: FeatureStore,
    *,
    split: str,
    overwrite: bool,
    measure: Measure,
    pass_over_lacking: bool = False,
) -> BenchPlan:
    """Look at the store for every variant, and at what is there of every trial; nothing is written.

    `overwrite`: every trial is trained again, but for those that an interrupted overwriting has made already.
    `pass_over_lacking`: a variant whose features the store lacks is no failure.

    Raises:
        OutputExistsError: if trials are there already that ask for something else; the message names them all.
    """
    requests: dict[Entry, TrialRequest] = {}
    failures: dict[Entry, str] = {}
    passed_over: dict[Entry, str] = {}
    for entry, settings in {trial.entry: trial.settings for trial in trials}.items():
        try:
            if pass_over_lacking and (why := _why_lacking(settings, store)):
                passed_over[entry] = why
            else:
                requests[entry] = request_of(chosen_for(store, settings), store, split=split, measure=measure)
        except WeldcacheError as error:
            failures[entry] = one_line(error)
    steps: list[tuple[Trial, Step]] = []
    refusals = []
    for trial in trials:
        if trial.entry in requests:
            trial, request = replace(trial, settings=chosen_for(store, trial.settings)), requests[trial.entry]
            try:
                steps.append((trial, _step(trial, request, store, split=split, overwrite=overwrite)))
            except OutputExistsError as error:
                refusals.append(str(error))
    if refusals:
        listed = indent("\n".join(refusals), "  ")
        raise OutputExistsError(
            f"What is there already is not what is asked for:\n{listed}\n"
            "Give the list another name or set another runs.folder, or replace the trials with --overwrite."
        )
    return BenchPlan(requests, steps, failures, passed_over)


def _why_lacking(settings: Settings, store: FeatureStore) -> str:
    """What the store lacks of what a recipe needs, in one line; "" where it lacks nothing."""
    try:
        require_features(store, make_recipe(chosen_for(store, settings).recipe))
    except NotFoundError as error:
        return one_line(error)
    return ""


def _step(trial: Trial, request: TrialRequest, store: FeatureStore, *, split: str, overwrite: bool) -> Step:
    again = overwrite and not is_overwritten(trial.run)
    try:
        return next_step(trial, request, store, split=split, overwrite=again)
    except WeldcacheError:
        if overwrite:  # the list was changed since the interruption
            return "train"
        raise


def load_shared_features(plan: BenchPlan, store: FeatureStore, *, settings: Settings) -> FeaturePool | None:
    """Load every array that some trial still needs, once; None where all together do not fit, or none is needed."""
    needed = [plan.requests[trial.entry] for trial, step in plan.steps if step != "done"]
    if not needed or settings.train.loading == "streamed":
        return None
    device = resolve_device(settings.train.device, setting="train.device")
    # A variant may do without what another one asks for, so each array is loaded as if rows may lack it.
    wanted = {each.name: replace(each, optional=True) for request in needed for each in request.needs.features}
    targets = dict.fromkeys(name for request in needed for name in request.needs.targets)
    needs = Needs(tuple(wanted.values()), targets=tuple(targets))
    rows = _in_order_of_use(needed)
    pool = FeaturePool(store, rows, device=device)
    num_bytes = pool.num_bytes(needs)
    size = f"{format_size(num_bytes)} of features"
    if not fits_memory(num_bytes, device=device):
        say(f"{size} do not fit the memory of {device} together: each trial loads or streams its own.")
        return None
    pool.source(rows, needs)
    say(f"{size} stay on {device}; {len(needed)} trials share them.")
    return pool


def one_line(error: Exception) -> str:
    """What went wrong, as a table has room for."""
    text = homes_hidden(" ".join(str(error).split()))
    return text if isinstance(error, WeldcacheError) else f"{type(error).__name__}: {text} (a fault of weldcache)"


def _in_order_of_use(requests: Sequence[TrialRequest]) -> Rows:
    """Splits one after another, each row once, so that batches in order need no gathering."""
    splits = zip(*((request.train, request.validation, request.scored) for request in requests), strict=True)
    rows = np.concatenate([_union(parts) for parts in splits])
    _, first = np.unique(rows, return_index=True)
    return rows[np.sort(first)]


def _union(parts: Sequence[Rows]) -> Rows:
    return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *parts]))


def begin_overwriting(folder: Path) -> None:
    """Set the mark of a list's folder; one that an interruption left stands."""
    mark = _mark(folder)
    remove_partial(mark)
    if not mark.is_file():
        write_text(mark, "Every trial that is older than this file is being replaced: `weldcache bench --overwrite`.\n")


def end_overwriting(folder: Path) -> None:
    """Remove the mark of a list's folder."""
    _mark(folder).unlink(missing_ok=True)


def is_overwritten(run: RunFolder) -> bool:
    """Whether a trial was made by an overwriting of its list that has not come to its end."""
    mark = _mark(run.path.parent)
    return mark.is_file() and run.exists and run.manifest_path.stat().st_mtime_ns >= mark.stat().st_mtime_ns


def _mark(folder: Path) -> Path:
    return folder / "overwriting.txt"
