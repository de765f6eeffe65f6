"""Settings from a preset, the folder's weldcache.yaml, --config and overrides, in that order; the later one wins.

A preset that --config names is laid over all that the folder says, and leaves the rest as it is. So `--config stage1`
in a demo's folder trains stage 1, and nothing else, on the demo's features.

Files are read strictly: an unknown name is an error that says where it stands and what the nearest known name is, and
a value is what YAML 1.2 makes of it, neither `true` nor "3" a number. Relative paths in a file are meant from that
file's folder, those of an override from the current one; `~` is the home folder in both.
"""

import difflib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ..documents import fault_told
from ..errors import NotFoundError, SettingsError
from ..wording import brief, first_of, written_path
from .plain_yaml import dump_yaml, parse_value, parse_yaml, read_text
from .schema import Settings

FOLDER_FILE = "weldcache.yaml"
DEFAULT_PRESET = "v5"
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

    @staticmethod
    def of_keys(settings: Mapping[str, Any], *, origin: str, folder: Path) -> "Layer":
        """The layer of settings that are given by their dotted names."""
        values: dict[str, dict[str, Any]] = {}
        for key, value in settings.items():
            section, _, name = key.partition(".")
            values.setdefault(section, {})[name] = value
        return Layer(origin, values, folder)


def preset_names() -> list[str]:
    """Names that `--config` knows without a file."""
    return sorted(
        path.name.removesuffix(".yaml")
        for path in resources.files(__package__).iterdir()
        if path.name.endswith(".yaml")
    )


def load_settings(
    config: str | None = None,
    *,
    layers: Sequence[Layer] = (),
    overrides: Sequence[str] = (),
    folder: Path | None = None,
) -> Settings:
    """Resolve settings: preset < `weldcache.yaml` in `folder` (default: here) < `config` < `layers` < `overrides`.

    `config` is the name of a preset or the path of a YAML file. A file may name the preset that everything builds on
    with a top-level `preset:`. Overrides are written `section.key=value`: text and paths as they are, unless they are
    quoted, and other values as YAML.

    Raises:
        SettingsError: if a name is unknown, a value is out of range, or a file is not YAML.
        NotFoundError: if `config` is neither a preset nor a file.
    """
    files = _file_layers(config, folder or Path())
    named = [layer.values.pop("preset") for layer in files if "preset" in layer.values]
    base = _preset_layer(named[-1] if named else DEFAULT_PRESET)
    laid_over = [_preset_layer(config)] if config in preset_names() else []
    above = [*files, *laid_over, *layers, *(_override_layer(text) for text in overrides)]
    merged: dict[str, Any] = {}
    for layer in [_default_paths(), base, *above]:
        _refuse_unknown(layer.values, Settings, origin=layer.origin)
        merged = _merged(merged, _located(layer))
    return _checked(merged, [base, *above])


def settings_from_file(path: Path) -> Settings:
    """Settings saved with an artefact: complete, so no preset is involved.

    Raises:
        NotFoundError: if there is no such file.
        SettingsError: if the file was not written by this version of the schema.
    """
    layer = Layer(origin=str(path), values=_parse_file(path))
    _refuse_unknown(layer.values, Settings, origin=layer.origin)
    return _checked(layer.values, [layer])


def preset_summary(name: str) -> str:
    """The comment that a preset's file begins with."""
    text = resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return text.partition("\n")[0].lstrip("# ")


def to_yaml(settings: Settings) -> str:
    """The settings as YAML that loads back equal."""
    return dump_yaml(settings.model_dump(mode="json"))


