"""A small store whose welds follow one latent, and settings small enough to train on it within a second."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from weldcache.atomic import write_json
from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import to_storage
from weldcache.cache.writer import StoreWriter
from weldcache.settings import Settings, to_yaml
from weldcache.tests.toy import index_of
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.log import append_row, read_log

NUM_TRAIN_NORMALS, NUM_TRAIN_DEFECTS = 37, 3
NUM_VAL_NORMALS, NUM_VAL_DEFECTS = 12, 12
BLOCKS = [2, 4, 6]
RECIPES: dict[str, dict[str, Any]] = {
    "causal_film": {"d_model": 16, "sensor_hidden": 8, "blocks": (2, 6)},
    "nearest": {"array": "video/tokens", "vectors": "each", "bank": 60},
    "gaussian": {"array": "image/block_6/patch_tokens"},
}

MakeSettings = Callable[..., Settings]
WriteRows = Callable[..., None]
MakeRun = Callable[..., RunFolder]


def _specs() -> list[FeatureSetSpec]:
    made_by = {"backbone": {"model": "toy", "random_weights": True, "weights": "0123"}}
    views = ArraySpec("views_present", (2,), ("view",), "uint8", distinct=False)
    return [
        FeatureSetSpec("video", [ArraySpec("tokens", (4, 16), ("time", "dim"), "float16")], made_by),
        FeatureSetSpec(
            "audio",
            [
                ArraySpec("tokens", (6, 12), ("time", "dim"), "bfloat16"),
                ArraySpec("tokens_length", (), (), "int32", distinct=False),
            ],
            made_by,
        ),
        *(
            FeatureSetSpec(
                f"image/block_{block}",
                [ArraySpec("patch_tokens", (2, 5, 16), ("view", "patch", "dim"), "float16"), views],
                made_by | {"block": block},
            )
            for block in BLOCKS
        ),
        FeatureSetSpec("sensor", [ArraySpec("values", (10, 6), ("step", "channel"), "float32")], {}),
    ]


def _features(rng: np.random.Generator, *, process: float, result: float) -> dict[str, dict[str, np.ndarray]]:
    """One weld: `process` drives video, audio and sensors, `result` the photographs; a normal weld has them equal."""
    direction = np.random.default_rng(7)  # the same for every weld

    def driven(latent: float, *shape: int) -> np.ndarray:
        pattern = direction.normal(size=(2, shape[-1]))
        return latent * pattern[0] + latent**2 * pattern[1] + 0.1 * rng.normal(size=shape)

    offsets = np.array([1.0, 20.0, 100.0, 200.0, 3.0, 25.0])
    values = offsets * (1 + 0.2 * process) + 0.05 * offsets * rng.normal(size=(10, 6))
    values[:, 4] = 3.0  # a channel that never changes
    video, audio, length = driven(process, 4, 16), driven(process, 6, 12), np.array(int(rng.integers(3, 7)))
    patches = driven(result, len(BLOCKS), 2, 5, 16)
    views = np.array([1, rng.integers(0, 2)], dtype=np.uint8)
    blocks = {
        f"image/block_{block}": {"patch_tokens": patches[position], "views_present": views}
        for position, block in enumerate(BLOCKS)
    }
    return {
        "video": {"tokens": video},
        "audio": {"tokens": audio, "tokens_length": length},
        **blocks,
        "sensor": {"values": values},
    }


def _write(store: FeatureStore, feature_set: str, rows: list[int], features: dict[str, np.ndarray]) -> None:
    owners = [str(store.index.keys[row]) for row in rows]
    stored = {
        name: to_storage(torch.from_numpy(features[name]), spec, owners=owners)
        for name, spec in store.arrays(feature_set).items()
    }
    nothing = [""] * len(rows)
    StoreWriter(store).write(feature_set, rows, stored, sources=[()] * len(rows), notes=nothing)


@pytest.fixture
def write_features() -> WriteRows:
    """Write rows of a feature set: arrays by name, row axis first, in any type."""
    return _write


@pytest.fixture(scope="session")
def toy_store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    groups = [("train", 0, NUM_TRAIN_NORMALS), ("train", 1, NUM_TRAIN_DEFECTS)]
    groups += [("val", 0, NUM_VAL_NORMALS), ("val", 1, NUM_VAL_DEFECTS)]
    splits = [split for split, _, count in groups for _ in range(count)]
    labels = [label for _, label, count in groups for _ in range(count)]
    index = index_of(
        keys=[f"day/{row:03d}" for row in range(len(labels))],
        splits=splits,
        class_names=["broken_link" if label else "good" for label in labels],
        groups=["day"] * len(labels),
        labels=labels,
        attributes={},
    )
    path = tmp_path_factory.mktemp("store") / "toy.zarr"
    store = FeatureStore.create(path, index=index)
    for spec in _specs():
        store.add_feature_set(spec)
    store.add_constant("text/prompt", rng.normal(size=24).astype(np.float32), made_by={"backbone": {"model": "toy"}})
    latents = rng.uniform(-1, 1, size=len(labels))
    welds = [
        _features(rng, process=latent, result=latent + (np.sign(-latent) if label else 0))
        for latent, label in zip(latents, labels, strict=True)
    ]
    for spec in _specs():
        arrays = {array.name: np.stack([weld[spec.name][array.name] for weld in welds]) for array in spec.arrays}
        _write(store, spec.name, list(range(len(labels))), arrays)
    return path


@pytest.fixture
def toy_store(toy_store_path: Path, tmp_path: Path) -> FeatureStore:
    """A copy that a test may change."""
    path = tmp_path / "toy.zarr"
    shutil.copytree(toy_store_path, path, copy_function=shutil.copyfile)
    return FeatureStore.open(path)


@pytest.fixture
def shared_store(toy_store_path: Path) -> FeatureStore:
    """The one that every test reads. Not to be changed."""
    return FeatureStore.open(toy_store_path)


@pytest.fixture(scope="session")
def settings_for_runs_in(toy_store_path: Path) -> Callable[[Path], MakeSettings]:
    """Settings for a tiny model on the toy store, by the folder of runs."""

    def settings_for(folder: Path) -> MakeSettings:
        def make(*, store: Path = toy_store_path, recipe: str = "causal_film", **train: object) -> Settings:
            few = {"epochs": 4, "batch_size": 8, "lr": 1e-3, "warmup_epochs": 1, "checkpoint_seconds": 0}
            return Settings.model_validate(
                {
                    "cache": {"path": store},
                    "recipe": {"name": recipe, **RECIPES[recipe]},
                    "train": few | {"device": "cpu"} | train,
                    "runs": {"folder": folder},
                }
            )

        return make

    return settings_for


@pytest.fixture
def toy_settings(settings_for_runs_in: Callable[[Path], MakeSettings], tmp_path: Path) -> MakeSettings:
    """Settings with runs of this test's own, of one of `RECIPES`; keywords replace settings of the section `train`."""
    return settings_for_runs_in(tmp_path / "runs")


