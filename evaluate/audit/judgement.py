"""Whether a run's result is what it seems: reproduced, on samples that did not choose it, and no better than can be."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...cache.splits import OFFICIAL
from ...findings import Severity
from ...metrics.estimate import Estimate
from ...train.data.batches import batches_in_order
from ...train.data.features import FeatureReader, Rows
from ...train.data.samples import choose_samples
from ...train.data.streamed import StreamedFeatures
from ...train.pipeline import validator_of
from ...train.scoring import encode
from ...train.settings import Precision
from ...train.tasks import monitor_of
from ...train.types import Batch
from ...wording import count_of, listed
from ..judge import Judge, Judgement, judge_of
from ..judging import background_of, judge_split
from ..scoring import Scorer
from ..section import Fact, Standing
from ..settings import EvaluateSettings
from .check import NEAR_MAJORITY, AuditCheck, Tell, few
from .curves import told_of

_FEWEST = 4  # samples, before one of them can be given what is another's
_SHUFFLED = 128  # samples that a modality is exchanged between
_NOTHING = 0.01  # of the scores' spread
_ROUNDING = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 2e-2}  # of a figure, for other devices

_TRAIN_AGAIN = "Train again, and keep the store and the code that the run was trained with."
_COPY_TENSORS = (
    "Keep a copy of the tensors of the best epoch, each cloned: a dictionary of references holds whatever they become. "
    "Then train again."
)
_HOLD_OUT = "Choose weights on a validation part taken from train, and judge on samples that chose nothing."
_SEE_REPORT = "`weldcache eval` writes the report that says more of it."
_SEE_SCORES = "Look at the scores and the threshold in the report; weigh the rare kind in training."
_DO_WITHOUT = "Leave the modality out and save its cost, or see why nothing is learned of it."


@dataclass(frozen=True, eq=False)
class Result:
    """A run on a store, and the part of its split that it is judged on; `judged` is what the judge said of it already,
    None where it is still to be asked."""

    scorer: Scorer
    part: str
    settings: EvaluateSettings
    anchors: Mapping[str, float] = field(default_factory=dict)
    judged: Judgement | None = None

    @cached_property
    def judge(self) -> Judge[Any]:
        """Who judges the run."""
        return judge_of(self.scorer.run, self.settings)

    @cached_property
    def judgement(self) -> Judgement:
        """What the judge of its task says, as in a report."""
        if self.judged is not None:
            return self.judged
        hide = self.scorer.run.recipe.needs().dispensable
        background = background_of(self.judge, self.scorer, settings=self.settings)
        return judge_split(self.judge, self.scorer, self.part, background=background, hide=hide)

    @cached_property
    def facts(self) -> Mapping[str, Fact]:
        """Figures of the report by their names."""
        return {fact.id: fact for section in self.judgement.sections for fact in section.facts}

    def figure(self, name: str) -> float | None:
        """A figure of the report; None where it has none of that name."""
        value = self.facts[name].value if name in self.facts else None
        value = value.value if isinstance(value, Estimate) else value
        return float(value) if isinstance(value, int | float) else None

    def source(self, rows: Rows) -> StreamedFeatures:
        """The features of rows, with what the loss learns from, where the models are."""
        needs, model = self.scorer.run.recipe.needs(), self.scorer.models["averaged"]
        device = next(chain(model.parameters(), model.buffers())).device
        return StreamedFeatures(FeatureReader(self.scorer.store, needs.features, needs.targets), rows, device)


def _reproduced(result: Result, tell: Tell) -> str:
    """The best epoch's weights, validated again, have the figures that training recorded of them."""
    run, store = result.scorer.run, result.scorer.store
    samples = choose_samples(store, run.recipe, task=run.task, monitor=monitor_of(run.settings.train))
    if set(store.index.keys[samples.validation].tolist()) != set(run.manifest["samples"]["validation"]):
        evidence = "the samples that training validated on are not those of validation now, so that it cannot be told"
        tell("note", evidence, _TRAIN_AGAIN)
        return "which samples are validated on"
    features = result.source(samples.validation)
    validator = validator_of(run.recipe, features, samples, store=store, task=run.task, settings=run.settings.train)
    now, best = validator(result.scorer.models["averaged"]).figures, run.best()
    changed = _changed(now, best.metrics, precision=run.precision)
    others = [row for row in run.metrics if row["epoch"] != best.epoch]
    same = [row for row in others if changed and not _changed(now, row, precision=run.precision)]
    which = f"; so has epoch {same[-1]['epoch']}{', the last' if same[-1] is run.metrics[-1] else ''}" if same else ""
    for name in changed:
        evidence = (
            f"the best epoch's weights have {name} {now[name]:.5g} now{which}, and had {best.metrics[name]:.5g} when "
            "they were kept"
        )
        tell("error", evidence, _COPY_TENSORS if same else _TRAIN_AGAIN, part=name)
    return f"{listed(now)} of {count_of(len(samples.validation), store.noun)}"


def _changed(
    now: Mapping[str, float | None], then: Mapping[str, float | int | None], *, precision: Precision
) -> list[str]:
    """The figures that are others than those of a row of the log, by more than devices differ."""
    return [
        name
        for name, value in now.items()
        if value is not None
        and (was := then.get(name)) is not None
        and abs(value - was) > _ROUNDING[precision] * max(1.0, abs(was))
    ]


