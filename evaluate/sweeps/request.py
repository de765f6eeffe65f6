"""What a sweep asks: a space of settings in YAML, read as strictly as settings are, or ranges from a command line.

    # Which pace and which dropout suit the head?
    trials: 40                  # how many settings are tried
    sampler: tpe                # tpe learns from former trials; random; grid tries every combination
    pruner: median              # what ends a trial early: median, hyperband or none
    storage: postgresql://me@host/sweeps   # a database that several machines share; a journal in its folder without
    seeds: 3                    # seeds that the best trial is retrained with, to be judged on test; 0: it is not
    set: {train.epochs: 30}     # settings of all trials
    space:
      train.lr: {kind: float, low: 1.0e-5, high: 1.0e-2, log: true}
      recipe.num_layers: {kind: int, low: 1, high: 4}
      recipe.sensor_encoder: {kind: choice, values: [mamba, gru]}
      recipe.sensor_hidden: {kind: int, low: 16, high: 64, step: 16, when: {recipe.sensor_encoder: [mamba]}}

A setting with `when` is drawn only where those above it were drawn so; elsewhere it stays as it is.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from ...configs.layers import Layer, user_path, validated
from ...configs.plain_yaml import parse_value, parse_yaml, read_text
from ...configs.section import Positive, Section, fields
from ...documents import fault_told
from ...errors import NotFoundError, SettingsError
from ...settings import Settings, load_settings
from ...train.fit import require_read
from ...wording import brief, first_of, with_extra
from .space import Choice, FloatRange, IntRange, Parameter, drawn, ends, grid

Sampler = Literal["tpe", "random", "grid"]
Pruner = Literal["median", "hyperband", "none"]

_SECTIONS = ("recipe.", "train.")  # what else is set decides what is learned from, or how it is judged
_OF_ALL = frozenset(
    {"task", "monitor", "split", "device", "loading", "loggers", "checkpoint_seconds", "precision", "compile"}
)
_DECADE = 10.0  # a quick range that spans it is searched by powers
_FAULTS_SHOWN = 10


class _File(Section):
    """A sweep's file."""

    trials: Positive = 30
    sampler: Sampler = "tpe"
    pruner: Pruner = "median"
    seeds: int = Field(3, ge=0, le=100)
    storage: str | None = None
    settings: dict[str, Any] = Field({}, alias="set")
    space: dict[str, Annotated[Parameter, Field(discriminator="kind")]] = Field({})


@dataclass(frozen=True)
class SweepRequest:
    """What a sweep asks.

    Attributes:
        name: its folder in that of the runs.
        question: what it asks, which is the first line of its file.
        origin: where it was read, for messages.
        folder: files that its settings name are meant from here.
        seeds: how many the best trial is retrained with.
        storage: URL of the database that keeps the trials; None: a journal in the sweep's folder does.
        settings: of all trials, by dotted name.
        space: what is drawn, by the setting's dotted name, in the order in which it is drawn.
    """

    name: str
    question: str
    origin: str
    folder: Path
    trials: int
    sampler: Sampler
    pruner: Pruner
    seeds: int
    storage: str | None
    settings: Mapping[str, Any]
    space: Mapping[str, Parameter]


def require_optuna() -> None:
    """Refuse to sweep where the library that draws is not installed.

    Raises:
        SettingsError: names the extra.
    """
    if find_spec("optuna") is None:
        raise SettingsError(f"A sweep draws with Optuna, which is not installed: {with_extra('sweep')}.")


def load_request(
    path: str | None, *, name: str | None = None, trials: int | None = None, storage: str | None = None
) -> SweepRequest:
    """Read a sweep's file; without one there is no space yet. `name`, `trials`, `storage` win over what it says.

    Raises:
        NotFoundError: if there is no such file.
        SettingsError: if it is not YAML, or has a name that is not known or a value out of range.
    """
    if path is None:
        request = _parsed({}, name="sweep", question="", origin="--sweep", folder=Path().absolute())
    else:
        file = user_path(path, origin="the sweep")
        if not file.exists() or file.is_dir():
            raise NotFoundError(f"There is no file {path}. A sweep's space is written in one, or given with --sweep.")
        text, origin = read_text(file), str(file)
        values = parse_yaml(text, origin=origin)
        if not isinstance(values, dict):
            raise SettingsError(f"{origin} must hold `space:` and indented `setting: {{kind: ...}}` lines.")
        first = text.partition("\n")[0]
        question = first.lstrip("# ") if first.startswith("#") else ""
        request = _parsed(values, name=file.stem, question=question, origin=origin, folder=file.absolute().parent)
    return replace(
        request,
        name=name or request.name,
        trials=trials or request.trials,
        storage=storage or request.storage,
    )


def _parsed(values: Mapping[str, Any], *, name: str, question: str, origin: str, folder: Path) -> SweepRequest:
    try:
        file = validated(_File, values)
    except ValidationError as error:
        lines = [fault_told(fault, where=f"{origin}: {'.'.join(map(str, fault['loc']))}") for fault in error.errors()]
        raise SettingsError("\n".join(first_of(lines, most=_FAULTS_SHOWN))) from None
    return SweepRequest(
        name=name,
        question=question,
        origin=origin,
        folder=folder,
        trials=file.trials,
        sampler=file.sampler,
        pruner=file.pruner,
        seeds=file.seeds,
        storage=file.storage,
        settings=file.settings,
        space=file.space,
    )


