"""Settings from a preset, the folder's weldcache.yaml, --config and overrides, in that order; the later one wins.

A preset that --config names is laid over all that the folder says, and leaves the rest as it is. So `--config stage1`
in a demo's folder trains stage 1, and nothing else, on the demo's features.

YAML is parsed strictly, here and for lists of variants in `variant_lists`: an unknown name is an error that says where
it stands and what the nearest known name is. Relative paths in a file are meant from that file's folder, those of an
override from the current one.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ..errors import NotFoundError, SettingsError
from .plain_yaml import parse_yaml
from .schema import Settings

FOLDER_FILE = "weldcache.yaml"
DEFAULT_PRESET = "v5"


@dataclass(frozen=True)
class _Layer:
    """Some settings, and where they were written."""

    origin: str
    values: dict[str, Any]


def preset_names() -> list[str]:
    """Names that `--config` knows without a file."""
    return sorted(
        path.name.removesuffix(".yaml")
        for path in resources.files(__package__).iterdir()
        if path.name.endswith(".yaml")
    )


def load_settings(config: str | None = None, *, overrides: Sequence[str] = (), folder: Path | None = None) -> Settings:
    """Resolve settings: preset < `weldcache.yaml` in `folder` (default: the current one) < `config` < overrides.

    `config` is the name of a preset or the path of a YAML file. A file may name the preset that everything builds on
    with a top-level `preset:`. Overrides are written `section.key=value`, the value as YAML.

    Raises:
        SettingsError: if a name is unknown, a value is out of range, or a file is not YAML.
        NotFoundError: if `config` is neither a preset nor a file.
    """
    files = _file_layers(config, folder or Path())
    named = [layer.values.pop("preset") for layer in files if "preset" in layer.values]
    base = _preset_layer(named[-1] if named else DEFAULT_PRESET)
    laid_over = [_preset_layer(config)] if config in preset_names() else []
    layers = [base, *files, *laid_over, *(_override_layer(text) for text in overrides)]
    for layer in layers:
        _refuse_unknown(layer.values, Settings, origin=layer.origin)
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merged(merged, layer.values)
    try:
        return Settings.model_validate(_absolute_paths(Settings.model_validate(merged).model_dump(), Path().absolute()))
    except ValidationError as error:
        raise SettingsError(_describe(error, layers)) from None


def settings_from_file(path: Path) -> Settings:
    """Settings saved with an artefact: complete, so no preset is involved.

    Raises:
        SettingsError: if the file was not written by this version of the schema.
    """
    layer = _Layer(origin=str(path), values=_parse_file(path))
    _refuse_unknown(layer.values, Settings, origin=layer.origin)
    try:
        return Settings.model_validate(layer.values)
    except ValidationError as error:
        raise SettingsError(_describe(error, [layer])) from None


def preset_summary(name: str) -> str:
    """The comment that a preset's file begins with."""
    text = resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return text.partition("\n")[0].lstrip("# ")


def to_yaml(settings: Settings) -> str:
    """The settings as YAML that loads back equal."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def fields(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting with its dotted name, in the order of the schema."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def _preset_layer(name: Any) -> _Layer:
    if name not in preset_names():
        raise SettingsError(f"There is no preset {name!r}; there are {', '.join(preset_names())}.")
    text = resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return _Layer(origin=f"preset {name}", values=parse_yaml(text) or {})


def _file_layers(config: str | None, folder: Path) -> list[_Layer]:
    paths = [folder / FOLDER_FILE] if (folder / FOLDER_FILE).is_file() else []
    if config is not None and config not in preset_names():
        path = Path(config)
        if not path.is_file():
            raise NotFoundError(
                f"--config {config} is neither a file nor a preset; the presets are {', '.join(preset_names())}."
            )
        paths += [] if paths and path.samefile(paths[0]) else [path]
    return [
        _Layer(origin=str(path), values=_absolute_paths(_parse_file(path), path.absolute().parent)) for path in paths
    ]


def _parse_file(path: Path) -> dict[str, Any]:
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(
            f"{path} must hold `section:` and indented `key: value` lines, not a {type(values).__name__}."
        )
    return values


def _absolute_paths(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    result = dict(values)
    for key, field in fields():
        section, _, name = key.partition(".")
        written = values[section].get(name) if isinstance(values.get(section), dict) else None
        if field.annotation is Path and isinstance(written, str | Path):
            result[section] = {**result[section], name: folder / written}
    return result


def _override_layer(text: str) -> _Layer:
    key, separator, value = text.partition("=")
    section, dot, name = key.strip().partition(".")
    if not (separator and dot and name):
        raise SettingsError(f"--set {text}: expected section.key=value, for example --set train.lr=1e-4.")
    try:
        return _Layer(origin=f"--set {text}", values={section: {name: parse_yaml(value)}})
    except yaml.YAMLError:
        raise SettingsError(f"--set {text}: {value!r} is not a YAML value; quote it.") from None


def _refuse_unknown(values: Mapping[str, Any], model: type[BaseModel], *, origin: str, prefix: str = "") -> None:
    for name, value in values.items():
        known = list(model.model_fields)
        if name not in known:
            everywhere = [key for key, _ in fields()] if "." not in str(name) else known
            candidates = [f"{prefix}{key}" for key in known] + everywhere
            raise SettingsError(
                f"{origin}: there is no setting {prefix}{name}.{nearest_hint(f'{prefix}{name}', candidates)}"
            )
        annotation = model.model_fields[name].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if not isinstance(value, dict):
                raise SettingsError(f"{origin}: {prefix}{name} is a section; give its settings as {name}.key.")
            _refuse_unknown(value, annotation, origin=origin, prefix=f"{prefix}{name}.")


def nearest_hint(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]}?" if matches else ""


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = _merged(result[name], value) if both else value
    return result


def _describe(error: ValidationError, layers: Sequence[_Layer]) -> str:
    """One line a fault: where the value was written, which setting, what is wrong with it."""
    return "\n".join(
        _where([str(part) for part in fault["loc"]], layers)
        + str(fault["msg"]).removeprefix("Value error, ")
        + (f", got {fault['input']!r}" if not isinstance(fault["input"], dict | BaseModel) else "")
        for fault in error.errors()
    )


def _where(location: Sequence[str], layers: Sequence[_Layer]) -> str:
    """A setting, and where it was written; nothing for a fault that lies between sections."""
    return f"{_origin(location, layers)}{'.'.join(location)}: " if location else ""


def _origin(location: Sequence[str], layers: Sequence[_Layer]) -> str:
    for layer in reversed(layers):
        section, *names = location[:2]
        values = layer.values.get(section)
        if section in layer.values and (not names or not isinstance(values, dict) or names[0] in values):
            return f"{layer.origin}: "
    return ""
