"""A store whose welds follow one latent, with all three splits, and a project on it that trains within a second."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import to_storage
from weldcache.cache.writer import StoreWriter
from weldcache.evaluate.section import demo_sentence
from weldcache.evaluate.tasks.anomaly.judge import AnomalyJudge
from weldcache.evaluate.trials.bench import Bench, bench
from weldcache.evaluate.trials.comparison import Comparison, VariantResult
from weldcache.evaluate.trials.measure import Difference, Ground, MediaFreeControl
from weldcache.evaluate.trials.table import BenchHeader
from weldcache.evaluate.trials.variant_list import Recorded, VariantList, load_variant_list
from weldcache.metrics.estimate import Estimate
from weldcache.metrics.repeats import RepeatsEstimate
from weldcache.tests.toy import index_of

BLOCKS = (2, 4)
GROUPS = {("train", 0): 24, ("train", 1): 2, ("val", 0): 10, ("val", 1): 10, ("test", 0): 14, ("test", 1): 16}

HEADER = BenchHeader(
    list_name="blocks",
    question="Which?",
    split="test",
    created="2025-01-31T12:00:00+00:00",
    command="weldcache bench blocks",
    fingerprint="abc",
    demo_sentence=demo_sentence(["video"], []),
    versions={"weldcache": "0.1.0"},
)

RunBench = Callable[..., Bench]
WriteList = Callable[..., VariantList]


def _specs() -> list[FeatureSetSpec]:
    made_by = {"backbone": {"model": "toy", "random_weights": True, "weights": "0123"}}
    views = ArraySpec("views_present", (2,), ("view",), "uint8")
    patches = ArraySpec("patch_tokens", (2, 3, 8), ("view", "patch", "dim"), "float16")
    return [
        FeatureSetSpec("video", [ArraySpec("tokens", (4, 8), ("time", "dim"), "float16")], made_by),
        FeatureSetSpec(
            "audio",
            [ArraySpec("tokens", (5, 8), ("time", "dim"), "float16"), ArraySpec("tokens_length", (), (), "int32")],
            made_by,
        ),
        *(FeatureSetSpec(f"image/block_{block}", [patches, views], made_by | {"block": block}) for block in BLOCKS),
        FeatureSetSpec("sensor", [ArraySpec("values", (8, 6), ("step", "channel"), "float32")], {}),
        FeatureSetSpec("frames", [ArraySpec("embedding", (4, 8), ("frame", "dim"), "float16")], made_by),
    ]


def _features(*, process: np.ndarray, result: np.ndarray, rng: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    """`process` drives video, audio and sensors, `result` the photographs; in a normal weld they are equal."""
    pattern, num = rng.normal(size=(2, 8)), len(process)

    def driven(latent: np.ndarray, *shape: int) -> np.ndarray:
        latent = latent.reshape(-1, *[1] * len(shape))
        return latent * pattern[0] + latent**2 * pattern[1] + 0.3 * rng.normal(size=(num, *shape))

    views = np.ones((num, 2), dtype=np.uint8)
    photographs = {"patch_tokens": driven(result, 2, 3, 8), "views_present": views}
    return {
        "video": {"tokens": driven(process, 4, 8)},
        "audio": {"tokens": driven(process, 5, 8), "tokens_length": np.full(num, 5)},
        **{f"image/block_{block}": photographs for block in BLOCKS},
        "sensor": {"values": process.reshape(-1, 1, 1) + rng.normal(size=(num, 8, 6))},
        "frames": {"embedding": driven(result, 4, 8)},
    }


@pytest.fixture(scope="session")
def toy_store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One weld of the split test has no audio."""
    rng = np.random.default_rng(0)
    splits = [split for (split, _), count in GROUPS.items() for _ in range(count)]
    labels = [label for (_, label), count in GROUPS.items() for _ in range(count)]
    index = index_of(
        keys=[f"day/{row:03d}" for row in range(len(labels))],
        splits=splits,
        class_names=["broken_link" if label else "good" for label in labels],
        groups=["day"] * len(labels),
        labels=labels,
        attributes={"current": rng.normal(200, 10, len(labels)).tolist()},
    )
    path = tmp_path_factory.mktemp("store") / "toy.zarr"
    store = FeatureStore.create(path, index=index)
    for spec in _specs():
        store.add_feature_set(spec)
    store.add_constant("text/prompt", rng.normal(size=8).astype(np.float32), made_by={"backbone": {"model": "toy"}})
    process = rng.uniform(-1, 1, size=len(labels))
    features = _features(process=process, result=process - np.sign(process) * np.array(labels), rng=rng)
    writer, deaf = StoreWriter(store), len(labels) - 1
    for feature_set, arrays in features.items():
        rows = [row for row in range(len(labels)) if feature_set != "audio" or row != deaf]
        _write(writer, store, feature_set, rows, arrays)
    writer.report("audio", deaf, Status.ABSENT, reason="no file")
    return path