def fields(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting with its dotted name, in the order of the schema."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def validated(model: type[Model], values: Mapping[str, Any]) -> Model:
    """`values` out of a YAML file as a model, without a conversion: as JSON, in which a list may be a tuple and text a
    path, but `true` is no number and "3" none either.

    Raises:
        ValidationError: if a value is not of its type or out of range.
    """
    return model.model_validate_json(json.dumps(values), strict=True)


def _preset_layer(name: Any) -> Layer:
    if name not in preset_names():
        raise SettingsError(f"There is no preset {brief(name)}; there are {', '.join(preset_names())}.")
    text = resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return Layer(origin=f"preset {name}", values=parse_yaml(text, origin=f"preset {name}") or {})


def _file_layers(config: str | None, folder: Path) -> list[Layer]:
    # What is called so and cannot be read is an error there, and not as if there were no such file.
    paths = [folder / FOLDER_FILE] if os.path.lexists(folder / FOLDER_FILE) else []
    if config is not None and config not in preset_names():
        path = user_path(config, origin="--config")
        if not path.exists() or path.is_dir():
            raise NotFoundError(
                f"--config {config} is neither a file nor a preset; the presets are {', '.join(preset_names())}."
            )
        paths += [] if paths and os.path.realpath(path) == os.path.realpath(paths[0]) else [path]
    return [Layer(origin=str(path), values=_parse_file(path), folder=path.absolute().parent) for path in paths]


def _parse_file(path: Path) -> dict[str, Any]:
    values = parse_yaml(read_text(path), origin=str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(
            f"{path} must hold `section:` and indented `key: value` lines, not a {type(values).__name__}."
        )
    return values


def user_path(text: str, *, origin: str) -> Path:
    """A path as a person wrote it, `~` made the home folder.

    Raises:
        SettingsError: if it cannot be one; the message names `origin`.
    """
    try:
        return written_path(text)
    except ValueError as error:
        raise SettingsError(f"{origin}: {brief(text)} is no path: {error}.") from None


def _located(layer: Layer) -> dict[str, Any]:
    """The layer's values with each path, and each model that is a folder, made absolute."""
    if layer.folder is None:
        return layer.values
    result = dict(layer.values)
    for key, field in fields():
        section, _, name = key.partition(".")
        written = result[section].get(name) if isinstance(result.get(section), dict) else None
        if isinstance(written, str) and (field.annotation is Path or name == "model"):
            where = layer.folder / user_path(written, origin=f"{layer.origin}: {key}")
            if field.annotation is Path or _is_path(written, where):
                result[section] = {**result[section], name: str(where)}
    return result


def _is_path(model: str, where: Path) -> bool:
    """Whether a model is meant as a path: written as only a path is, or something is there of that name."""
    if model == "demo" or model.startswith("demo-"):
        return False
    return model.startswith(_PATH_STARTS) or model.count("/") > 1 or "\\" in model or where.exists()


def _default_paths() -> Layer:
    """What nobody has to write, meant from the current folder."""
    paths = {key: str(field.default) for key, field in fields() if field.annotation is Path}
    return Layer.of_keys(paths, origin="the defaults", folder=Path().absolute())


def _override_layer(text: str) -> Layer:
    key, separator, value = (part.strip() for part in text.partition("="))
    section, dot, name = key.partition(".")
    origin = f"--set {text}"
    if text != text.encode(errors="replace").decode():
        raise SettingsError(f"--set {text!a}: it is not UTF-8, which settings are kept in.")
    if not (separator and dot and name):
        raise SettingsError(f"{origin}: expected section.key=value, for example --set train.lr=1e-4.")
    annotation = next((field.annotation for known, field in fields() if known == key), None)
    is_text = annotation in (str, Path) or (annotation == (str | None) and value not in ("", "~", "null"))
    # In YAML a folder called 2024 is a number, and half of `run #3` a comment: text is taken as it is.
    found = value if is_text and value[:1] not in ("'", '"') else parse_value(value, origin=origin)
    return Layer(origin, {section: {name: found}}, Path().absolute())


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


def _checked(values: Mapping[str, Any], layers: Sequence[Layer]) -> Settings:
    try:
        return validated(Settings, values)
    except ValidationError as error:
        raise SettingsError(_describe(error, layers)) from None


def _describe(error: ValidationError, layers: Sequence[Layer]) -> str:
    """One line a fault: where the value was written, which setting, what is wrong with it."""
    lines = [fault_told(fault, where=_where([str(part) for part in fault["loc"]], layers)) for fault in error.errors()]
    return "\n".join(first_of(lines, most=_FAULTS_SHOWN))


def _where(location: Sequence[str], layers: Sequence[Layer]) -> str:
    """A setting, and where it was written; nothing for a fault that lies between sections."""
    return f"{_origin(location, layers)}{'.'.join(location)}" if location else ""


def _origin(location: Sequence[str], layers: Sequence[Layer]) -> str:
    for layer in reversed(layers):
        section, *names = location[:2]
        values = layer.values.get(section)
        if section in layer.values and (not names or not isinstance(values, dict) or names[0] in values):
            return f"{layer.origin}: "
    return ""
