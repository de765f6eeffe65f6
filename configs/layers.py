"""Settings as somebody wrote them, laid over what others wrote: names checked, paths made absolute, faults in words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ..documents import fault_told
from ..errors import SettingsError
from ..wording import brief, first_of, listed, nearest_hint, written_path
from .moved import moved_to
from .place import PATH_TYPES, is_url, place_of
from .plain_yaml import parse_value
from .section import MODEL_WAY, Registry, Section, choices, entry_choices, inner_section

_FAULTS_SHOWN = 10
_PATH_STARTS = ("/", "./", "../", "~", "$")

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Layer:
    """Some settings by section, where they were written, and the folder that their paths are meant from.

    A preset has no folder: its models are ids, and never a folder that happens to be called the same.
    """

    origin: str
    values: dict[str, Any]
    folder: Path | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The dotted names of all that it says; within a value that is a mapping, of what stands there."""
        return tuple(_leaves(self.values))

    @staticmethod
    def of_keys(settings: Mapping[str, Any], *, origin: str, folder: Path) -> "Layer":
        """The layer of settings that are given by their dotted names.

        Raises:
            SettingsError: if one of them is said to be a section and a value.
        """
        values: dict[str, Any] = {}
        for key, value in settings.items():
            *sections, name = key.split(".")
            inner = values
            for section in sections:
                inner = inner.setdefault(section, {})
                if not isinstance(inner, dict):
                    raise SettingsError(f"{origin}: {key} is in {section}, which is given a value itself.")
            if name in inner:
                raise SettingsError(f"{origin}: {key} is given a value, and settings within it too.")
            inner[name] = value
        return Layer(origin, values, folder)


@dataclass(frozen=True)
class _Written:
    """A value of `--set` as it stands there: what it means depends on the setting's type."""

    text: str
    origin: str


def override_layer(overrides: Sequence[str]) -> Layer:
    """All of `--set` as one layer, so that a kind and its settings may be given in any order.

    Raises:
        SettingsError: if one is not `section.key=value`.
    """
    written: dict[str, _Written] = {}
    for text in overrides:
        key, separator, value = (part.strip() for part in text.partition("="))
        if text != text.encode(errors="replace").decode():
            raise SettingsError(f"--set {text!a}: it is not UTF-8, which settings are kept in.")
        if not separator or "." not in key or not all(key.split(".")):
            raise SettingsError(
                f"--set {text}: expected section.key=value, for example --set train.lr=1e-4. "
                "`weldcache config explain lr` says where lr belongs."
            )
        written[key] = _Written(value, origin=f"--set {text}")
    return Layer.of_keys(written, origin="--set", folder=Path().absolute())


def laid_over(below: Mapping[str, Any], layer: Layer, root: type[Section]) -> dict[str, Any]:
    """The settings `below` with those of `layer` instead, as values of `root`.

    Where the layer chooses another section by its name, nothing of the former's settings is left. An entry of a
    mapping, such as a feature, that is said to be null is taken out.

    Raises:
        SettingsError: if a name is not known, or a path cannot be one.
    """
    return _Merge(layer, root).section(below, layer.values, root, prefix="")


