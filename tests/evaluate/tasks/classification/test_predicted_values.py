"""What a classifier predicts of a target of several values: which outputs that is, its figures by name, its caveat."""

import numpy as np
from numpy.typing import NDArray

from weldcache.cache.index import Index
from weldcache.cache.targets import TargetSpec, target_of
from weldcache.evaluate.tasks.classification.predicted_values import (
    PredictedValues,
    predicted_caveats,
    predicted_section,
    predicted_values,
    targets_predicted,
)

NAMES = ("red", "blue", "striped", "spotted", "never")
SPEC = TargetSpec("looks", "int8", (5,), value_names=NAMES)


def index_of(truth: NDArray[np.int64], spec: TargetSpec = SPEC) -> Index:
    keys = [f"sample {row}" for row in range(len(truth))]
    return Index(
        keys=np.array(keys),
        groups=np.array([""] * len(keys)),
        parts=np.array(["test"] * len(keys)),
        targets={
            spec.name: target_of(spec, list(truth), keys=keys),
            "class": target_of(TargetSpec("class", "int8", classes=("a", "b")), [0] * len(keys), keys=keys),
            "shares": target_of(TargetSpec("shares", "float32", (5,)), list(truth / 2), keys=keys),
            "counts": target_of(TargetSpec("counts", "int8", (5,)), list(2 + truth), keys=keys),
        },
        attributes={},
    )


def judged(skill: float, spec: TargetSpec = SPEC, *, seed: int = 0) -> PredictedValues:
    """Of red all is known by the model, of the others less and less, and of `never` there is nothing to know."""
    generator = np.random.default_rng(seed)
    truth = (generator.random((300, 5)) < [0.5, 0.3, 0.3, 0.2, 0.0]).astype(np.int64)
    margin = skill * np.array([100, 2, 1, 0.5, 1]) * (2 * truth - 1) + generator.normal(size=truth.shape)
    chances = (1 / (1 + np.exp(-margin))).astype(np.float32)
    truth[generator.random(truth.shape) < 0.1] = -1
    index = index_of(truth, spec)
    (found,) = predicted_values({spec.name: chances}, judged=index, train=index, seed=0)
    return found


def test_outputs_that_are_targets_of_present_and_absent_values_are_judged() -> None:
    index = index_of(np.zeros((3, 5), np.int64))
    assert targets_predicted(("logits", "class", "looks", "shares", "counts", "elsewhere"), index) == ["looks"]


def test_values_are_told_by_name_the_best_and_the_worst_first_and_all_of_them_for_programs() -> None:
    found = judged(1.0)
    section = predicted_section(found)
    facts = {fact.id: fact for fact in section.facts}
    ends, every = section.rows
    assert [row[0] for row in ends.values] == ["red", "blue", "striped", "spotted"]
    assert [row[0] for row in every.values] == [*NAMES] and every.detail
    assert ends.values[0][3] == 1.0 and every.values[-1][3] is None
    mean = found.figures.means["auroc"]
    assert facts["mean_auroc"].value == mean and mean.low > 0.5
    # Where a value is rare, a model that is little worth says less than that it is absent.
    assert facts["num_no_better"].value == found.no_better.sum() == 1 and found.no_better[3]
    assert not list(predicted_caveats([found]))


def test_a_model_that_knows_nothing_of_them_is_said_to() -> None:
    found = judged(0.0, seed=1)
    (caveat,) = predicted_caveats([found])
    assert "looks" in caveat and "AUROC" in caveat
    assert found.no_better.sum() >= 3


def test_values_without_names_are_numbered_and_what_cannot_be_ranked_is_said() -> None:
    bare = TargetSpec("looks", "int8", (5,))
    assert judged(1.0, bare).names[4] == "value 5"
    nothing = index_of(np.zeros((4, 5), np.int64))
    (found,) = predicted_values({"looks": np.zeros((4, 5), np.float32)}, judged=nothing, train=nothing, seed=0)
    section = predicted_section(found)
    assert section.note and not section.facts and not section.figures and not list(predicted_caveats([found]))
