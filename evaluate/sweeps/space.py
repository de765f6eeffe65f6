"""The space of a sweep: ranges and choices that settings are drawn from, and all points of a grid."""

import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ...configs.section import Positive, Section
from ...errors import SettingsError
from ...wording import count_of

_MOST_POINTS = 10_000  # of a grid


class _Parameter(Section):
    """What all kinds of parameters share: of which values of others it depends whether there is any."""

    when: dict[str, list[Any]] = Field({})

    @abstractmethod
    def points(self) -> Iterator[Any]:
        """Every value that may be drawn, in order.

        Raises:
            ValueError: if there is no end of them.
        """

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Whether it may be drawn."""


class FloatRange(_Parameter):
    """A number from `low` to `high`; by powers, or in steps."""

    kind: Literal["float"] = "float"
    low: float
    high: float
    log: bool = False
    step: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _require_range(self.low, self.high, log=self.log, stepped=self.step is not None)
        return self

    def points(self) -> Iterator[Any]:
        if self.step is None:
            raise ValueError("a grid takes steps: give `step`, or list the values with `kind: choice`")
        low, step = self.low, self.step
        count = int((self.high - low) / step + 1e-9) + 1
        return (low + place * step for place in range(count))  # one by one, as there may be billions

    def holds(self, value: Any) -> bool:
        # Fractions are hardly ever drawn twice, but for those of steps.
        if self.step is None or isinstance(value, bool) or not isinstance(value, int | float):
            return False
        in_range = self.low <= value <= self.high + 1e-9 * self.step
        return in_range and value == self.low + round((value - self.low) / self.step) * self.step


class IntRange(_Parameter):
    """A whole number from `low` to `high`; by powers, or in steps."""

    kind: Literal["int"] = "int"
    low: int
    high: int
    log: bool = False
    step: Positive = 1

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        _require_range(self.low, self.high, log=self.log, stepped=self.step != 1)
        return self

    def points(self) -> Iterator[Any]:
        return iter(range(self.low, self.high + 1, self.step))

    def holds(self, value: Any) -> bool:
        return value in range(self.low, self.high + 1, self.step)


class Choice(_Parameter):
    """One of several values, of any type that a setting has."""

    kind: Literal["choice"] = "choice"
    values: list[Any] = Field(min_length=1)

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len({json.dumps(value) for value in self.values}) < len(self.values):
            raise ValueError("a value stands there twice")
        return self

    def points(self) -> Iterator[Any]:
        return iter(self.values)

    def holds(self, value: Any) -> bool:
        return value in self.values


Parameter = FloatRange | IntRange | Choice


def _require_range(low: float, high: float, *, log: bool, stepped: bool) -> None:
    if low > high:
        raise ValueError(f"low = {low:g} is above high = {high:g}")
    if log and low <= 0:
        raise ValueError(f"low = {low:g} has no logarithm; with log it has to be above 0")
    if log and stepped:
        raise ValueError("a range by powers has no step; leave out one of the two")


def drawn(space: Mapping[str, Parameter], choose: Callable[[str, Parameter], Any]) -> dict[str, Any]:
    """A value of each parameter that there is one of, in the order of the space."""
    values: dict[str, Any] = {}
    for key, parameter in space.items():
        if _is_asked(parameter, values):
            values[key] = choose(key, parameter)
    return values


def _is_asked(parameter: Parameter, values: Mapping[str, Any]) -> bool:
    return all(other in values and values[other] in allowed for other, allowed in parameter.when.items())


def grid(space: Mapping[str, Parameter], *, origin: str) -> list[dict[str, Any]]:
    """Every combination of the space's points, the last parameter's changing first.

    Raises:
        SettingsError: if a range has no steps, or there are too many combinations.
    """

    def combined(before: Iterator[dict[str, Any]], key: str, parameter: Parameter) -> Iterator[dict[str, Any]]:
        for values in before:
            if not _is_asked(parameter, values):
                yield values
                continue
            try:
                yield from ({**values, key: point} for point in parameter.points())
            except ValueError as error:
                raise SettingsError(f"{origin}: {key}: {error}.") from None

    found: Iterator[dict[str, Any]] = iter([{}])
    for key, parameter in space.items():
        found = combined(found, key, parameter)
    points = list(islice(found, _MOST_POINTS + 1))
    if len(points) > _MOST_POINTS:
        raise SettingsError(
            f"{origin}: the grid has more than {count_of(_MOST_POINTS, 'point')}; make steps larger, or draw "
            "with `sampler: tpe`."
        )
    return points


def ends(parameter: Parameter) -> Sequence[Any]:
    """The two ends of a range, all values of a choice: where each can be drawn, so can what lies between."""
    return parameter.values if isinstance(parameter, Choice) else (parameter.low, parameter.high)
