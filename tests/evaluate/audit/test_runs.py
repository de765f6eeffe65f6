"""A run that was trained as it says, and the same run with one fault: in its weights, its labels, its result."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weldcache.cache.store import FeatureStore
from weldcache.errors import FingerprintError, NotFoundError
from weldcache.evaluate.audit.audit import Request, audit
from weldcache.evaluate.audit.judgement import RESULT_CHECKS, Result
from weldcache.evaluate.audit.weights import TRAINING_CHECKS, Training
from weldcache.evaluate.judge import Judgement
from weldcache.evaluate.scoring import scorer_of
from weldcache.evaluate.section import Fact, Section
from weldcache.evaluate.settings import EvaluateSettings
from weldcache.findings import Check
from weldcache.metrics.estimate import Estimate
from weldcache.settings import load_settings
from weldcache.tests.listings import counts
from weldcache.train.runs.trained_run import TrainedRun, load_run
from weldcache.train.types import Batch, Encodings, Losses, Needs

CHECKS: Mapping[str, Any] = {check.name: check for check in (*TRAINING_CHECKS, *RESULT_CHECKS)}


class Changed:
    """A recipe that does something else than the one it has inside."""

    def __init__(
        self,
        recipe: Any,
        *,
        targets: tuple[str, ...] = (),
        loss: Callable[[Losses, Mapping[str, Tensor], nn.Module], Tensor] = lambda losses, *_: losses.total,
        look: Callable[[Batch], Batch] = lambda batch: batch,
        change: Callable[[nn.Module], None] = lambda model: None,
    ) -> None:
        self._recipe, self._targets, self._loss, self._look, self._change = recipe, targets, loss, look, change

    def build(self, shapes: Any) -> nn.Module:
        model: nn.Module = self._recipe.build(shapes)
        self._change(model)
        return model

    def needs(self) -> Needs:
        return replace(self._recipe.needs(), targets=self._targets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recipe, name)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        return self._recipe.encode(model, self._look(batch), generator)  # type: ignore[no-any-return]

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        return Losses(self._loss(self._recipe.loss(model, encodings, {}), targets, model))


# Found by an attribute of the object alone, these would not count as those of a recipe.
for _name in ("advice", "predict", "measure"):
    setattr(Changed, _name, lambda self, *given, name=_name, **named: getattr(self._recipe, name)(*given, **named))


@pytest.fixture
def result(judged: Path, runs_of: Callable[[Path], Path]) -> Result:
    project = runs_of(judged)
    run = load_run(project / "runs/first")
    return Result(scorer_of(run, cache=project / "features.zarr", device="cpu"), "test", EvaluateSettings())


def training_of(result: Result, **changes: Any) -> Training:
    run = result.scorer.run
    return Training(run, Changed(run.recipe, **changes), result.scorer.store)  # type: ignore[arg-type]


def asked(name: str, evidence: object) -> Check:
    found = CHECKS[name].answered(evidence)
    assert isinstance(found, Check)
    return found


def test_a_training_that_did_what_it_says_has_nothing_wrong(result: Result) -> None:
    training = training_of(result, targets=("label",), loss=_with_labels)
    for name in ("parameters", "beginning", "labels matter", "average"):
        found = asked(name, training)
        assert counts(found).keys() <= {"notes"}, found.findings
    for name in ("reproduced", "chosen on test", "modalities"):
        assert counts(asked(name, result)) == {}


def _with_labels(losses: Losses, targets: Mapping[str, Tensor], model: nn.Module) -> Tensor:
    weights = torch.arange(1.0, 1.0 + len(targets["label"]))
    return losses.total * (1 + (weights * (targets["label"].float() + 1)).sum())


def test_parameters_that_no_gradient_reaches(result: Result) -> None:
    one = training_of(result, loss=lambda losses, _, model: losses.total.detach() + next(model.parameters()).sum())
    found = asked("parameters", one)
    assert counts(found)["errors"] == 1 and "have no gradient" in found.findings[0].evidence


def dials(start: float) -> Callable[[nn.Module], None]:
    """Adds two numbers to a model, whose product `turned_dials` adds to the loss, and one that nothing uses."""

    def change(model: nn.Module) -> None:
        for name in ("one_dial", "other_dial", "no_dial"):
            model.register_parameter(name, nn.Parameter(torch.full((3,), start)))

    return change


def turned_dials(losses: Losses, targets: Mapping[str, Tensor], model: nn.Module) -> Tensor:
    return losses.total + (model.one_dial * model.other_dial).sum()  # type: ignore[operator]


def test_a_head_that_begins_where_its_gradient_is_zero(result: Result) -> None:
    found = asked("beginning", training_of(result, loss=turned_dials, change=dials(0.0)))
    assert counts(found) == {"errors": 1}
    assert "6 values" in found.findings[0].evidence and "no_dial" not in found.findings[0].evidence
    assert counts(asked("beginning", training_of(result, loss=turned_dials, change=dials(0.5)))) == {}


def test_parameters_that_are_where_they_began(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    training = training_of(result)
    monkeypatch.setattr(TrainedRun, "model", lambda self, weights, **_: training.start)
    found = asked("parameters", training)
    assert "error" in [finding.severity for finding in found.findings if "where they began" in finding.evidence]


def test_a_loss_that_does_not_look_at_labels(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    store = result.scorer.store
    everybody = np.flatnonzero(store.index.parts != "train")  # of both labels
    monkeypatch.setattr(TrainedRun, "training_rows", lambda self, store: everybody)
    assert counts(asked("labels matter", training_of(result, targets=("label",)))) == {"errors": 1}
    assert counts(asked("labels matter", training_of(result, targets=("label",), loss=_with_labels))) == {}
    assert asked("labels matter", training_of(result)).looked_at.startswith("not looked at")


def test_an_average_that_holds_its_start(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weldcache.evaluate.audit.weights.decay_at", lambda update, *, decay: decay)
    assert counts(asked("average", training_of(result))) == {"errors": 1}


def test_weights_that_are_not_those_that_were_validated(result: Result) -> None:
    with torch.no_grad():
        for parameter in result.scorer.models["averaged"].parameters():
            parameter.mul_(1.5)
    found = asked("reproduced", result)
    assert "errors" in counts(found) and "val_loss" in {finding.part for finding in found.findings}


def test_best_weights_that_are_those_of_another_epoch(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    best = result.scorer.run.best()
    last = {name: value for name, value in best.metrics.items() if name != "epoch"} | {"epoch": 9}
    earlier = {**last, "epoch": 1, "val_loss": 99.0, "val_auroc": 1.0}
    run = replace(result.scorer.run, metrics=[earlier, last])
    monkeypatch.setattr(TrainedRun, "best", lambda self: replace(best, epoch=1, metrics=earlier))
    found = asked("reproduced", replace(result, scorer=replace(result.scorer, run=run)))
    assert "errors" in counts(found) and all("epoch 9, the last" in each.evidence for each in found.findings)


def test_a_head_of_zeros_answers_the_same_to_all_and_yet_learns(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a classifier's: at its start no label matters."""

    def with_head(losses: Losses, targets: Mapping[str, Tensor], model: nn.Module) -> Tensor:
        weights = torch.arange(1.0, 1.0 + len(targets["label"]))
        return losses.total.detach() + model.one_dial.sum() * (weights * targets["label"]).sum()  # type: ignore[operator]

    everybody = np.flatnonzero(result.scorer.store.index.parts != "train")
    monkeypatch.setattr(TrainedRun, "training_rows", lambda self, store: everybody)
    training = training_of(result, targets=("label",), loss=with_head, change=dials(0.0))
    assert counts(asked("labels matter", training)) == {}


