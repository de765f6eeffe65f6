"""Score tables with a known shape for every test of the evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from weldcache.evaluate.recorded import representations, training_section
from weldcache.evaluate.scores import Attributes, ScoreTable
from weldcache.evaluate.section import Provenance, Report
from weldcache.evaluate.tasks.anomaly.caveats import caveats
from weldcache.evaluate.tasks.anomaly.controls.chance import controls_with_chance
from weldcache.evaluate.tasks.anomaly.controls.nearest import file_metadata_control, media_free_control
from weldcache.evaluate.tasks.anomaly.figures import Assessment, assess, require_both_labels
from weldcache.evaluate.tasks.anomaly.judge import AnomalyJudge
from weldcache.evaluate.tasks.anomaly.modalities import ModalityResult
from weldcache.evaluate.tasks.anomaly.scale import WholeSamples
from weldcache.evaluate.tasks.anomaly.sections import sections
from weldcache.evaluate.tasks.anomaly.thresholds import alarm_threshold, alarm_thresholds
from weldcache.metrics.estimate import Estimate
from weldcache.metrics.repeats import RepeatsEstimate

MakeTable = Callable[..., ScoreTable]
CURVE = [{"epoch": epoch, "loss": 2.0 / epoch, "val_auroc": 0.5 + 0.01 * epoch, "lr": 1e-5} for epoch in range(1, 12)]


def _make_table(
    *,
    num_normal: int = 60,
    num_defect: int = 90,
    split: str = "test",
    shift: float = 1.5,
    confounded: bool = False,
    num_groups: int = 10,
    classes: tuple[str, ...] = ("porosity", "undercut", "spatter"),
    seed: int = 0,
) -> ScoreTable:
    """Normal scores from N(30, 1), defects `shift` above; groups are named by the split, so splits share none."""
    generator = np.random.default_rng(seed)
    num = num_normal + num_defect
    labels = np.repeat([0, 1], [num_normal, num_defect]).astype(np.int64)
    scores = generator.normal(30, 1, num) + shift * labels
    thickness = np.where(labels == 1, 3.0, 7.0) if confounded else generator.choice([3.0, 7.0], num)
    return ScoreTable(
        keys=tuple(f"{split}/{row:04d}" for row in range(num)),
        parts=(split,) * num,
        class_names=tuple("good" if label == 0 else classes[row % len(classes)] for row, label in enumerate(labels)),
        groups=tuple(f"{split}-group-{row % num_groups}" for row in range(num)),
        labels=labels,
        scores=scores,
        raw_scores=scores + generator.normal(0, 0.05, num),
        lacks=("",) * num,
        scales=("whole",) * num,
        attributes={
            "thickness_mm": thickness,
            "current_a": generator.normal(200, 10, num),
            "steel": generator.choice(np.array(["S235", "S355"]), num),
        },
    )


@pytest.fixture
def make_table() -> MakeTable:
    return _make_table


@pytest.fixture
def table() -> ScoreTable:
    return _make_table()


@pytest.fixture
def validation_table() -> ScoreTable:
    return _make_table(split="val", seed=4)


@pytest.fixture
def train_table() -> ScoreTable:
    return _make_table(split="train", num_normal=80, num_defect=0, seed=2)


@pytest.fixture
def make_assessment(validation_table: ScoreTable, train_table: ScoreTable) -> Callable[..., Assessment]:
    """Assess a table against the standing validation and train tables, either of which a test may replace."""

    def make(
        test: ScoreTable,
        *,
        validation: ScoreTable = validation_table,
        train: ScoreTable = train_table,
        target: float = 0.05,
        files: Attributes | None = None,
        train_files: Attributes | None = None,
    ) -> Assessment:
        require_both_labels(test)
        rivals = {
            "media_free_control": media_free_control(test, train_attributes=train.attributes),
            "file_metadata_control": file_metadata_control(test, files=files or {}, train_files=train_files or {}),
        }
        return assess(
            test=test,
            validation=validation,
            controls=controls_with_chance(rivals, test, seed=0),
            train_groups=train.groups,
            threshold=alarm_threshold(validation, target_fpr=target),
            thresholds=alarm_thresholds(validation, target_fpr=target),
        )

    return make


@pytest.fixture
def training_curve() -> list[dict[str, float | int | None]]:
    """A log of eleven epochs in which one representation keeps its spread and the other loses it."""

    def figures(name: str, *, rank: float, std: float) -> dict[str, float]:
        return {f"{name}_effective_rank": rank, f"{name}_std": std, f"{name}_std_min": 0.0, f"{name}_std_max": 2 * std}

    return [
        {"epoch": epoch, "loss": 2.0 / epoch, "val_auroc": 0.5 + 0.01 * epoch, "lr": 1e-5}
        | figures("z_result", rank=24.0 - 2 * epoch, std=0.1**epoch)
        | figures("z_pred", rank=20.0, std=0.07)
        for epoch in range(1, 12)
    ]


@pytest.fixture
def rich_assessment(
    table: ScoreTable,
    make_assessment: Callable[..., Assessment],
) -> Assessment:
    """Of a model that can do without two modalities, one of which some samples lack."""
    needed = ModalityResult(
        Estimate(0.7, 0.61, 0.78),
        RepeatsEstimate(-0.151, low=-0.22, high=-0.08, method="delong"),
        num_having=(59, 88),
        num_lacking=3,
        num_rescaled=2,
        seen_missing=False,
    )
    spare = ModalityResult(
        Estimate(0.85, 0.8, 0.9),
        RepeatsEstimate(-0.001, low=-0.004, high=0.002, method="delong"),
        num_having=(60, 90),
        num_lacking=0,
        num_rescaled=0,
        seen_missing=True,
    )
    return replace(
        make_assessment(table),
        recorded_validation_auroc=0.8125,
        modalities={"video": needed, "<audio>": spare},
        whole=WholeSamples(
            Estimate(0.83, 0.75, 0.9), num_normal=58, num_defect=89, num_scale_normals=12, num_own_scale=0
        ),
    )


@pytest.fixture
def provenance() -> Provenance:
    return Provenance(
        run_name="demo-run",
        split="test",
        created="2025-01-31T12:00:00+00:00",
        command="weldcache eval demo-run --split test",
        seed=0,
        fingerprint="b3a9c1d2e4f5",
        settings={"optimizer": {"lr": 2e-5, "betas": [0.9, 0.999]}, "loss": {"gram": {"weight": 1.0}}},
        versions={"weldcache": "0.1.0", "numpy": "2.4.0"},
        random_features=["video", "image/block_2"],
        trained_features=[],
        weights="ema",
    )


@pytest.fixture
def make_report(validation_table: ScoreTable, provenance: Provenance) -> Callable[..., Report]:
    """The report on an assessment of a table, with a training log whose best epoch was the ninth."""

    def make(
        assessment: Assessment,
        test: ScoreTable,
        *,
        provenance: Provenance = provenance,
        curve: Sequence[dict[str, float | int | None]] = CURVE,
        best_epoch: int = 9,
    ) -> Report:
        training = training_section(
            curve, representations(curve, best_epoch=best_epoch), headline=AnomalyJudge().headline
        )
        warnings = caveats(assessment, validation=validation_table, test=test)
        return Report("anomaly", provenance, sections(assessment, test=test, warnings=warnings, training=training))

    return make
