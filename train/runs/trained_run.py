"""A run that was trained, read back: its settings, manifest, log, and the model of its best epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from ...cache.description import ToldFeatureSet
from ...cache.provenance import differences, differences_told
from ...cache.splits import OFFICIAL
from ...cache.store import FeatureStore
from ...documents import faults_told
from ...errors import FingerprintError, NotFoundError, TrainingError
from ...settings import Settings
from ...wording import count_of, lined_up, listed
from ..data.features import Rows, classes_of, shapes_for
from ..recipes.recipe import Measured, Recipe, make_recipe
from ..settings import Precision
from ..state import Best
from ..tasks import Task, make_task
from ..types import Shapes
from .checkpoint import load_module, read_run_checkpoint
from .checkpointer import best_of
from .documents import Manifest
from .folder import RunFolder
from .log import MetricRow

Weights = Literal["averaged", "raw"]
WEIGHTS: tuple[Weights, ...] = ("averaged", "raw")


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """What a run's folder holds; `metrics` has one row an epoch."""

    folder: RunFolder
    settings: Settings
    manifest: Manifest
    metrics: Sequence[MetricRow]
    recipe: Recipe

    @property
    def task(self) -> Task:
        """What it was trained for."""
        return make_task(self.settings.train)

    @property
    def precision(self) -> Precision:
        """The arithmetic that it scores in."""
        return self.settings.train.precision

    @property
    def untrained(self) -> frozenset[str]:
        """The modalities that none of the samples had that it was trained on: it is shown them of no sample."""
        if "untrained" in self.manifest:
            return frozenset(self.manifest["untrained"])
        counts = self.manifest["counts"]  # of a version whose manifests tell it by their counts alone
        lacked = counts.get("train_normals_without", {})
        never = {modality for modality, num in lacked.items() if num == counts.get("train_normals")}
        return frozenset(never & self.recipe.needs().dispensable.keys())

    @property
    def feature_sets(self) -> Mapping[str, ToldFeatureSet]:
        """The feature sets that it was trained on, by name: what made them, and their arrays.

        Raises:
            TrainingError: if its manifest describes what no store can hold.
        """
        try:
            told = self.manifest["cache"].get("features", {})
            return {name: ToldFeatureSet.model_validate(entry) for name, entry in told.items()}
        except ValidationError as error:
            raise TrainingError(
                f"{self.folder.manifest_path} does not describe features of a store: {faults_told(error)}. Train again."
            ) from None

    @property
    def weights(self) -> tuple[Weights, ...]:
        """The weights that it has: one that was fitted has no others than those that it ships."""
        return weights_of(self.recipe)

    def divided(self, store: FeatureStore) -> FeatureStore:
        """The store, its rows divided as for this run.

        The data set's own split may have changed since: who judges leaves out what training saw.

        Raises:
            NotFoundError: if the store does not have the run's split.
            FingerprintError: if it has another one of that name.
        """
        split = self.manifest.get("split", {"name": OFFICIAL, "hash": ""})
        divided = store.divided_by(split["name"])
        if split["name"] != OFFICIAL and divided.split_hash != split["hash"]:
            raise FingerprintError(
                f"{self.folder.path} was trained on the split {split['name']} with the hash {split['hash'][:8]}, and "
                f"that of {store.path} is another by now ({divided.split_hash[:8]}): what it holds back may have been "
                "trained on. Make the split as it was (with the same seed), or train again."
            )
        return divided

    def require_same_features(self, store: FeatureStore) -> None:
        """Refuse a store whose features are not those that it was trained on; what else is there does not matter.

        Raises:
            FingerprintError: the message names each difference.
        """
        trained_on = self.manifest["cache"]
        used = [name for entries in trained_on.values() for name in entries]
        found = differences_told(
            differences(trained_on, store.manifest_of(used)), mine="in the run", theirs="in the cache"
        )
        if found:
            raise FingerprintError(
                f"{self.folder.path} was trained on other features than {store.path} holds:\n"
                f"{lined_up(found)}\n"
                "Use the cache that it was trained on, or train again."
            )

    def require_same_classes(self, store: FeatureStore) -> None:
        """Refuse a store whose classes are not those that the run learned, in their order; outputs have no names.

        A run of a former version does not tell which it learned, and is not held against any.

        Raises:
            FingerprintError: the message has both.
        """
        now = classes_of(store, self.recipe)
        for target, names in self.manifest.get("classes", {}).items():
            if names != list(now.get(target, ())):
                raise FingerprintError(
                    f"{self.folder.path} has learned the classes {listed(names)} of the target {target}, and those of "
                    f"{store.path} are {listed(now.get(target, ('none',)))}: name the cache that it was trained on "
                    "with --cache, or train again."
                )

    def training_rows(self, store: FeatureStore) -> Rows:
        """Where `store` has the samples that it was trained on.

        Raises:
            NotFoundError: if the store lacks one.
        """
        row_of, keys = store.index.row_of(), self.manifest["samples"]["train"]
        if missing := [key for key in keys if key not in row_of]:
            raise NotFoundError(
                f"{store.path} lacks {len(missing)} of the {count_of(len(keys), 'sample')} that {self.folder.path} was "
                f"trained on, {missing[0]} among them; name the cache that it was trained on with --cache."
            )
        return np.array([row_of[key] for key in keys], dtype=np.int64)

    def best(self) -> Best:
        """The best epoch and its metrics.

        Raises:
            NotFoundError: if the run was interrupted before its first checkpoint.
        """
        path = self.folder.best_path
        return best_of(read_run_checkpoint(path, run=self.folder), path=path)

    def shapes(self, store: FeatureStore | None = None) -> Shapes:
        """What its module is built from. A run of a former version does not tell, and takes it from a store of the
        same features.

        Raises:
            NotFoundError: if neither tells.
        """
        if "shapes" in self.manifest:
            return {name: tuple(shape) for name, shape in self.manifest["shapes"].items()}
        if store is None:
            raise NotFoundError(
                f"{self.folder.path} is of a version that did not keep the shapes of its features: its model takes the "
                "cache that it was trained on, or train again."
            )
        return shapes_for(store, self.recipe)

    def model(self, weights: Weights, *, device: torch.device, shapes: Shapes | None = None) -> nn.Module:
        """The model of the best epoch in evaluation mode: with `averaged` weights, which validation chose and the run
        ships, or `raw`, as the optimiser left them, which are the same where it was fitted.

        It is built from `shapes`, or else from its own. Who scores a store asks `require_same_features` first.

        Raises:
            FingerprintError: if the checkpoint is of another run.
            NotFoundError: if the run does not tell its shapes, or was interrupted before its first checkpoint.
            TrainingError: if the checkpoint is damaged or does not fit.
        """
        path = self.folder.best_path
        checkpoint = read_run_checkpoint(path, run=self.folder)
        with torch.random.fork_rng(devices=[]):  # its initial weights are replaced, so the caller's draws are spared
            model = self.recipe.build(self.shapes() if shapes is None else shapes)
        load_module(model, checkpoint, prefix=weights if weights in self.weights else "averaged", path=path)
        return model.to(device).eval()


def weights_of(recipe: Recipe) -> tuple[Weights, ...]:
    """Which weights a run of this recipe has: those before averaging where it, or some that it fuses, is trained."""
    return WEIGHTS if isinstance(recipe, Measured) else ("averaged",)


def load_run(folder: Path) -> TrainedRun:
    """Read a run, finished or not; weights are read when a model is asked for.

    Raises:
        NotFoundError: if `folder` is not a run.
        TrainingError: if one of its files is damaged, was edited, or is of another run, or an earlier version fused it.
        SettingsError: if it was made by a version with other settings.
    """
    run = RunFolder(folder)
    manifest, settings = run.manifest(), run.settings()
    if manifest["recipe"] != settings.recipe.name:
        raise TrainingError(
            f"{run.path} is a run of the recipe {manifest['recipe']}, and its settings are those of "
            f"{settings.recipe.name}: it was edited, or fused by an earlier version. Fuse its members again: "
            f"`weldcache fuse --run {run.name} --overwrite RUN RUN...`."
        )
    return TrainedRun(
        folder=run,
        settings=settings,
        manifest=manifest,
        metrics=run.log(),
        recipe=make_recipe(settings.recipe),
    )