@pytest.fixture
def fixed_starting_weights() -> Iterator[None]:
    """torch's modules draw their weights and dropout from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def make_run(run_manifest: Callable[..., dict[str, Any]]) -> MakeRun:
    """Make a run's folder with files as training leaves them, but for the weights, of which there are none."""
    return partial(_make_run, run_manifest)


@pytest.fixture(scope="session")
def unseal() -> Callable[[RunFolder], None]:
    """Take the checksums out of a run's documents, as if it had been made before there were any."""

    def strip(run: RunFolder) -> None:
        for path in (run.manifest_path, run.state_path):
            document = json.loads(path.read_text())
            new = ("checksum", "config_sha256", "manifest_checksum", "log")
            write_json(path, {name: value for name, value in document.items() if name not in new})
        rows = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
        bare = [{name: value for name, value in row.items() if name != "checksum"} for row in rows]
        run.metrics_path.write_text("".join(json.dumps(row) + "\n" for row in bare))

    return strip


def _make_run(
    run_manifest: Callable[..., dict[str, Any]],
    path: Path,
    *,
    created: str = "2026-01-01T10:00:00+00:00",
    features: str = "f",
    validated_on: tuple[str, ...] = ("a", "b"),
    auroc: float | None = 0.5,
    loss: float = 1.0,
    stopped: str | None = "epochs",
    report: dict[str, object] | None = None,
    settings: dict[str, object] | None = None,
    manifest: dict[str, object] | None = None,
) -> RunFolder:
    run = RunFolder(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = {
        "created": created,
        "fingerprint": features,
        "cache": {"features": {"video": {"made_by": {"model": features}}}},
        "samples": {"train": ["t"], "validation": list(validated_on)},
    }
    manifest = run_manifest(**{**entries, **(manifest or {})})
    run.create(config=to_yaml(Settings.model_validate(settings or {})), manifest=manifest)
    best = {"epoch": 1, "step": 4, "loss": 2.0, "val_loss": loss, "val_auroc": auroc, "seconds": 1.5}
    for row in (best, best | {"epoch": 2, "step": 8}):
        append_row(run.metrics_path, row)
    run.best_path.write_bytes(b"b" * 1000)
    run.last_path.write_bytes(b"l" * 3000)
    log = read_log(run.metrics_path).checksums[-1]
    state = {"finished": stopped is not None, "stopped": stopped, "epoch": 2, "best": best, "log": log}
    run.write(run.state_path, state)
    if report is not None:
        run.write(path / "report.json", report)
    return run
