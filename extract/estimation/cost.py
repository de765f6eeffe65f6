"""What a piece of work costs: the time that passes, and how long it keeps cores of this process busy meanwhile."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock and of cores: more of these where threads share work, fewer where a disk is awaited."""

    seconds: float
    core_seconds: float

    def each(self, count: int) -> "Cost":
        """The cost of one of `count` equal parts."""
        return Cost(self.seconds / count, self.core_seconds / count)


def measure(work: Callable[[], Result]) -> tuple[Result, Cost]:
    """Do the work; return its result and what it cost."""
    started, cores_started = time.perf_counter(), time.process_time()
    result = work()
    return result, Cost(time.perf_counter() - started, time.process_time() - cores_started)
