"""What every task keeps to: subclass `TaskContract` and give a task, and rows that it takes and leaves out.

class TestMyTask(TaskContract):
    targets = {"class": np.array([0, 1, -1, 1])}
    unknown = (2,)

    def task(self) -> MyTask:
        return MyTask()
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ..train.tasks import LOSS, Direction, Targets, Task
from ..train.types import Prediction

_NUM_OUTPUTS = 4


class TaskContract(ABC):
    """The tests; `targets` are those of some rows, of which validation can measure every monitor.

    Among them are rows to train on, and those numbered in `unknown`, whose target is not known.
    """

    targets: ClassVar[Targets]
    unknown: ClassVar[Collection[int]]

    @abstractmethod
    def task(self) -> Task:
        """The task."""

    def prediction(self, num: int) -> Prediction:
        """What a recipe might say of so many rows; overridden where an output is no row of numbers."""
        generator = torch.Generator().manual_seed(0)
        outputs = {name: torch.randn(num, _NUM_OUTPUTS, generator=generator) for name in self.task().outputs}
        return Prediction(torch.randn(num, generator=generator), outputs=outputs)

    def test_it_is_a_task_and_has_words_for_its_rows(self) -> None:
        task = self.task()
        assert isinstance(task, Task)
        assert task.target in self.targets and task.trains_on and task.leaves_out

    def test_rows_are_chosen_one_by_one_and_by_targets_alone(self) -> None:
        for choose in (self.task().training_rows, self.task().judged_rows):
            chosen, order = choose(self.targets), np.arange(self._num)[::-1]
            assert chosen.dtype == np.bool_ and chosen.shape == (self._num,)
            assert np.array_equal(choose(_rows(self.targets, order)), chosen[order])

    def test_rows_whose_target_is_not_known_take_part_in_nothing(self) -> None:
        task = self.task()
        for chosen in (task.training_rows(self.targets), task.judged_rows(self.targets)):
            assert self.unknown and not chosen[list(self.unknown)].any()

    def test_some_rows_are_trained_on_and_validation_has_some_like_them(self) -> None:
        task = self.task()
        assert (task.training_rows(self.targets) & task.judged_rows(self.targets)).any()

    def test_it_counts_rows_of_validation(self) -> None:
        counts = self.task().counts(_rows(self.targets, self._judged()))
        assert all(name.startswith("validation_") and type(count) is int for name, count in counts.items())

    def test_its_monitors_have_a_direction_and_are_what_it_measures(self) -> None:
        monitors, measured = self.task().monitors(), self._measured(self._judged())
        assert monitors and all(name.startswith("val_") for name in monitors)
        assert set(monitors.values()) <= set(get_args(Direction))
        assert set(measured) == set(monitors) - {LOSS}
        assert all(isinstance(value, float) and np.isfinite(value) for value in measured.values())

    def test_the_order_of_rows_does_not_matter(self) -> None:
        judged = self._judged()
        assert self._measured(judged[::-1]) == pytest.approx(self._measured(judged))

    def test_nothing_is_in_the_way_of_what_can_be_measured(self) -> None:
        task, targets = self.task(), _rows(self.targets, self._judged())
        assert {task.obstacle(monitor, targets) for monitor in task.monitors()} == {""}

    @property
    def _num(self) -> int:
        return len(next(iter(self.targets.values())))

    def _judged(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.task().judged_rows(self.targets))

    def _measured(self, rows: NDArray[np.int64]) -> Mapping[str, float | None]:
        whole, places = self.prediction(self._num), torch.from_numpy(rows.copy())
        chosen = Prediction(whole.score[places], {name: output[places] for name, output in whole.outputs.items()})
        return self.task().validate(chosen, _rows(self.targets, rows))


def _rows(targets: Targets, rows: NDArray[np.int64]) -> Targets:
    return {name: target[rows] for name, target in targets.items()}
