"""Late fusion as a story: trained runs -> their validation scores -> statistics and weights -> a run like any other.

What is measured here is measured on the validation split alone: mean and standard deviation of each model's scores on
its normals, and weights, where they are fitted, on its normals and defects. The test split has no part in it.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..cache.store import FeatureStore
from ..configs.device import resolve_device
from ..errors import NotFoundError, OutputExistsError, SettingsError, TrainingError
from ..progress import say
from ..settings import Settings
from ..wording import count_of, format_seconds
from .combination import Combination, Labels, Weighting, combine, require_convex
from .data.features import FeatureReader, Rows, require_features, shapes_for, targets_of
from .data.samples import ChosenSamples, choose_samples
from .data.streamed import StreamedFeatures
from .recipes.late_fusion import LateFusion, LateFusionRecipe, LateFusionSettings
from .recipes.recipe import make_recipe
from .runs.checkpoint import module_tensors
from .runs.checkpointer import best_checkpoint, write_finished
from .runs.folder import RunFolder
from .runs.log import MetricRow
from .runs.names import find_run, relative_name
from .runs.start import decide_start, make_manifest
from .runs.trained_run import TrainedRun, Weights, load_run, weights_of
from .scoring import score_rows
from .state import Best
from .tasks import LOSS, AnomalyTask, Task
from .validation import Validator

_FEW_NORMALS = 10  # a chosen limit: their spread is the unit of every score


@dataclass(frozen=True)
class FusionSummary:
    """What a fusion made: the run, how the averaged weights' scores are combined, and the run's row of the log."""

    run: RunFolder
    members: tuple[str, ...]
    combination: Combination
    num_normals: int
    metrics: MetricRow


def fuse(
    settings: Settings,
    *,
    members: Sequence[str],
    weighting: Weighting,
    run_name: str | None,
    overwrite: bool,
    command: str,
) -> FusionSummary:
    """Fuse finished runs into a new one, which needs them no longer.

    Each member's scores are standardised by its scores on the validation normals of the cache and averaged, with equal
    weights, given ones, or those that separate validation best. Samples take part that every member can score.

    Raises:
        SettingsError: if there are fewer than two members, one is named twice, or the weights are not for them.
        NotFoundError: if a member is not there or not finished, or the cache lacks what it looks at.
        FingerprintError: if the cache holds other features than a member was trained on.
        OutputExistsError: if the run's name is taken.
        TrainingError: if members were validated on other samples, or validation tells nothing of one's scores.
    """
    started = time.monotonic()
    runs = _finished_runs(settings, members)
    if isinstance(weighting, tuple):
        require_convex(weighting, num_members=len(runs))
    if run_name in runs:
        raise OutputExistsError(f"{run_name} is one of the runs that are fused; choose another --run.")
    store = _divided(FeatureStore.open(settings.cache.path), runs)
    settings = _fused_settings(settings, runs, split=store.split)
    recipe = make_recipe(settings.recipe)
    assert isinstance(recipe, LateFusionRecipe)
    require_features(store, recipe)
    task = AnomalyTask()  # what is fused are scores of anomaly
    samples = _samples(store, recipe, runs, task=task)
    targets = {name: target[samples.validation] for name, target in targets_of(store).items()}
    labels = targets["label"]
    device = resolve_device(settings.train.device, setting="train.device")
    for member in runs.values():
        member.require_same_features(store)
    models: dict[Weights, LateFusion] = {
        weights: LateFusion(
            member.model(weights, device=device, shapes=member.shapes(store)) for member in runs.values()
        )
        .to(device)
        .eval()
        for weights in weights_of(recipe)
    }
    manifest = make_manifest(
        recipe,
        name=settings.recipe.name,
        model=models["averaged"],
        shapes=shapes_for(store, recipe),
        store=store,
        samples=samples,
        task=settings.train.task,
        seed=settings.train.seed,
        command=command,
    )
    start = decide_start(settings, manifest, run_name=run_name, overwrite=overwrite)
    for feature_set, count in samples.validation_lacking.items():
        say(f"Left out of validation: {count_of(count, 'sample')} without {feature_set} features.")
    combinations = _calibrate(
        recipe,
        models,
        samples.validation,
        labels=labels,
        weighting=weighting,
        store=store,
        batch_size=settings.train.batch_size,
    )
    needs = recipe.needs()
    validator = Validator(
        recipe,
        StreamedFeatures(FeatureReader(store, needs.features, needs.targets), samples.validation, device),
        task=task,
        targets=targets,
        batch_size=settings.train.batch_size,
        precision=settings.train.precision,
        without=needs.sets_of(recipe.untrained()),
    )
    result = validator(models["averaged"])
    # The loss is the members', weighted like their scores: not a number where one of them has none.
    figures = {name: None if value is None or math.isnan(value) else value for name, value in result.figures.items()}
    metrics = {"epoch": 1, "step": 0, **figures, **result.spread, "seconds": time.monotonic() - started}
    value = figures[LOSS] if figures["val_auroc"] is None else figures["val_auroc"]

    manifest |= _described(combinations, names=list(runs), weighting=weighting, num_normals=int(np.sum(labels == 0)))
    tensors: dict[str, torch.Tensor] = {}
    for weights, model in models.items():
        tensors |= module_tensors(model, prefix=weights)
    run = write_finished(
        start.run,
        numbered=start.numbered,
        settings=settings,
        manifest=manifest,
        best=best_checkpoint(Best(epoch=1, value=value, metrics=metrics), tensors),
        stopped="fused",
    )
    return FusionSummary(
        run=run,
        members=tuple(runs),
        combination=combinations["averaged"],
        num_normals=int(np.sum(labels == 0)),
        metrics=metrics,
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
    for name, trained in runs.items():
        if (task := trained.settings.train.task) != "anomaly":
            raise SettingsError(f"The run {name} was trained for {task}, and only scores of anomaly can be fused.")
    return runs


def _fused_settings(settings: Settings, runs: Mapping[str, TrainedRun], *, split: str) -> Settings:
    """The fused run's settings: its recipe holds the members' recipes, and it scores as coarsely as the coarsest."""
    recipe = LateFusionSettings(
        members={name: run.settings.recipe for name, run in runs.items()},
        precision={name: run.precision for name, run in runs.items()},
        untrained={name: tuple(sorted(run.untrained)) for name, run in runs.items()},
    )
    precision = max((run.precision for run in runs.values()), key=("float32", "float16", "bfloat16").index)
    train = settings.train.model_copy(update={"task": "anomaly", "split": split, "precision": precision})
    return settings.model_copy(update={"recipe": recipe, "train": train})


def _divided(store: FeatureStore, runs: Mapping[str, TrainedRun]) -> FeatureStore:
    """The store as it was divided for every member."""
    divided = {name: run.divided(store) for name, run in runs.items()}
    first, *others = divided.values()
    if any(other.split != first.split for other in others):
        told = ", ".join(f"{name} on {each.split}" for name, each in divided.items())
        raise SettingsError(f"Only runs of one split can be fused: these were trained on several ({told}).")
    return first


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


def _calibrate(
    recipe: LateFusionRecipe,
    models: Mapping[Weights, LateFusion],
    validation: Rows,
    *,
    labels: Labels,
    weighting: Weighting,
    store: FeatureStore,
    batch_size: int,
) -> dict[Weights, Combination]:
    """Measure the members' validation scores, raw and averaged weights each for themselves, and tell the models."""
    columns: dict[Weights, list[NDArray[np.float32]]] = {weights: [] for weights in models}
    for place, member in enumerate(recipe.members):
        scored = score_rows(
            member.recipe,
            {weights: model.members[place] for weights, model in models.items()},
            StreamedFeatures(
                FeatureReader(store, member.recipe.needs().features), validation, models["averaged"].mean.device
            ),
            batch_size=batch_size,
            precision=member.precision,
            without=dict.fromkeys(models, member.hidden),
        )
        for weights, parts in columns.items():
            parts.append(scored[weights])
    names = [member.name for member in recipe.members]
    combinations = {}
    for weights, parts in columns.items():
        scores = np.stack(parts, axis=1).astype(np.float64)
        found = combinations[weights] = combine(scores, labels, names=names, weighting=weighting)
        models[weights].use(mean=found.mean, std=found.std, weight=found.weight)
    return combinations


def _described(
    combinations: Mapping[Weights, Combination], *, names: Sequence[str], weighting: Weighting, num_normals: int
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
    combination, auroc, seconds = summary.combination, summary.metrics["val_auroc"], summary.metrics["seconds"]
    assert seconds is not None
    members = [
        f"  {name}: weight {weight:.3g}; normals score {mean:.4g} +- {std:.3g}"
        for name, weight, mean, std in zip(
            summary.members, combination.weight, combination.mean, combination.std, strict=True
        )
    ]
    found = "no AUROC, as it has no defects" if auroc is None else f"AUROC {auroc:.3f}"
    flattered = f"; weights were fitted to it, in steps of {combination.step:g}" if combination.step is not None else ""
    return "\n".join(
        [
            f"Run {summary.run.path}: {len(members)} runs fused in {format_seconds(seconds)}, scores in units of their "
            f"spread on {count_of(summary.num_normals, 'validation normal')}.",
            *members,
            f"Validation: {found}{flattered}. Judge it with `weldcache eval --run {summary.run.name}`.",
        ]
    )