def _chosen_on_test(result: Result, tell: Tell) -> str:
    """Samples that are judged, or that the data set means to be, had a say in which weights were kept."""
    run, store = result.scorer.run, result.scorer.store
    row_of = store.index.row_of()
    official = store if store.split == OFFICIAL else store.divided_by(OFFICIAL)
    known = [row_of[key] for key in run.manifest["samples"]["validation"] if key in row_of]
    for parts, whose in ((store.index.parts, "its split's"), (official.index.parts, "the data set's own")):
        chosen = [row for row in known if parts[row] == "test"]
        if chosen:
            told = few(store.index.keys[chosen].tolist())
            evidence = f"{count_of(len(chosen), store.noun)} of {whose} test chose the weights in validation ({told})"
            tell("error" if parts is store.index.parts else "warning", evidence, _HOLD_OUT)
            break
    return f"{count_of(len(known), store.noun)} that were validated on"


def _verdict(result: Result, tell: Tell) -> str:
    """What the judge makes of the result beside its controls."""
    severities: Mapping[Standing | None, Severity] = {"bad": "error", "doubtful": "warning"}
    for section in result.judgement.sections:
        if section.standing in severities:
            tell(severities[section.standing], f"{section.title}. {' '.join(section.note)}", _SEE_REPORT)
    accuracy, majority = result.figure("accuracy"), result.figure("majority_accuracy")
    if accuracy is not None and majority is not None and abs(accuracy - majority) <= NEAR_MAJORITY:
        evidence = f"the accuracy is {accuracy:.4f}, and always giving the most frequent answer has {majority:.4f}"
        tell("error", evidence, _SEE_SCORES)
    if result.figure("recall") == 0:
        tell("error", "no defect is above the threshold: recall is 0", _SEE_SCORES)
    if len(result.judgement.answers) > 1 and np.ptp(result.judgement.answers) == 0:
        tell("error", f"all {len(result.judgement.answers):,} samples get the same answer", _SEE_SCORES)
    return f"{count_of(len(result.judgement.truth), result.scorer.store.noun)} of {result.part}, beside the controls"


def _report(result: Result, tell: Tell) -> str:
    """What the report says that calls for care."""
    for warning in result.judgement.warnings:
        tell("warning", warning, _SEE_REPORT)
    return "what a report on it would warn of"


def _modalities(result: Result, tell: Tell) -> str:
    """Whether it matters to any score whose film, sound or picture it is."""
    run = result.scorer.run
    rows = result.scorer.rows_of(result.part).usable[:_SHUFFLED]
    modalities = {name: sets for name, sets in run.recipe.needs().modalities.items() if name not in run.untrained}
    if len(rows) < _FEWEST or not modalities:
        return "not looked at: it takes several samples, and a recipe that names its modalities"
    (batch,) = result.source(rows).batches(batches_in_order(len(rows), batch_size=len(rows)))
    plain = _answers(result, batch)
    spread = float(plain.std())
    for name, sets in modalities.items():
        change = float(np.sqrt(np.mean((_answers(result, _exchanged(batch, sets)) - plain) ** 2)))
        if change <= _NOTHING * spread:
            evidence = f"given the {name} of another sample, answers change by less than {_NOTHING:.0%} of their spread"
            tell("warning", evidence, _DO_WITHOUT, part=name)
    return f"{listed(modalities)} of {count_of(len(rows), result.scorer.store.noun)}, given to another one"


def _exchanged(batch: Batch, feature_sets: Collection[str]) -> Batch:
    """Each row with these feature sets of the row before it."""

    def exchanged(tensors: Mapping[str, Tensor], sets: Mapping[str, str]) -> dict[str, Tensor]:
        return {
            name: tensor.roll(1, dims=0) if sets[name] in feature_sets else tensor for name, tensor in tensors.items()
        }

    arrays = {name: name.rpartition("/")[0] for name in batch.features}
    return replace(
        batch,
        features=exchanged(batch.features, arrays),
        present=exchanged(batch.present, {name: name for name in batch.present}),
    )


def _answers(result: Result, batch: Batch) -> NDArray[np.float64]:
    """Scores, or what the judge reads instead of them, one row a sample."""
    run, model = result.scorer.run, result.scorer.models["averaged"]
    encodings = encode(run.recipe, model, batch, precision=run.precision, without=result.scorer.hidden)
    with torch.no_grad():
        predicted = run.recipe.predict(model, encodings)
    read = [predicted.score] if result.judge.of_scores else [predicted.outputs[name] for name in result.judge.outputs]
    return torch.cat([each.reshape(len(batch), -1) for each in read], dim=1).double().cpu().numpy()


def _too_good(result: Result, tell: Tell) -> str:
    """Against what is known to be reached, and against perfection."""
    names = [
        each.name
        for each in result.judge.headline
        if not (each.lower_is_better or each.name.startswith("num_"))  # these are not perfect at 1
    ]
    asked = list(dict.fromkeys([*names, *result.anchors]))
    if not asked:
        return "not looked at: no figure of its judge is perfect at 1"
    for name in asked:
        value = result.figure(name)
        if value is not None and 0 <= value <= 1 and not name.startswith("fpr"):
            told_of(name, value, anchor=result.anchors.get(name), tell=tell)
    return f"{listed(asked)}, against {count_of(len(result.anchors), 'anchor')} (--anchor) and against perfection"


RESULT_CHECKS: Sequence[AuditCheck[Result]] = (
    AuditCheck("reproduced", "training", _reproduced, in_report="never"),
    AuditCheck("chosen on test", "training", _chosen_on_test),
    AuditCheck("verdict", "result", _verdict, in_report="never"),
    AuditCheck("modalities", "result", _modalities, in_report="where small"),
    AuditCheck("too good", "result", _too_good),
    AuditCheck("report", "result", _report, in_report="never"),
)