def test_validation_on_samples_of_test(result: Result) -> None:
    store, run = result.scorer.store, result.scorer.run
    keys = store.index.keys[store.index.parts == "test"][:3].tolist()
    manifest: Any = {**run.manifest, "samples": {**run.manifest["samples"], "validation": keys}}
    scorer = replace(result.scorer, run=replace(run, manifest=manifest))
    assert counts(asked("chosen on test", replace(result, scorer=scorer))) == {"errors": 1}
    assert counts(asked("reproduced", replace(result, scorer=scorer))) == {"notes": 1}


def test_a_modality_that_no_answer_hangs_on(result: Result) -> None:
    def blind(batch: Batch) -> Batch:
        same = {name: torch.ones_like(values) for name, values in batch.features.items() if "sensor" in name}
        return replace(batch, features={**batch.features, **same})

    recipe = Changed(result.scorer.run.recipe, look=blind)
    scorer = replace(result.scorer, run=replace(result.scorer.run, recipe=recipe))  # type: ignore[arg-type]
    found = asked("modalities", replace(result, scorer=scorer))
    assert [finding.part for finding in found.findings] == ["sensor"]


def judged_as(
    result: Result, *facts: Fact, standing: Any = "good", answers: Any = (0.1, 0.9), **further: Any
) -> Result:
    section = Section("headline", "It beats chance", facts=facts, standing=standing, note=["So it is."])
    table = result.judgement.table
    found = Judgement([section], further.get("warnings", ()), table, {}, np.array([0, 1]), np.asarray(answers))
    changed = replace(result, anchors=further.get("anchors", {}))
    changed.__dict__["judgement"] = found
    return changed


