"""What the reports of all judges say alike: the verdict's section, the warnings around a judge's own, the training."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ...cache.arrays import oracles_among
from ...train.data.features import targets_of
from ...train.runs.reports import Headline
from ...train.runs.trained_run import TrainedRun
from ...train.training_caveats import training_caveats
from ...wording import count_of, listed
from ..judge import Background
from ..judged_rows import rows_caveats, split_caveats, withdrawn_caveats
from ..recorded import collapse_caveats, representations, training_section
from ..scoring import Scored
from ..section import Section, Standing


@dataclass(frozen=True)
class Verdict:
    """How far to rely on a result: a headline and the sentences that explain it, headed by what the alarms do."""

    standing: Standing
    headline: str
    explanation: str
    alarms: str = ""

    def section(self, warnings: Sequence[str]) -> Section:
        """The verdict with the warnings below it, the gravest first."""
        return Section(
            id="verdict",
            title=f"{self.alarms}. {self.headline}" if self.alarms else self.headline,
            note=[self.explanation],
            points=warnings,
            look="verdict",
            standing=self.standing,
            brief=True,
        )


def warnings_and_training(
    test: Scored,
    background: Background,
    own: Iterable[str],
    *,
    headline: Sequence[Headline],
    of_validation: Iterable[str] = (),
) -> tuple[tuple[str, ...], Section]:
    """All that is to be known of a judgement, the gravest first, and how the training went.

    What holds whatever is judged stands around what the judge has to say of its `own` figures, and `of_validation`, by
    which these were calibrated.
    """
    run, store, seen, task = background.run, background.store, background.seen, background.run.task
    watched = representations(run.metrics, best_epoch=background.best.epoch)
    targets = {name: target[background.validation.rows.usable] for name, target in targets_of(store).items()}
    num_watched = int(task.training_rows(targets).sum())
    warnings = (
        *_about_oracles(run),
        *rows_caveats(test.rows, background.validation.rows, split=test.split),
        *of_validation,
        *training_caveats(store, seen.train, recipe=run.recipe, untrained=seen.untrained),
        *withdrawn_caveats(seen, store, task=task),
        *split_caveats(store),
        *own,
        *collapse_caveats(watched, num_samples=num_watched),
        *_about_completeness(test, background),
    )
    return warnings, training_section(run.metrics, watched, headline=headline)


def _about_oracles(run: TrainedRun) -> Iterator[str]:
    """What to know of figures that rest on what nobody knows of a new sample."""
    if oracles := oracles_among(run.recipe.needs().feature_sets):
        yield (
            f"An oracle's result: the model reads {listed(oracles)}, which nobody knows of a new sample. These figures "
            "say what could be had if it were known, and nothing of what the model does with new samples."
        )


def _about_completeness(test: Scored, background: Background) -> Iterator[str]:
    """What to know of samples without a score, and of a training that is not over."""
    if test.rows.num_lacking:
        yield (
            f"Not scored, and in no figure: {count_of(test.rows.num_lacking, 'sample')} of {test.split} without "
            "features that this model needs."
        )
    if not background.run.folder.finished:
        yield (
            f"Training is not finished, this is epoch {background.best.epoch} of at most "
            f"{background.run.settings.train.epochs}: {background.run.folder.how_to_go_on()}"
        )