def with_quick(request: SweepRequest, quick: Sequence[str], *, settings: Settings) -> SweepRequest:
    """The request with ranges of a command line in its space too: `KEY=low..high`, or `KEY=a,b,c`.

    Where the setting holds a number with a fraction in `settings`, so does the range; one whose end is ten times its
    beginning or more is searched by powers.

    Raises:
        SettingsError: if one is not written so.
    """
    now = {setting.key: setting.told for setting in fields(settings)}
    space = dict(request.space)
    named: set[str] = set()
    for text in quick:
        key, separator, values = (part.strip() for part in text.partition("="))
        if not (separator and key and values):
            raise SettingsError(f"--sweep {text}: expected KEY=low..high or KEY=a,b,c, such as train.lr=1e-5..1e-2.")
        if key in named:
            raise SettingsError(f"--sweep {text}: {key} is given twice; leave out one of the two.")
        named.add(key)
        try:
            space[key] = _quick(values, now.get(key), origin=f"--sweep {text}")
        except ValidationError as error:
            raise SettingsError(f"--sweep {text}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return replace(request, space=space)


def _quick(text: str, now: Any, *, origin: str) -> Parameter:
    written = re.fullmatch(r"(\S+?)\.\.(\S+)", text)
    if written is None:
        return Choice(values=[parse_value(part.strip(), origin=origin) for part in _apart(text)])
    low, high = (parse_value(end, origin=origin) for end in written.groups())
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high)):
        raise SettingsError(f"{origin}: {text} are not two numbers.")
    log = low > 0 and high / low >= _DECADE
    whole = isinstance(low, int) and isinstance(high, int) and not isinstance(now, float)
    return IntRange(low=low, high=high, log=log) if whole else FloatRange(low=low, high=high, log=log)


def _apart(text: str) -> Iterator[str]:
    """The values between commas, but for commas within brackets or braces."""
    depth = start = 0
    for place, character in enumerate(text):
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]


def settings_of(base: Settings, values: Mapping[str, Any], *, origin: str) -> Settings:
    """All settings of a trial.

    Raises:
        SettingsError: if a name is not known, a value out of range, or the recipe does not read one.
    """
    settings = load_settings(layers=[Layer.of_keys(values, origin=origin, folder=Path().absolute())], base=base)
    require_read(settings, tuple(values))
    return settings


def require_sense(request: SweepRequest, base: Settings, *, overrides: Sequence[str]) -> None:
    """Refuse a space that could not be tried: with each end of each range, and each choice, there have to be settings.

    Raises:
        SettingsError: names the parameter.
    """
    if not request.space:
        raise SettingsError(f"{request.origin}: there is no setting to draw. Name some under `space`, or with --sweep.")
    if request.sampler == "grid":
        grid(request.space, origin=request.origin)
    above: dict[str, Parameter] = {}
    for key, parameter in request.space.items():
        where = f"{request.origin}: {key}"
        _require_swept(key, request, overrides=overrides, where=where)
        _require_met(parameter, above, where=where)
        above[key] = parameter
        for value in ends(parameter):
            _require_settings(request, key, value, base)


def _require_swept(key: str, request: SweepRequest, *, overrides: Sequence[str], where: str) -> None:
    section, _, name = key.partition(".")
    if not key.startswith(_SECTIONS) or (section == "train" and name in _OF_ALL):
        raise SettingsError(
            f"{where} cannot be drawn: trials are compared on one store by one figure, so that only what is learned "
            "(recipe.*) and how (train.*) may differ."
        )
    if key in request.settings or any(text.partition("=")[0].strip() == key for text in overrides):
        raise SettingsError(f"{where} is drawn, and set for all trials too; leave out one of the two.")


def _require_met(parameter: Parameter, above: Mapping[str, Parameter], *, where: str) -> None:
    """Each value that `when` asks for has to be one that can be drawn, or the setting would stay as it is unnoticed."""
    for other, allowed in parameter.when.items():
        if other not in above:
            raise SettingsError(f"{where}: `when` asks for {other}, which does not stand above it in the space.")
        if not allowed:
            raise SettingsError(f"{where}: `when` names no value of {other}; list some, or leave {other} out of it.")
        if strange := [value for value in allowed if not above[other].holds(value)]:
            raise SettingsError(
                f"{where}: `when` asks for {other} = {brief(strange[0])}, which is never drawn; take a value that the "
                "space holds."
            )


def least(request: SweepRequest, base: Settings) -> Settings:
    """The settings with the first value of each parameter that there is one of then."""
    values = drawn(request.space, lambda _, parameter: ends(parameter)[0])
    return settings_of(base, values, origin=request.origin)


def _require_settings(request: SweepRequest, key: str, value: Any, base: Settings) -> None:
    """Refuse a value with which, and with the least of everything else, there are no settings.

    Raises:
        SettingsError: names the parameter, unless the others are at fault without it just so.
    """
    wanted = {key: value}  # and what that takes to be asked for
    for other in reversed(list(request.space)):
        if other in wanted:
            wanted |= {above: allowed[0] for above, allowed in request.space[other].when.items() if allowed}
    values = drawn(request.space, lambda name, parameter: wanted.get(name, ends(parameter)[0]))
    fault = _fault_of(values, base, origin=request.origin)
    if fault and fault == _fault_of(
        {name: values[name] for name in values if name != key}, base, origin=request.origin
    ):
        raise SettingsError(fault)
    if fault:
        raise SettingsError(f"{request.origin}: {key}: with {key} = {brief(value)} there are no settings: {fault}")


def _fault_of(values: Mapping[str, Any], base: Settings, *, origin: str) -> str:
    """What is wrong with the settings of a trial; "" where they are in order."""
    try:
        settings_of(base, values, origin=origin)
    except SettingsError as error:
        return str(error)
    return ""
