"""A run's manifest: what was trained, on what, with what, by which command."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from torch import nn

from ...cache.description import has_random_backbones
from ...cache.provenance import library_versions
from ...cache.store import FeatureStore
from ..data.requests import used_names
from ..data.samples import ChosenSamples
from ..recipes.recipe import Recipe


def make_manifest(
    recipe: Recipe,
    *,
    name: str,
    model: nn.Module,
    store: FeatureStore,
    samples: ChosenSamples,
    seed: int,
    command: str,
) -> dict[str, Any]:
    """The manifest of a run of `recipe`, which is called `name`, as plain JSON values.

    `samples` names every row by its key, so that evaluation can hold against them what it scores. `cache` is what the
    store's manifest says of the features that the recipe uses, and `fingerprint` is over that alone: what is added to
    the store later changes neither.
    """
    labels, used = store.index.labels, used_names(recipe)
    return {
        "recipe": name,
        "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "command": command,
        "seed": seed,
        "versions": library_versions(),
        "fingerprint": store.fingerprint_of(used),
        "cache": store.manifest_of(used),
        "backbones_are_random": has_random_backbones(store.manifest_of(used)),
        "parameters": count_parameters(model),
        "counts": {
            "train_normals": len(samples.train),
            "train_defects_left_out": samples.defects_left_out,
            "train_normals_lacking": dict(samples.train_lacking),
            "train_normals_without": dict(samples.train_without),
            "validation_normals": int((labels[samples.validation] == 0).sum()),
            "validation_defects": int((labels[samples.validation] == 1).sum()),
            "validation_lacking": dict(samples.validation_lacking),
            "validation_without": dict(samples.validation_without),
        },
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