@dataclass(frozen=True)
class _Merge:
    """Lays the settings of one layer over those below."""

    layer: Layer
    root: type[Section]

    def section(self, below: Mapping[str, Any], values: Any, section: type[Section], *, prefix: str) -> dict[str, Any]:
        if not isinstance(values, dict):
            raise self._refused(values, f"{prefix[:-1]} is a section; give its settings as {prefix}key.")
        merged = dict(below)
        for name, value in values.items():
            field = section.model_fields.get(name)
            if field is None:
                raise self._unknown(f"{prefix}{name}", value, [f"{prefix}{known}" for known in section.model_fields])
            merged[name] = self._field(below.get(name), value, field, key=f"{prefix}{name}")
        return merged

    def _field(self, below: Any, value: Any, field: FieldInfo, *, key: str) -> Any:
        if (registry := entry_choices(field)) is not None:
            if not isinstance(value, dict):
                raise self._refused(value, f"{key} is a section of sections; give their settings as {key}.NAME.key.")
            entries: dict[str, Any] = dict(below or {})
            for name, entry in value.items():
                if _is_nothing(entry):
                    entries.pop(name, None)
                else:
                    before = entries.get(name, {})
                    entries[name] = self._chosen(before, entry, registry, key=f"{key}.{name}", siblings=entries)
            return entries
        if (registry := choices(field)) is not None:
            return self._chosen(below or {}, value, registry, key=key)
        if (inner := inner_section(field)) is not None:
            return self.section(below or {}, value, inner, prefix=f"{key}.")
        return self._located(_parsed(value, field), field, key=key)

    def _chosen(
        self, below: Mapping[str, Any], value: Any, registry: Registry, *, key: str, siblings: Mapping[str, Any] = {}
    ) -> dict[str, Any]:
        before = below.get(registry.key)
        chosen = value.get(registry.key, before) if isinstance(value, dict) else before
        if chosen is None:
            hint = nearest_hint(key, [f"{key.rpartition('.')[0]}.{name}" for name in siblings])
            raise self._refused(
                value,
                f"there is no setting {key}.{hint} A new {registry.noun} needs {key}.{registry.key}: "
                f"{listed(registry.names, last='or')}.",
            )
        name = _parsed_text(chosen) if isinstance(chosen, _Written) else chosen
        try:
            section = registry.section(name)
        except SettingsError as error:
            raise self._refused(chosen, f"{key}.{registry.key}: {error}") from error
        kept = below if name == before else {same: below[same] for same in registry.kept if same in below}
        return self.section(kept, value, section, prefix=f"{key}.")

    def _located(self, value: Any, field: FieldInfo, *, key: str) -> Any:
        """A path, and a model that is a folder, made absolute; any other value as it is."""
        is_model = key.rpartition(".")[2] == "model"
        is_path = field.annotation in PATH_TYPES
        if is_path and field.annotation is not Path and isinstance(value, str) and is_url(value):
            return str(place_of(value))  # refused here, before any message could quote a secret in it
        if self.layer.folder is None or not isinstance(value, str) or not (is_path or is_model):
            return value
        # A model's name may begin with the way that it is read: hf:FOLDER is a folder, too.
        way = MODEL_WAY.match(value) if is_model and not value.startswith("torch:") else None
        name = value.removeprefix(way[0]) if way else value
        where = self.layer.folder / user_path(name, origin=f"{self.layer.origin}: {key}")
        return f"{way[0] if way else ''}{where}" if is_path or _is_path(name, where) else value

    def _unknown(self, key: str, value: Any, known: Sequence[str]) -> SettingsError:
        if (told := moved_to(_first_key(key, value))) is not None:
            return self._refused(value, told)
        everywhere = [] if "." in key else _static_keys(self.root)
        return self._refused(value, f"there is no setting {key}.{nearest_hint(key, [*known, *everywhere])}")

    def _refused(self, value: Any, why: str) -> SettingsError:
        written = _first_leaf(value)
        return SettingsError(f"{written.origin if isinstance(written, _Written) else self.layer.origin}: {why}")


def validated(model: type[Model], values: Mapping[str, Any]) -> Model:
    """`values` out of a YAML file as a model, without a conversion: as JSON, in which a list may be a tuple and text a
    path, but `true` is no number and "3" none either.

    Raises:
        ValidationError: if a value is not of its type or out of range.
    """
    return model.model_validate_json(json.dumps(values), strict=True)


