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
    def points(self) -> list[Any]:
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

    def points(self) -> list[Any]:
        if self.step is None:
            raise ValueError("a grid takes steps: give `step`, or list the values with `kind: choice`")
        count = int((self.high - self.low) / self.step + 1e-9) + 1
        return [self.low + place * self.step for place in range(count)]

    def holds(self, value: Any) -> bool:
        # Fractions are hardly ever drawn twice, but for those of steps.
        return self.step is not None and value in self.points()


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

    def points(self) -> list[Any]:
        return list(range(self.low, self.high + 1, self.step))

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

    def points(self) -> list[Any]:
        return self.values

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
        try:
            points = parameter.points()
        except ValueError as error:
            raise SettingsError(f"{origin}: {key}: {error}.") from None
        for values in before:
            if _is_asked(parameter, values):
                yield from ({**values, key: point} for point in points)
            else:
                yield values

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
