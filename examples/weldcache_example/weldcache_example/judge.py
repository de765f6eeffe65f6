"""A judge: all that the judge of anomalies says, and first of all the samples to look at with one's own eyes."""

from dataclasses import dataclass, replace

import numpy as np

from weldcache.evaluate.judge import Background, Judgement
from weldcache.evaluate.scoring import Scored
from weldcache.evaluate.section import Column, Rows, Section
from weldcache.evaluate.tasks.anomaly.judge import AnomalyCalibration, AnomalyJudge

_SHOWN = 5


@dataclass(frozen=True)
class WorstFirstJudge(AnomalyJudge):
    def assess(self, test: Scored, calibration: AnomalyCalibration, *, background: Background) -> Judgement:
        judgement = super().assess(test, calibration, background=background)
        table = judgement.table
        worst = np.argsort(-table.scores, kind="stable")[:_SHOWN].tolist()
        columns = (
            Column("key", "Sample", of_text=True),
            Column("score", "Score"),
            Column("class", "Class", of_text=True),
        )
        values = [(table.keys[row], float(table.scores[row]), table.class_names[row]) for row in worst]
        section = Section("worst", "Look at these first", rows=[Rows("worst", columns, values)], brief=True)
        return replace(judgement, sections=[section, *judgement.sections])
