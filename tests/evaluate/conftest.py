"""Score tables with a known shape for every test of the evaluation."""

from collections.abc import Callable

import numpy as np
import pytest

from weldcache.evaluate.assessment import assess
from weldcache.evaluate.provenance import Provenance
from weldcache.evaluate.results import Assessment
from weldcache.evaluate.scores import ScoreTable

MakeTable = Callable[..., ScoreTable]


def _make_table(
    *,
    num_normal: int = 60,
    num_defect: int = 90,
    split: str = "test",
    shift: float = 1.5,
    confounded: bool = False,
    num_sessions: int = 10,
    classes: tuple[str, ...] = ("porosity", "undercut", "spatter"),
    seed: int = 0,
) -> ScoreTable:
    """Normal scores from N(30, 1), defects `shift` above; sessions are named by the split, so splits share none."""
    generator = np.random.default_rng(seed)
    num = num_normal + num_defect
    labels = np.repeat([0, 1], [num_normal, num_defect]).astype(np.int64)
    scores = generator.normal(30, 1, num) + shift * labels
    thickness = np.where(labels == 1, 3.0, 7.0) if confounded else generator.choice([3.0, 7.0], num)
    return ScoreTable(
        keys=tuple(f"{split}/{row:04d}" for row in range(num)),
        splits=(split,) * num,
        class_names=tuple("good" if label == 0 else classes[row % len(classes)] for row, label in enumerate(labels)),
        sessions=tuple(f"{split}-session-{row % num_sessions}" for row in range(num)),
        labels=labels,
        scores=scores,
        raw_scores=scores + generator.normal(0, 0.05, num),
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
    return _make_table(split="val", seed=1)


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
    ) -> Assessment:
        return assess(
            test=test,
            validation=validation,
            train_attributes=train.attributes,
            train_sessions=train.sessions,
            target_fpr=target,
            seed=0,
        )

    return make


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
        backbones_are_random=True,
    )