def test_what_a_result_is_worth(result: Result) -> None:
    good = Fact("auroc", "AUROC", Estimate(0.9, 0.85, 0.93))
    sound = judged_as(result, good, Fact("recall", "", 0.8))
    assert all(counts(asked(name, sound)) == {} for name in ("verdict", "too good", "report"))
    accuracy = (Fact("accuracy", "", Estimate(0.7, 0.6, 0.8)), Fact("majority_accuracy", "", 0.698))
    for faulty, check, severities in (
        (judged_as(result, good, standing="bad"), "verdict", {"errors": 1}),
        (judged_as(result, good, standing="doubtful"), "verdict", {"warnings": 1}),
        (judged_as(result, good, Fact("recall", "", 0.0)), "verdict", {"errors": 1}),
        (judged_as(result, *accuracy), "verdict", {"errors": 1}),
        (judged_as(result, good, answers=(0.5, 0.5)), "verdict", {"errors": 1}),
        (judged_as(result, good, anchors={"auroc": 0.78}), "too good", {"warnings": 1}),
        (judged_as(result, Fact("auroc", "", Estimate(1.0, 0.8, 1.0))), "too good", {"warnings": 1}),
        (judged_as(result, good, warnings=["It is not so."]), "report", {"warnings": 1}),
    ):
        assert counts(asked(check, faulty)) == severities


def test_the_whole_of_a_project_is_audited(
    judged: Path,
    runs_of: Callable[[Path], Path],
    manifest_rows: Callable[[Path], list[dict[str, str]]],
    write_rows: Callable[[Path, list[dict[str, str]]], None],
    contents: Callable[[Path], dict[str, bytes]],
) -> None:
    """Where an attribute is another one in the data set than in the store, and a setting is not what features had."""
    project = runs_of(judged)
    (project / "runs/first/calibration.json").unlink()  # which is for who evaluates to write again
    before = contents(project / "runs")
    rows = manifest_rows(project)
    rows[-1]["GAS_BAR"] = "9.5"
    write_rows(project, rows)
    found = audit(load_settings(folder=project, overrides=["features.sensor.num_steps=7"]))
    assert {group for group, _ in found.checks} == {"data", "cache", "training", "result"}
    severe = {finding.check for finding in found.findings if finding.severity == "error"}
    assert "data set" in severe and severe <= {"data set", "verdict"}  # so small a run is no better than chance
    assert ("made by", "warning") in {(finding.check, finding.severity) for finding in found.findings}
    assert contents(project / "runs") == before


@pytest.mark.slow
def test_a_run_of_other_features_is_not_judged(
    judged: Path, runs_of: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: TrainedRun, store: FeatureStore) -> None:
        raise FingerprintError("other features")

    monkeypatch.setattr(TrainedRun, "require_same_features", refuse)
    found = audit(load_settings(folder=runs_of(judged)))
    assert ("fingerprint", "error") in {(finding.check, finding.severity) for finding in found.findings}
    assert "verdict" not in {check.name for _, check in found.checks}


def test_where_there_is_no_such_thing(judged: Path, runs_of: Callable[[Path], Path]) -> None:
    project = runs_of(judged)
    with pytest.raises(NotFoundError, match="none"):
        audit(load_settings(folder=project, overrides=["data.root=none", "cache.path=none.zarr"]))
    with pytest.raises(NotFoundError, match="secnd"):
        audit(load_settings(folder=project), Request(run="secnd"))
