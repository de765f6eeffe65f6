"""What every judge keeps to: subclass `JudgeContract` and give a judge, and a project with a run for it."""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..evaluate.judge import Background, Judge, Judgement, judge_of
from ..evaluate.judging import background_of, calibration_of, keep_calibration, kept_calibration
from ..evaluate.report.document import report_document
from ..evaluate.report.html import render_html
from ..evaluate.report.terminal import render_terminal
from ..evaluate.scoring import Scorer, score_split, scorer_of
from ..evaluate.section import Provenance, Report
from ..evaluate.trials.measure import Measure
from ..metrics.estimate import Estimate
from ..train.runs.trained_run import TrainedRun, load_run


class JudgeContract(ABC):
    """The tests; a subclass has a fixture `run`: the folder of a run of the judge's task, which it may change."""

    @abstractmethod
    def judge(self) -> Judge[Any]:
        """The judge."""

    @pytest.fixture
    def trained(self, run: Path) -> TrainedRun:
        trained = load_run(run)
        trained.folder.calibration_path.unlink(missing_ok=True)
        return trained

    @pytest.fixture
    def scorer(self, trained: TrainedRun) -> Scorer:
        return scorer_of(trained, cache=None, device="cpu")

    @pytest.fixture
    def background(self, scorer: Scorer) -> Background:
        return background_of(self.judge(), scorer, settings=scorer.run.settings.evaluate)

    def assessed(self, scorer: Scorer, background: Background) -> Judgement:
        judge = self.judge()
        test = score_split(scorer, "test", outputs=judge.outputs)
        return judge.assess(test, calibration_of(judge, background), background=background)

    def test_it_judges_a_task_that_runs_are_trained_for(self, trained: TrainedRun) -> None:
        judge = self.judge()
        assert isinstance(judge, Judge)
        assert judge.task == trained.settings.train.task == judge_of(trained, trained.settings.evaluate).task

    def test_its_calibration_is_kept_and_read_again(self, trained: TrainedRun, background: Background) -> None:
        judge = self.judge()
        made = judge.calibrate(background)
        assert made["task"] == judge.task and made["rests_on"] == background.rests_on
        assert made == judge.calibrate(background) == calibration_of(judge, background)
        assert kept_calibration(judge, trained.folder) is None  # who looks at a run writes nothing
        keep_calibration(judge, background)
        kept = kept_calibration(judge, trained.folder)  # and what it is sealed with
        assert kept is not None and {name: kept[name] for name in made} == made

    def test_it_says_the_same_of_the_same(self, scorer: Scorer, background: Background) -> None:
        first, second = self.assessed(scorer, background), self.assessed(scorer, background)
        assert first.warnings == second.warnings and first.columns == second.columns
        assert report_document(_report(first)) == report_document(_report(second))

    def test_it_has_a_line_for_each_sample(self, scorer: Scorer, background: Background) -> None:
        judgement = self.assessed(scorer, background)
        assert set(judgement.table.parts) == {"test"}
        assert {len(column) for column in judgement.columns.values()} == {len(judgement.table)}
        assert list(judgement.columns["key"]) == list(judgement.table.keys)

    def test_it_tells_new_samples_with_and_without_a_calibration(self, scorer: Scorer, background: Background) -> None:
        judge, run = self.judge(), scorer.run
        hide = run.recipe.needs().dispensable if judge.of_scores else None
        new = score_split(scorer, "test", hide=hide, outputs=judge.outputs)
        told = judge.tell(new, calibration_of(judge, background), run=run)
        assert {len(column) for column in told.columns.values()} == {len(told.alarms)} == {len(new.table)}
        assert told.columns and all(heading.isprintable() for heading in told.columns)
        json.dumps({name: list(column) for name, column in told.columns.items()}, allow_nan=False)
        unread = judge.tell(new, None, run=run)
        assert list(unread.columns) == list(told.columns) and not any(unread.alarms)

    def test_its_headline_is_in_its_report_and_follows_from_its_answers(
        self, scorer: Scorer, background: Background
    ) -> None:
        judge, judgement = self.judge(), self.assessed(scorer, background)
        assert isinstance(judge.measure, Measure)
        facts = {fact.id: fact.value for section in judgement.sections for fact in section.facts}
        assert {figure.name for figure in judge.headline} <= facts.keys()
        assert {figure.control for figure in judge.headline if figure.control} <= facts.keys()
        measured = judge.measure.mean(judgement.answers[np.newaxis], judgement.truth, groups=judgement.table.groups)
        told = facts[judge.headline[0].name]
        assert isinstance(told, Estimate) and told.value == measured.value
        assert (told.low, told.high) == pytest.approx((measured.low, measured.high), abs=1e-12)
        assert judge.measure.value(judgement.answers, judgement.truth) == measured.value
        others = judge.measure.others(judgement.answers[np.newaxis], judgement.truth)
        assert others == {figure.name: facts[figure.name] for figure in judge.headline[1:] if "list" in figure.told_in}
        index = scorer.store.index
        samples = index.select(np.array([index.row_of()[key] for key in judgement.table.keys]))
        assert judge.measure.truth(samples).tolist() == judgement.truth.tolist()
        ground = judge.measure.ground(samples, train=index.select(background.seen.train), seed=0)
        controls = {figure.control: facts[figure.control] for figure in judge.headline if figure.control}
        assert controls.items() <= ground.controls.items()
        if ground.rival_answers is not None:  # to be held against what a variant answers
            assert ground.rival and ground.rival_answers.shape == judgement.answers.shape

    def test_its_measure_reads_what_was_written_and_looks_at_classes(
        self, scorer: Scorer, background: Background
    ) -> None:
        measure, judgement = self.judge().measure, self.assessed(scorer, background)
        written = {heading: [str(value) for value in values] for heading, values in judgement.columns.items()}
        (truth, answers), again = measure.read([written, written])
        assert measure.value(answers, truth) == measure.value(judgement.answers, judgement.truth)
        assert truth.tolist() == again[0].tolist() and answers.tolist() == again[1].tolist()
        classes = measure.classes(truth, written["class_name"])
        assert set(classes) <= set(written["class_name"])
        assert all(chosen.shape == truth.shape and chosen.any() for chosen in classes.values())

    def test_sections_are_found_by_their_ids_and_shown_by_every_renderer(
        self, scorer: Scorer, background: Background
    ) -> None:
        judgement = self.assessed(scorer, background)
        ids = [section.id for section in judgement.sections]
        assert len(set(ids)) == len(ids) > 0
        for section in judgement.sections:
            facts = [fact.id for fact in section.facts]
            assert len(set(facts)) == len(facts)
            for rows in section.rows:
                assert all(len(values) == len(rows.columns) for values in rows.values)
        report = _report(judgement)
        assert set(json.loads(json.dumps(report_document(report)))["sections"]) == set(ids)
        assert "</html>" in render_html(report)
        assert render_terminal(report) is not None


def _report(judgement: Judgement) -> Report:
    provenance = Provenance(
        run_name="first",
        split="test",
        created="2026-01-01T10:00:00+00:00",
        command="weldcache eval",
        seed=0,
        fingerprint="f",
        settings={},
        versions={},
        random_features=["video", "image/block_2"],
        trained_features=[],
        weights="ema",
    )
    return Report("a task", provenance, judgement.sections)