def described_faults(error: ValidationError, layers: Sequence[Layer]) -> str:
    """One line a fault: where the value was written, which setting, what is wrong with it.

    Of a setting that may be a list or a mapping both kinds are tried, and what is told is of the kind that was written.
    """
    faults = [([str(part) for part in fault["loc"]], fault) for fault in error.errors()]
    meant = {_setting(place) for place, _ in faults if not _is_kind(place[-1:])}
    lines = [
        fault_told(fault, where=_where([part for part in place if not _is_kind([part])], layers))
        for place, fault in faults
        if not (_is_kind(place[-1:]) and _setting(place) in meant)
    ]
    return "\n".join(first_of(lines, most=_FAULTS_SHOWN))


def _is_kind(place: Sequence[str]) -> bool:
    """Whether a place in a value is none, but how pydantic calls one of the kinds that the value may be of."""
    return any(part.startswith(("tuple[", "dict[")) for part in place)


def _setting(place: Sequence[str]) -> tuple[str, ...]:
    """What lies above the kind of a value, of a setting that may be of several."""
    return tuple(takewhile(lambda part: not _is_kind([part]), place))


def user_path(text: str, *, origin: str) -> Path:
    """A path as a person wrote it, `~` made the home folder.

    Raises:
        SettingsError: if it cannot be one; the message names `origin`.
    """
    try:
        return written_path(text)
    except ValueError as error:
        raise SettingsError(f"{origin}: {brief(text)} is no path: {error}.") from None


def _parsed(value: Any, field: FieldInfo) -> Any:
    if isinstance(value, dict):
        return {name: _parsed(inner, field) for name, inner in value.items()}
    if not isinstance(value, _Written):
        return value
    nothing = field.annotation == (str | None) and _is_nothing(value)
    is_text = field.annotation in (str, *PATH_TYPES, str | None) and not nothing
    return _parsed_text(value) if is_text else parse_value(value.text, origin=value.origin)


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, _Written) and value.text in ("", "~", "null"))


def _parsed_text(written: _Written) -> Any:
    """Text as it is, unless it is quoted: in YAML a folder called 2024 is a number, and half of `run #3` a comment."""
    quoted = written.text[:1] in ("'", '"')
    return parse_value(written.text, origin=written.origin) if quoted else written.text


def _is_path(model: str, where: Path) -> bool:
    """Whether a model is meant as a path: written as only a path is, or something is there of that name."""
    if model == "demo" or model.startswith(("demo-", "weights:")):
        return False
    return model.startswith(_PATH_STARTS) or model.count("/") > 1 or "\\" in model or where.exists()


def _first_key(key: str, value: Any) -> str:
    """The dotted name of the first setting in `value`, which stands under `key`."""
    while isinstance(value, dict) and value:
        name, value = next(iter(value.items()))
        key = f"{key}.{name}"
    return key


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _first_leaf(value: Any) -> Any:
    while isinstance(value, dict) and value:
        value = next(iter(value.values()))
    return value


def _static_keys(section: type[Section], prefix: str = "") -> list[str]:
    """Dotted names of all settings that are there whatever is chosen."""
    keys = []
    for name, field in section.model_fields.items():
        inner = inner_section(field)
        keys += [f"{prefix}{name}"] if inner is None else _static_keys(inner, f"{prefix}{name}.")
    return keys


def _where(location: Sequence[str], layers: Sequence[Layer]) -> str:
    """A setting, and where it was written; nothing for a fault that lies between sections."""
    if not location:
        return ""
    origins = (_origin(location, layer) for layer in reversed(layers))
    origin = next((found for found in origins if found is not None), None)
    return f"{'' if origin is None else f'{origin}: '}{'.'.join(location)}"


def _origin(location: Sequence[str], layer: Layer) -> str | None:
    """Where a layer says something of the setting at `location`; None where it does not."""
    value: Any = layer.values
    for part in location:
        if not isinstance(value, dict):
            break  # a place within the value
        if part not in value:
            return None
        value = value[part]
    value = _first_leaf(value)
    return value.origin if isinstance(value, _Written) else layer.origin
