"""Late fusion as a story: trained runs -> their validation scores -> statistics and weights -> a run like any other.

What is measured here is measured on the validation split alone: mean and standard deviation of each model's scores on
its normals, and weights, where they are fitted, on its normals and defects. The test split has no part in it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..cache.store import FeatureStore
from ..cache.targets import LABEL, NORMAL
from ..configs.device import resolve_device
from ..errors import NotFoundError, OutputExistsError, SettingsError, TrainingError
from ..settings import Settings
from ..wording import count_of, format_seconds
from .combination import Combination, Labels, Scores, Weighting, require_convex, weigh
from .data.batches import BatchSource
from .data.features import FeatureReader, require_features, shapes_for, targets_of
from .data.resident import load_rows
from .data.samples import ChosenSamples, choose_samples
from .display import figures_found
from .fit import finish_run
from .loggers.logger import require_loggers
from .nn.joined_scores import FusedBy
from .pipeline import validator_of
from .recipes.late_fusion import LateFusion, LateFusionRecipe, LateFusionSettings
from .recipes.recipe import MEMBERS, make_recipe
from .runs.folder import RunFolder
from .runs.log import MetricRow
from .runs.names import find_run, relative_name
from .runs.start import decide_start, make_manifest
from .runs.trained_run import TrainedRun, Weights, load_run, weights_of
from .scoring import output_rows
from .settings import TrainSettings
from .taking_part import say_left_out
from .tasks import LOSS, Targets, Task

_FEW_NORMALS = 10  # a chosen limit: their spread is the unit of every score


@dataclass(frozen=True)
class FusionSummary:
    """What a fusion made: the run, how the averaged weights' scores are combined, and the run's row of the log."""

    run: RunFolder
    members: tuple[str, ...]
    combination: Combination
    combine: FusedBy
    num_normals: int
    metrics: MetricRow


def fuse(
    settings: Settings,
    *,
    members: Sequence[str],
    weighting: Weighting,
    combine: FusedBy = "mean",
    run_name: str | None,
    overwrite: bool,
    command: str,
) -> FusionSummary:
    """Fuse finished runs into a new one, which needs them no longer.

    Each member's scores are standardised by its scores on the validation normals of the cache and averaged, with equal
    weights, given ones, or those that separate validation best; or they become one as `combine` says. Samples take part
    that every member can score.

    Raises:
        SettingsError: if there are fewer than two members, one is named twice, or the weights are not for them or
            for no mean.
        NotFoundError: if a member is not there or not finished, or the cache lacks what it looks at.
        FingerprintError: if the cache holds other features than a member was trained on.
        OutputExistsError: if the run's name is taken.
        TrainingError: if members were validated on other samples, or validation tells nothing of one's scores; or if
            scores are not above 0 of which a product is asked for.
    """
    started = time.monotonic()
    require_loggers(settings.train.loggers)
    if combine != "mean" and weighting != "equal":
        raise SettingsError(f"Weights are for a mean, and scores are combined by {combine}; leave --weights out.")
    runs = _finished_runs(settings, members)
    if isinstance(weighting, tuple):
        require_convex(weighting, num_members=len(runs))
    if run_name in runs:
        raise OutputExistsError(f"{run_name} is one of the runs that are fused; choose another --run.")
    task = next(iter(runs.values())).task
    store = _divided(FeatureStore.open(settings.cache.path), runs)
    chosen = _recipe_of(runs, combine=combine)
    recipe = make_recipe(chosen)
    assert isinstance(recipe, LateFusionRecipe)
    require_features(store, recipe)
    samples = _samples(store, recipe, runs, task=task)
    targets = {name: target[samples.validation] for name, target in targets_of(store).items()}
    train = _training_of(runs, settings=settings.train, store=store, task=task, validation=targets)
    settings = settings.model_copy(update={"recipe": chosen, "train": train})
    device = resolve_device(train.device, setting="train.device")
    models = {
        each: _side_by_side(runs, each, store=store, combine=combine).to(device).eval() for each in weights_of(recipe)
    }
    manifest = make_manifest(
        recipe,
        settings=settings,
        model=models["averaged"],
        shapes=shapes_for(store, recipe),
        store=store,
        samples=samples,
        command=command,
    )
    start = decide_start(settings, manifest, run_name=run_name, overwrite=overwrite)
    say_left_out(samples, noun=store.noun)
    needs = recipe.needs()
    reader = FeatureReader(store, needs.features, needs.targets)
    validation = load_rows(reader, samples.validation, device=device, loading=train.loading)
    combinations = _weigh_members(
        recipe, models, validation, labels=targets[task.target], weighting=weighting, settings=train
    )
    num_normals = int(np.sum(targets[task.target] == NORMAL))
    run, best = finish_run(
        models,
        validator_of(recipe, validation, samples, store=store, task=task, settings=train),
        start=start,
        settings=settings,
        manifest=manifest
        | _described(combinations, names=list(runs), weighting=weighting, combine=combine, num_normals=num_normals),
        stopped="fused",
        began=started,
    )
    return FusionSummary(
        run=run,
        members=tuple(runs),
        combination=combinations["averaged"],
        combine=combine,
        num_normals=num_normals,
        metrics=best.metrics,
    )


def _finished_runs(settings: Settings, members: Sequence[str]) -> dict[str, TrainedRun]:
    """The runs that are meant, by the names that find them."""
    folder = settings.runs.folder
    if len(members) < 2:
        raise SettingsError(f"Fusion takes two runs at least; only {', '.join(members) or 'none'} is named.")
    found = [find_run(folder, name) for name in members]
    names = [relative_name(run, folder=folder) for run in found]
    for name, run in zip(names, found, strict=True):
        if names.count(name) > 1:
            raise SettingsError(f"The run {name} is named twice; fused with itself, a run is what it was.")
        if not run.finished:
            raise NotFoundError(f"The run {run.path} is not finished: {run.how_to_go_on()}")
    runs = {name: load_run(run.path) for name, run in zip(names, found, strict=True)}
    tasks = {name: trained.settings.train.task for name, trained in runs.items()}
    for name, trained in runs.items():
        if trained.task.target != LABEL.name:
            raise SettingsError(
                f"The run {name} was trained for {tasks[name]}, and only scores of anomaly can be fused."
            )
    _require_one("task", tasks)
    return runs


def _require_one(what: str, of_each: Mapping[str, str]) -> None:
    if len(set(of_each.values())) > 1:
        told = ", ".join(f"{name} on {which}" for name, which in of_each.items())
        raise SettingsError(f"Only runs of one {what} can be fused: these were trained on several ({told}).")


def _recipe_of(runs: Mapping[str, TrainedRun], *, combine: FusedBy) -> LateFusionSettings:
    """The fused run's recipe, which holds the members' recipes."""
    return LateFusionSettings(
        members={name: run.settings.recipe for name, run in runs.items()},
        precision={name: run.precision for name, run in runs.items()},
        untrained={name: tuple(sorted(run.untrained)) for name, run in runs.items()},
        combine=combine,
    )


def _training_of(
    runs: Mapping[str, TrainedRun], *, settings: TrainSettings, store: FeatureStore, task: Task, validation: Targets
) -> TrainSettings:
    """What the fused run says of its training: the members' task and split, the coarsest of their arithmetics, and the
    first monitor that validation can measure."""
    first = next(iter(runs.values()))
    monitor = next((name for name in task.monitors() if not task.obstacle(name, validation)), None)
    precision = max((run.precision for run in runs.values()), key=("float32", "float16", "bfloat16").index)
    told = {"task": first.settings.train.task, "split": store.split, "precision": precision, "monitor": monitor}
    return settings.model_copy(update=told)


def _divided(store: FeatureStore, runs: Mapping[str, TrainedRun]) -> FeatureStore:
    """The store as it was divided for every member."""
    divided = {name: run.divided(store) for name, run in runs.items()}
    _require_one("split", {name: each.split for name, each in divided.items()})
    return next(iter(divided.values()))


def _side_by_side(
    runs: Mapping[str, TrainedRun], weights: Weights, *, store: FeatureStore, combine: FusedBy
) -> LateFusion:
    """The members' models with these weights, or with the only ones that they have."""
    cpu = torch.device("cpu")
    for run in runs.values():
        run.require_same_features(store)
    members = (run.model(weights, device=cpu, shapes=run.shapes(store)) for run in runs.values())
    return LateFusion(members, combine=combine)


