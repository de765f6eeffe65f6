"""The judge of orientations: mean KL(truth || prediction), beside the uniform, a constant and an untrained answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ....metrics.von_mises import ANGLE, KAPPA, WEIGHT
from ....train.orientation import MIXTURE
from ....train.randomness import Purpose, derived_seed, seeded_global_rng
from ....train.runs.reports import Headline
from ....train.runs.trained_run import TrainedRun
from ...judge import Background, Calibration, Judgement, Told
from ...scores import sample_columns
from ...scoring import Scored, Scorer
from ...trials.measure import Measure
from ..alike import warnings_and_training
from .figures import Mixtures, assess_orientations, heaviest_first, truth_of
from .measure import OrientationMeasure
from .sections import caveats, orientation_sections

_HEADLINE = (
    Headline("kl", "mixture KL", control="uniform_kl", lower_is_better=True),
    Headline("angle_error", "angle error", told_in=("page",), lower_is_better=True),
    Headline("num_samples", "samples", told_in=("page",)),
)


@dataclass(frozen=True)
class OrientationJudge:
    """Judges by the output `mixture`, (row, peak, 3), of the averaged weights; nothing is calibrated."""

    task: str = "orientation"
    headline: Sequence[Headline] = _HEADLINE
    measure: Measure = field(default_factory=OrientationMeasure)
    kept_as: type[Calibration] = Calibration
    outputs: tuple[str, ...] = (MIXTURE,)
    of_scores: bool = False

    def calibrate(self, background: Background) -> Calibration:
        return Calibration(task=self.task, rests_on=background.rests_on)

    def assess(self, test: Scored, calibration: Calibration, *, background: Background) -> Judgement:
        index, table = background.store.index, test.table
        truth, predicted = truth_of(index.select(test.rows.usable)), test.outputs[MIXTURE].astype(np.float64)
        found = assess_orientations(
            truth,
            predicted,
            train=truth_of(index.select(background.seen.train)),
            untrained=_untrained(test, background),
            class_names=table.class_names,
            groups=table.groups,
        )
        warnings, training = warnings_and_training(test, background, caveats(found), headline=self.headline)
        return Judgement(
            sections=orientation_sections(found, table, truth, predicted, warnings=warnings, training=training),
            warnings=warnings,
            table=table,
            columns={
                **sample_columns(table),
                "symmetry": found.symmetry.tolist(),
                "kl": found.kl_of.tolist(),
                "num_modes": found.num_modes.tolist(),
                "angle_error": ["" if np.isnan(error) else error for error in found.error_of.tolist()],
            },
            truth=found.symmetry,
            answers=found.kl_of,
        )

    def tell(self, scored: Scored, calibration: Calibration | None, *, run: TrainedRun) -> Told:
        peaks = heaviest_first(scored.outputs[MIXTURE].astype(np.float64))
        told = {"angle": np.degrees(peaks[..., ANGLE]), "kappa": peaks[..., KAPPA], "weight": peaks[..., WEIGHT]}
        return Told(
            columns={
                f"{name}_{place + 1}": values[:, place].tolist()
                for place in range(peaks.shape[1])
                for name, values in told.items()
            },
            alarms=[False] * len(peaks),
        )


def _untrained(test: Scored, background: Background) -> Mixtures | str:
    """What the run's network predicted before it learned: built anew by the same seed."""
    run, store = background.run, background.store
    with seeded_global_rng(derived_seed(run.settings.train.seed, Purpose.WEIGHTS), device=torch.device("cpu")):
        model = run.recipe.build(run.shapes(store))
    scorer = Scorer(run, store, models={"averaged": model.eval()})
    mixtures: Mixtures = scorer.outputs(test.rows.usable, [MIXTURE])[MIXTURE].astype(np.float64)
    if not np.isfinite(mixtures).all():
        return "what it predicts is not finite"
    return mixtures
