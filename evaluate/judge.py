"""A judge turns scores into sections of a report, by what it has calibrated on validation; the engine knows no metric.

A calibration is what scores of new samples are read by: alarm thresholds, the scale of scores. It is kept in the run as
calibration.json, says what it rests on, and is made again where that is something else by now (`judging.py`).
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from typing_extensions import TypedDict

from ..cache.store import FeatureStore
from ..documents import fingerprint
from ..errors import SettingsError
from ..metrics.estimate import METRICS_VERSION
from ..train.data.features import Rows
from ..train.runs.documents import Count, Line
from ..train.runs.reports import Headline
from ..train.runs.trained_run import TrainedRun
from ..train.state import Best
from ..wording import listed
from .judged_rows import SeenRows
from .scores import ScoreTable
from .scoring import Scored
from .section import Section
from .settings import JUDGES, EvaluateSettings
from .trials.measure import Answers, Measure, Truth


class RestsOn(TypedDict):
    """What a calibration was made from.

    Attributes:
        fingerprint: of the features that the run was trained on.
        epoch: whose weights scored.
        split: hash of the split that divided the samples.
        samples: fingerprint of the validation samples that were scored, of their labels, classes and groups, of what
            each lacks, and of the ways in which the normals among them were scored.
        settings: fingerprint of the section `evaluate`.
        metrics_version: of the definitions of the figures, `metrics.estimate.METRICS_VERSION`.
    """

    fingerprint: Line
    epoch: Count
    split: Line
    samples: Line
    settings: Line
    metrics_version: Count


class Calibration(TypedDict):
    """calibration.json, as far as all judges agree; each adds what its scores are read by."""

    task: Line
    rests_on: RestsOn


Kept = TypeVar("Kept", bound=Calibration)


@dataclass(frozen=True, eq=False)
class Background:
    """What the scores of a split are held against.

    Attributes:
        seen: the rows that training knew.
        best: the epoch whose weights scored.
        validation: the validation samples with their scores.
        settings: the section `evaluate` that is in force.
    """

    run: TrainedRun
    store: FeatureStore
    seen: SeenRows
    best: Best
    validation: Scored
    settings: EvaluateSettings

    def known_beside(self, judged: Rows) -> Rows:
        """The rows of training and validation that are not judged: a control may know what these are."""
        seen = (self.seen.train, self.seen.validation, self.validation.rows.usable)
        return np.setdiff1d(np.concatenate(seen), judged)

    @property
    def rests_on(self) -> RestsOn:
        """What a calibration on this validation rests on."""
        table = self.validation.table
        ways = sorted([way.weights, *sorted(way.without)] for way in self.validation.scale_ways)
        return RestsOn(
            fingerprint=self.run.manifest["fingerprint"],
            epoch=self.best.epoch,
            split=self.store.split_hash,
            samples=fingerprint(
                [
                    list(table.keys),
                    table.labels.tolist(),
                    list(table.lacks),
                    list(table.class_names),
                    list(table.groups),
                    ways,
                ]
            ),
            settings=fingerprint(self.settings.deciding),
            metrics_version=METRICS_VERSION,
        )


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a judge found of one split.

    Attributes:
        sections: in the order in which they are read.
        warnings: in plain words, the gravest first.
        table: the samples with their scores as they were judged.
        columns: what is told of each sample, by the heading under which it is written.
        truth: what is true of each sample, as the judge's measure has it.
        answers: what the model makes of each, to be held against that.
    """

    sections: Sequence[Section]
    warnings: Sequence[str]
    table: ScoreTable
    columns: Mapping[str, Sequence[object]]
    truth: Truth
    answers: Answers


@dataclass(frozen=True, eq=False)
class Told:
    """What a judge says of samples of which nothing is known.

    Attributes:
        columns: what is told of each, by the heading under which it is written; None where there is nothing to tell.
            Their headings hang on the run alone, so that samples may be told a few at a time. Of a set that is scored
            as a whole, `p_value` gets `adjusted_p_value` behind it.
        alarms: which of them somebody should look at.
    """

    columns: Mapping[str, Sequence[str | float | int | None]]
    alarms: Sequence[bool]


@runtime_checkable
class Judge(Protocol[Kept]):
    """Judges runs of one task."""

    @property
    def task(self) -> str:
        """The name of the task."""

    @property
    def headline(self) -> Sequence[Headline]:
        """The facts of its reports by which runs are listed and compared; the first is what a bench measures."""

    @property
    def measure(self) -> Measure:
        """How a bench compares trainings with several seeds."""

    @property
    def kept_as(self) -> type[Kept]:
        """What its calibration is in a run's calibration.json."""

    @property
    def outputs(self) -> Collection[str]:
        """Names of the outputs of predictions that it reads beside the scores, such as `logits`."""

    @property
    def of_scores(self) -> bool:
        """Whether it reads the scores, which are then put on one scale, and looked at without each modality."""

    def calibrate(self, background: Background) -> Kept:
        """What scores are read by, from the validation samples alone.

        Raises:
            MetricError: if validation lacks what that takes.
        """

    def assess(self, test: Scored, calibration: Kept, *, background: Background) -> Judgement:
        """Every section and every warning of a report on `test`.

        Raises:
            MetricError: if the samples cannot be judged, such as those of one label alone.
        """

    def tell(self, scored: Scored, calibration: Kept | None, *, run: TrainedRun) -> Told:
        """What new samples are, of which nothing is known: no more than the scores and outputs say where the run keeps
        no calibration.

        `scored` has, where the judge reads scores, the way without each modality that the run can do without.
        """


def judge_of(run: TrainedRun, settings: EvaluateSettings) -> Judge[Any]:
    """The judge that the settings name, or else that of the task that the run was trained for; raises what
    `judge_named` raises."""
    return judge_named(settings.judge, task=run.settings.train.task, of=str(run.folder.path))


def judge_named(name: str | None, *, task: str, of: str) -> Judge[Any]:
    """The judge of this name (None: that of the task); `of` is what was trained for the task, for messages.

    Raises:
        SettingsError: if it cannot be had, or judges another task.
    """
    chosen = name or name_of_judge(task)
    judge = _made(chosen)
    if judge.task != task:
        raise SettingsError(
            f"evaluate.judge = {chosen} judges {judge.task}, and {of} was trained for {task}; choose "
            "another, or null for that of the task."
        )
    return judge


def name_of_judge(task: str) -> str:
    """The name of the task's own judge: that which the task has too, or else the only one that says it judges the task.

    Raises:
        SettingsError: if there is none, or there are several.
    """
    if task in JUDGES.names:
        return task
    found = []
    for name in JUDGES.names:
        with suppress(SettingsError):  # of a package that cannot be imported, which nobody has chosen
            found += [name] if _made(name).task == task else []
    if len(found) == 1:
        return found[0]
    found.sort()
    if found:
        raise SettingsError(
            f"The task {task} has several judges: choose one with --set evaluate.judge={found[0]}, of {listed(found)}."
        )
    raise SettingsError(
        f"The task {task} has no judge: {listed(JUDGES.names)} judge other tasks. Install the package that has one, as "
        "an entry point in weldcache.judges."
    )


def _made(name: str) -> Judge[Any]:
    judge: Judge[Any] = JUDGES.code(name)()
    return judge


def headline_of(judge: str, task: str) -> Sequence[Headline]:
    """By which figures runs are told: those of the judge of this name, or else of the task's own judge; none where both
    are not known here, as of a run that another installation made."""
    with suppress(SettingsError):
        return _made(judge).headline
    with suppress(SettingsError):
        return _made(name_of_judge(task)).headline
    return ()