def _samples(
    store: FeatureStore, recipe: LateFusionRecipe, runs: Mapping[str, TrainedRun], *, task: Task
) -> ChosenSamples:
    """Who was trained on by any member, and the validation samples that all of them can score."""
    samples = choose_samples(store, recipe, task=task, monitor=LOSS)
    keys = store.index.keys[samples.validation].tolist()
    trained_on: set[int] = set()
    for name, run in runs.items():
        strange = sorted(set(keys) - set(run.manifest["samples"]["validation"]))
        if strange:
            raise TrainingError(
                f"The run {name} was not validated on {len(strange)} of the {len(keys)} validation samples of "
                f"{store.path}, {strange[0]} among them: it was trained on another split, or before they were "
                "extracted. Train it again on this cache."
            )
        trained_on.update(run.training_rows(store).tolist())
    return replace(
        samples,
        train=np.array(sorted(trained_on), dtype=np.int64),
        train_lacking={},  # which the members' own manifests tell
        train_without={},
        untrained=recipe.untrained(),
    )


def _weigh_members(
    recipe: LateFusionRecipe,
    models: Mapping[Weights, LateFusion],
    validation: BatchSource,
    *,
    labels: Labels,
    weighting: Weighting,
    settings: TrainSettings,
) -> dict[Weights, Combination]:
    """Measure the members' validation scores, raw and averaged weights each for themselves, and tell the models."""
    names = [member.name for member in recipe.members]
    combinations = {}
    for weights, model in models.items():
        # Of models that were told no units yet, standard scores are the members' own.
        found = output_rows(
            recipe,
            model,
            validation,
            outputs=[MEMBERS],
            batch_size=settings.batch_size,
            precision=settings.precision,
            without=recipe.needs().sets_of(recipe.untrained()),
        )
        scores = found[MEMBERS].astype(np.float64)
        weighed = combinations[weights] = weigh(scores, labels, names=names, weighting=weighting)
        model.use(mean=weighed.mean, std=weighed.std, weight=weighed.weight)
        normals = scores[labels == NORMAL]
        if model.combine == "product":
            _require_ratios(normals, names=names)
        model.bound(torch.from_numpy(normals).float())
    return combinations


