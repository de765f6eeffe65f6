"""Runs are compared: what each is and was set to, and what they said of the same samples, where that can be paired."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import MetricError, WeldcacheError
from ...settings import Settings
from ...train.runs.comparison import Comparison
from ...train.runs.comparison import compare as set_beside
from ...train.runs.names import find_run
from ...wording import listed
from ..judge import headline_of
from .paired import Paired, paired
from .said import refusals, what_was_said


@dataclass(frozen=True)
class ComparedRuns:
    """Runs beside each other.

    Attributes:
        beside: the settings in which they differ, and the figures of each by itself.
        paired: what they said of the same samples; None where they cannot be held against each other.
        refused: why, where they cannot.
    """

    beside: Comparison
    paired: Paired | None
    refused: WeldcacheError | None

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **self.beside.as_json(),
            "paired": None if self.paired is None else self.paired.as_json(),
            "refused": None if self.refused is None else str(self.refused),
        }


def compare_runs(settings: Settings, names: Sequence[str], *, split: str) -> ComparedRuns:
    """Compare runs in `runs.folder`, by names that `find_run` takes, and pair what they said of `split`.

    Raises:
        NotFoundError: if there is no such run.
        SettingsError: if there are fewer than two different names.
    """
    folder = settings.runs.folder
    beside = set_beside(folder, names, headlines=headline_of)
    try:
        found = _paired(settings, [run.entry.name for run in beside.runs], split=split)
    except WeldcacheError as error:
        return ComparedRuns(beside, None, error)
    return ComparedRuns(beside, found, None)


def _paired(settings: Settings, names: Sequence[str], *, split: str) -> Paired:
    folder, device = settings.runs.folder, settings.train.device
    said = [what_was_said(find_run(folder, name), name=name, split=split, device=device) for name in names]
    if why := refusals(said):
        raise MetricError(
            f"{listed(names)} cannot be held against each other on {split}. {' '.join(why)} Where a run was judged "
            "before its data changed, `weldcache eval` judges it again."
        )
    return paired(said, split=split)
