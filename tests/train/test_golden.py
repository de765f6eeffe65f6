"""A hundred steps of Causal-FiLM whose figures are on file, so that nothing between store and loss changes unnoticed.

After a change that is meant to change them, write the file anew, and look at the difference before it is committed:

    WELDCACHE_WRITE_GOLDEN=1 python -m pytest tests/train/test_golden.py

Features and initial weights are uniform numbers of NumPy's frozen `RandomState`, the same on every machine. Torch's
normal draws differ in the last digit with the width of the processor's vectors, and those of dropout with the libraries
that torch was built with: so there is no dropout here. What is left is the order in which sums are taken.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import to_storage
from weldcache.cache.writer import StoreWriter
from weldcache.settings import Settings
from weldcache.tests.toy import index_of
from weldcache.train import pipeline
from weldcache.train.recipes.recipe import make_recipe
from weldcache.train.runs.log import MetricRow, read_log
from weldcache.train.types import Shapes

GOLDEN = Path(__file__).parents[1] / "assets" / "golden" / "causal_film.txt"
WRITE = "WELDCACHE_WRITE_GOLDEN"
RELATIVE_TOLERANCE = 2e-5  # other vector widths and libraries for matrices were seen to change 2e-6

NUM_TRAIN, NUM_VAL = 40, 16  # every second of val is a defect
LACKING = {7: "image/block_10", 15: "audio", 23: "sensor", 31: "video"}
EPOCHS, BATCH_SIZE = 20, 8
STEPS = EPOCHS * NUM_TRAIN // BATCH_SIZE
NOT_COMPARED = {"epoch", "step", "val_auroc", "seconds", "samples_per_second"}

SPECS = [
    FeatureSetSpec("video", [ArraySpec("tokens", (4, 12), ("time", "dim"), "float16")], {}),
    FeatureSetSpec(
        "audio",
        [ArraySpec("tokens", (6, 10), ("time", "dim"), "float16"), ArraySpec("tokens_length", (), (), "int32")],
        {},
    ),
    *(
        FeatureSetSpec(
            f"image/block_{block}",
            [
                ArraySpec("patch_tokens", (3, 4, 8), ("view", "patch", "dim"), "float16"),
                ArraySpec("views_present", (3,), ("view",), "uint8"),
            ],
            {"block": block},
        )
        for block in (10, 21)
    ),
    FeatureSetSpec("sensor", [ArraySpec("values", (12, 6), ("step", "channel"), "float32")], {}),
]


def features(draws: np.random.RandomState, *, process: float, result: float) -> dict[str, np.ndarray]:
    """A weld, by array: `process` drives video, audio and sensors, `result` the photographs."""

    def driven(latent: float, *shape: int) -> np.ndarray:
        pattern = np.linspace(-1.0, 1.0, shape[-1])
        return latent * pattern + latent**2 * (1 - pattern**2) + draws.uniform(-0.2, 0.2, shape)

    image = {"patch_tokens": driven(result, 3, 4, 8), "views_present": np.array([1, 1, draws.randint(2)], np.uint8)}
    channels = np.array([1.0, 20.0, 90.0, 200.0, 3.0, 25.0])
    return {
        "video/tokens": driven(process, 4, 12),
        "audio/tokens": driven(process, 6, 10),
        "audio/tokens_length": np.array(3 + draws.randint(4), np.int32),
        **{f"image/block_{block}/{name}": array for block in (10, 21) for name, array in image.items()},
        "sensor/values": channels * (1 + 0.2 * process + draws.uniform(-0.1, 0.1, (12, 6))),
    }


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    draws = np.random.RandomState(0)
    labels = [0] * NUM_TRAIN + [0, 1] * (NUM_VAL // 2)
    index = index_of(
        keys=[f"weld-{row:02d}" for row in range(len(labels))],
        splits=["train"] * NUM_TRAIN + ["val"] * NUM_VAL,
        class_names=["defect" if label else "good" for label in labels],
        groups=["day"] * len(labels),
        labels=labels,
        attributes={},
    )
    store = FeatureStore.create(tmp_path / "golden.zarr", index=index)
    latents = draws.uniform(-1, 1, len(labels))
    welds = [
        features(draws, process=latent, result=-latent if label else latent)
        for latent, label in zip(latents, labels, strict=True)
    ]
    for spec in SPECS:
        store.add_feature_set(spec)
        rows = [row for row in range(len(labels)) if LACKING.get(row) != spec.name]
        stored = {
            array.name: to_storage(
                torch.from_numpy(np.stack([welds[row][f"{spec.name}/{array.name}"] for row in rows])),
                array,
                owners=[str(index.keys[row]) for row in rows],
            )
            for array in spec.arrays
        }
        writer = StoreWriter(store)
        writer.write(spec.name, rows, stored, sources=[()] * len(rows), notes=[""] * len(rows))
        for row in {*range(len(labels))} - {*rows}:
            writer.report(spec.name, row, Status.ABSENT, reason="no file")
    store.add_constant("text/prompt", draws.uniform(-1, 1, 16).astype(np.float32), made_by={})
    return store


def settings(store: FeatureStore, runs: Path) -> Settings:
    """The defaults, which are v5, but tiny, faster, and without dropout."""
    return Settings.model_validate(
        {
            "cache": {"path": store.path},
            "recipe": {
                "name": "causal_film",
                "d_model": 16,
                "hidden_width": 24,
                "sensor_hidden": 8,
                "dropout": 0.0,
                "decoder_dropout": 0.0,
            },
            "train": {
                "epochs": EPOCHS,
                "batch_size": BATCH_SIZE,
                "lr": 1e-3,
                "warmup_epochs": 4,
                "checkpoint_seconds": 1e9,
                "device": "cpu",
            },
            "runs": {"folder": runs},
        }
    )


def fixed_start(build: Callable[[Shapes], nn.Module], shapes: Shapes) -> nn.Module:
    """A new model in which what torch draws is replaced; what is set, such as the FiLM's zeros, stays."""
    model, other = build(shapes), dict(build(shapes).named_parameters())
    draws = np.random.RandomState(1)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if not torch.equal(parameter, other[name]):
                width = parameter.shape[-1] ** -0.5
                parameter.copy_(torch.from_numpy(draws.uniform(-width, width, tuple(parameter.shape))))
    return model