def _require_ratios(normals: Scores, *, names: Sequence[str]) -> None:
    """Refuse a product of scores that are not all above 0, such as those that count from a boundary.

    Raises:
        TrainingError: names the run.
    """
    for name, lowest in zip(names, normals.min(axis=0).tolist(), strict=True):
        if not lowest > 0:
            raise TrainingError(
                f"A product is for scores above 0, such as distances, and the run {name} gives a validation normal "
                f"{lowest:.4g}; combine scores otherwise, or leave that run out."
            )


def _described(
    combinations: Mapping[Weights, Combination],
    *,
    names: Sequence[str],
    weighting: Weighting,
    combine: FusedBy,
    num_normals: int,
) -> dict[str, Any]:
    """What the manifest says beyond that of other runs, for people."""
    scores = {
        name: {
            weights: {"mean": found.mean[place], "std": found.std[place], "weight": found.weight[place]}
            for weights, found in combinations.items()
        }
        for place, name in enumerate(names)
    }
    fusion = {
        "combine": combine,
        "weighting": weighting if isinstance(weighting, str) else "given",
        "step": combinations["averaged"].step,
        "measured_on": "validation",
        "scores": scores,
    }
    caveat = (
        f"The members' scores were brought together by their spread over {count_of(num_normals, 'validation normal')} "
        "alone: with others they might count otherwise, and no interval holds the error of that."
    )
    return {"fusion": fusion, "caveats": [caveat] if num_normals < _FEW_NORMALS else []}


def describe_fusion(summary: FusionSummary) -> str:
    """The end of a fusion in a few lines: the run, the members' units and weights, what validation finds."""
    combination, seconds = summary.combination, summary.metrics["seconds"]
    assert seconds is not None
    weighted = summary.combine == "mean"
    members = [
        f"  {name}: {f'weight {weight:.3g}; ' if weighted else ''}normals score {mean:.4g} +- {std:.3g}"
        for name, weight, mean, std in zip(
            summary.members, combination.weight, combination.mean, combination.std, strict=True
        )
    ]
    found = ", ".join(figures_found(summary.metrics)) or "nothing to measure"
    flattered = f"; weights were fitted to it, in steps of {combination.step:g}" if combination.step is not None else ""
    units = "over their means" if summary.combine == "product" else "in units of their spread"
    return "\n".join(
        [
            f"Run {summary.run.path}: {len(members)} runs fused in {format_seconds(seconds)} by {summary.combine}, "
            f"scores {units} on {count_of(summary.num_normals, 'validation normal')}.",
            *members,
            f"Validation: {found}{flattered}. Judge it with `weldcache eval {summary.run.name}`.",
        ]
    )