def _write(
    writer: StoreWriter, store: FeatureStore, feature_set: str, rows: Sequence[int], arrays: dict[str, np.ndarray]
) -> None:
    owners = [str(store.index.keys[row]) for row in rows]
    stored = {
        name: to_storage(torch.from_numpy(arrays[name][list(rows)]), spec, owners=owners)
        for name, spec in store.arrays(feature_set).items()
    }
    writer.write(feature_set, rows, stored, sources=[()] * len(rows), notes=[""] * len(rows))


@pytest.fixture
def project(toy_store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with settings for the toy store, which is the current one."""
    settings = {
        "cache": {"path": str(toy_store_path)},
        "recipe": {
            "name": "causal_film",
            "d_model": 8,
            "hidden_width": 8,
            "sensor_hidden": 4,
            "sensor_encoder": "gru",
            "blocks": list(BLOCKS),
        },
        "train": {"device": "cpu", "epochs": 2, "batch_size": 8, "lr": 1e-3, "warmup_epochs": 0},
    }
    (tmp_path / "weldcache.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write_list(project: Path) -> WriteList:
    """Write a list and read it back."""

    def write(variants: dict[str, object], *, name: str = "mine", **keys: object) -> VariantList:
        path = project / f"{name}.yaml"
        path.write_text("# What is it?\n" + yaml.safe_dump({"variants": variants, **keys}, sort_keys=False))
        return load_variant_list(str(path))

    return write


@pytest.fixture
def run_bench() -> RunBench:
    """Run a list; keywords as of `bench`."""

    def run(
        variants: VariantList,
        *,
        overrides: Sequence[str] = (),
        seeds: Sequence[int] | None = (0, 1),
        store_splits: Sequence[str] | None = None,
        split: str = "test",
        overwrite: bool = False,
        keep_weights: bool = False,
    ) -> Bench:
        return bench(
            variants,
            overrides=overrides,
            seeds=seeds,
            store_splits=store_splits,
            split=split,
            overwrite=overwrite,
            keep_weights=keep_weights,
            command="weldcache bench",
        )

    return run


@pytest.fixture(scope="session")
def comparison() -> Comparison:
    """A variant that is ahead, one that may be no worse, and one that failed."""
    reference = VariantResult(
        name="10+21 [b]|",
        recorded=Recorded(val=0.874),
        seeds=(0, 1),
        mean=RepeatsEstimate(0.8, low=0.7, high=0.875, method="delong"),
        by_seed=(0.79, 0.81),
        difference=None,
        others={},
        validation=0.85,
        parameters=13_508_864,
        seconds=8.25,
        score_seconds=0.125,
        peak_bytes=312_000_000,
        rank=1,
        beside_rival=Difference(RepeatsEstimate(0.33, low=0.2, high=0.45, method="delong"), 0.0001, 0.0002),
    )
    other = VariantResult(
        name="21",
        recorded=Recorded(),
        seeds=(0,),
        mean=RepeatsEstimate(0.75, low=0.6, high=0.85, method="newcombe"),
        by_seed=(0.75,),
        difference=RepeatsEstimate(-0.05, low=-0.1, high=0.0125, method="newcombe"),
        others={},
        validation=None,
        parameters=10_170_208,
        seconds=7.0,
        failures=("seed 1: the loss is nan",),
        rank=2,
        behind=Difference(RepeatsEstimate(-0.05, low=-0.1, high=0.0125, method="newcombe"), 0.2, 0.2),
        beside_rival=Difference(RepeatsEstimate(0.28, low=0.1, high=0.4, method="newcombe"), 0.01, 0.01),
    )
    failed = VariantResult("20+28", Recorded(val=0.86), failures=("no features",))
    return Comparison(
        judge=AnomalyJudge(),
        divided_by="official",
        reference=reference.name,
        variants=(reference, other, failed),
        ground=Ground(
            "60 normals and 110 defects",
            {"num_normal": 60, "num_defect": 110},
            beside="media-free control 0.470 (0.380 to 0.560), random scores 0.450 (0.360 to 0.540)",
            controls={
                "media_free": MediaFreeControl(Estimate(0.47, low=0.38, high=0.56), None),
                "random": Estimate(0.45, low=0.36, high=0.54),
            },
            rival="media-free control",
        ),
        num_not_shared=2,
        caveats=(),
    )
