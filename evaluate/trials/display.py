"""How a trial that is being trained shows: at the end of the one line that all trials share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ...configs.schema import TrainSettings
from ...progress import Progress
from ...train.display.display import ShowTraining, TrainingDisplay
from ...train.display.live import describe_epoch
from ...train.runs.log import MetricRow
from ...wording import visible
from .trial import Trial


@dataclass(frozen=True, eq=False)
class _Note:
    """A training as a note on somebody else's progress."""

    progress: Progress
    title: str

    def advance(self, num_samples: int) -> None:
        """Samples are too fine a measure for a line that counts trials."""

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        """The last epoch is the note."""
        self.progress.advance(0, note=f"{self.title}: {describe_epoch(metrics)}")


def trial_title(trial: Trial) -> str:
    """A trial's name wherever a person reads it."""
    return f"{visible(trial.variant)}, seed {trial.seed}"


def shown_on(progress: Progress, trial: Trial) -> ShowTraining:
    """What `train` shows a trial with, given the progress of all trials."""

    @contextmanager
    def show(
        name: str,
        *,
        settings: TrainSettings,
        num_samples: int,
        history: Sequence[MetricRow],
        best: MetricRow | None,
    ) -> Iterator[TrainingDisplay]:
        yield _Note(progress, trial_title(trial))

    return show