def table_of(rows: Sequence[MetricRow]) -> dict[str, list[float]]:
    """The compared columns of the log; a row of means over the steps of an epoch, a value after the last of them."""
    return {name: [float(row[name] or 0) for row in rows] for name in rows[0] if name not in NOT_COMPARED}


def write_table(path: Path, table: Mapping[str, Sequence[float]], *, steps: Sequence[int]) -> None:
    columns = {"step": [str(step) for step in steps]} | {
        name: [f"{value:.6e}" for value in values] for name, values in table.items()
    }
    padded = [[name, *values] for name, values in columns.items()]
    widths = [max(map(len, column)) for column in padded]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in zip(*padded, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def read_table(path: Path) -> dict[str, list[float]]:
    header, *lines = path.read_text().splitlines()
    values = zip(*(map(float, line.split()) for line in lines), strict=True)
    return {name: list(column) for name, column in zip(header.split(), values, strict=True)}


def test_a_hundred_steps_are_as_on_file(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(store, tmp_path / "runs")
    recipe = make_recipe(chosen.recipe)
    monkeypatch.setattr(recipe, "build", partial(fixed_start, recipe.build))
    monkeypatch.setattr(pipeline, "make_recipe", lambda settings: recipe)
    summary = pipeline.train(chosen, run_name="golden", overwrite=False, command="")
    rows = read_log(summary.run.metrics_path).rows
    found, steps = table_of(rows), [int(row["step"] or 0) for row in rows]
    assert steps[-1] == STEPS == 100
    assert found["loss"][-1] < 0.7 * found["loss"][0]
    if os.environ.get(WRITE):
        write_table(GOLDEN, found, steps=steps)
    expected = read_table(GOLDEN)
    assert expected.pop("step") == steps
    assert found.keys() == expected.keys(), f"the log has other columns than {GOLDEN.name}: {WRITE}=1 writes it anew"
    for name, values in expected.items():
        np.testing.assert_allclose(
            found[name],
            values,
            rtol=RELATIVE_TOLERANCE,
            atol=1e-9,
            err_msg=f"{name} is not as in {GOLDEN}. If that is meant, run the test with {WRITE}=1 and commit the file.",
        )
