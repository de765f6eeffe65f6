"""What settings are made of: sections, the types that their fields share, and sections that a name chooses.

A section that is chosen by name (`recipe: {name: nearest, k: 5}`, `features: {image: {kind: photographs}}`) is one of a
registry's. Only the chosen one's settings are known then, and every other is an error, so that none is ignored.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ..errors import SettingsError
from ..wording import brief, listed, nearest_hint


@dataclass(frozen=True)
class Like:
    """Marks a text that must match `pattern` as a whole; people are told `words` and never the pattern."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "like": self.words}

    def _checked(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise PydanticCustomError("like", "Input should be like {words}", {"words": self.words})
        return text


@dataclass(frozen=True)
class NumberOrName:
    """Marks a whole number above 0, or else a name: what is written as a number is one, and is told as one."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            self._checked,
            core_schema.int_schema(gt=0),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string"}]}

    def _checked(self, value: Any, number: core_schema.ValidatorFunctionWrapHandler) -> int | str:
        is_name = isinstance(value, str) and value != "" and not value.isdecimal()
        checked: int | str = value if is_name else number(value)
        return checked


Positive = Annotated[int, Field(gt=0)]
Block = Annotated[int | str, NumberOrName()]
Width = Annotated[int, Field(gt=0, le=16_384)]  # of a layer; a stranger's run must not ask for any amount of memory
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[float, Field(gt=0, le=1e30)]  # well within float32
Device = Annotated[str, Like(r"auto|cpu|mps|cuda(:[0-9]+)?", "auto, cpu, mps, cuda or cuda:1")]
Rectangle = Annotated[
    tuple[Share, Share, Share, Share], Field(description="Left, top, right and bottom as shares of width and height.")
]
ModelName = Annotated[
    str,
    Field(
        description="Hugging Face id, local folder (in a file, relative to it), `weights:NAME` for what `weldcache "
        "weights` fetches, or `demo` for a tiny model with random weights (`demo-dinov2`: the tiny DINOv2, for "
        "photographs and frames). For photographs and frames also any other model: `hf:ID_OR_FOLDER` of transformers, "
        "`timm:NAME`, `onnx:FILE`, or `torch:NAME` of an installed package. "
        "The hub is asked for other publishers' models than the presets' only with a revision."
    ),
]
MODEL_WAY = re.compile(
    r"(hf|timm|onnx|torch):"
)  # what a model's name begins with that is read in another way than by its family
Triple = tuple[float, float, float]
PlainName = Annotated[
    str, Field(max_length=100), Like(r"[a-z][a-z0-9_]*", "image_2: lower-case letters, digits and underscores")
]
StoreName = Annotated[PlainName, Field(description="Name of a feature in the store.")]

AnySection = TypeVar("AnySection", bound="Section")


class Section(BaseModel):
    """A group of settings: immutable, and an unknown name in it is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Registered:
    """A section and what is made of it, each as `module:name`: neither is imported before it is asked for."""

    section: str
    code: str


@cache
def installed(group: str) -> tuple[EntryPoint, ...]:
    """What installed packages add to `group`; looked for once, which takes as long as a package has files."""
    return tuple(entry_points(group=group))


class Named:
    """What a name chooses: the code that is shipped, and that of installed packages.

    A package adds some by an entry point in `group`. Only what is installed is ever imported, and only once it is
    chosen: no file of settings names a module.
    """

    def __init__(self, noun: str, *, group: str, shipped: Mapping[str, str]) -> None:
        """`noun` is what messages call one of them; `shipped` is `module:name` by name."""
        self.noun = noun
        self._group = group
        self._shipped = shipped

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the shipped ones first."""
        return tuple(dict.fromkeys([*self._shipped, *(point.name for point in installed(self._group))]))

    def code(self, name: object) -> Any:
        """What `name` chooses.

        Raises:
            SettingsError: if there is none, which lists those there are; if two packages have it; if it cannot be
                imported.
        """
        point = self._point(name)
        return imported(self._shipped[str(name)]) if point is None else self._loaded(point)

    def checked(self, name: str) -> str:
        """The name, if it chooses something; raises as `code`, and imports nothing."""
        self._point(name)
        return name

    def _point(self, name: object) -> EntryPoint | None:
        """The entry point of an installed package, or None for what is shipped."""
        points = [point for point in installed(self._group) if point.name == name]
        owners = [*(["weldcache itself"] if name in self._shipped else []), *map(_package, points)]
        if len(owners) > 1:
            raise SettingsError(
                f"the {self.noun} {brief(name)} is offered by {listed(owners)}, so that the name does not say which is "
                f"meant. Remove one: pip uninstall {_package(points[-1])}."
            )
        if not owners:
            hint = nearest_hint(str(name), self.names)
            raise SettingsError(
                f"there is no {self.noun} {brief(name)}.{hint} There are {listed(self.names)}; others come with the "
                "package that has them, once it is installed"
            )
        return points[0] if points else None

    def _loaded(self, point: EntryPoint) -> Any:
        try:
            return point.load()
        except Exception as error:  # whatever a stranger's module raises
            raise self._broken(point, f"cannot be imported ({type(error).__name__}: {error})") from error

    def _broken(self, point: EntryPoint, why: str) -> SettingsError:
        package = _package(point)
        return SettingsError(
            f"the {self.noun} {brief(point.name)} of the package {package} {why}. Mend or update it, or remove it: "
            f"pip uninstall {package}."
        )


class Registry(Named):
    """Sections by the name that chooses them, and what is made of each.

    A package's entry point names what is made of the section; the section is its attribute `Settings`.
    """

    def __init__(
        self,
        noun: str,
        *,
        key: str,
        group: str,
        shipped: Mapping[str, Registered],
        base: type[Section] = Section,
        kept: Collection[str] = (),
    ) -> None:
        """`key` is the setting that holds the name, `base` what every section extends; settings in `kept` are every
        section's, and stay when another one is chosen."""
        super().__init__(noun, group=group, shipped={name: each.code for name, each in shipped.items()})
        self.key = key
        self.kept = kept
        self._base = base
        self._sections = {name: each.section for name, each in shipped.items()}

    def section(self, name: object) -> type[Section]:
        """The section that `name` chooses; raises as `code`."""
        point = self._point(name)
        if point is None:
            shipped: type[Section] = imported(self._sections[str(name)])
            return shipped
        found = getattr(self._loaded(point), "Settings", None)
        if not (isinstance(found, type) and issubclass(found, self._base)):
            base = f"{self._base.__module__}.{self._base.__qualname__}"
            raise self._broken(point, f"has no class `Settings` that extends {base}")
        return found


@dataclass(frozen=True)
class ChosenFrom:
    """Marks a field, or the values of a mapping, as a section that is chosen from a registry."""

    registry: Registry

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        plain = core_schema.no_info_plain_validator_function
        return core_schema.json_or_python_schema(json_schema=plain(self._from_json), python_schema=plain(self._checked))

    def _from_json(self, value: Any) -> Section:
        return self._section(value).model_validate_json(json.dumps(value), strict=True)

    def _checked(self, value: Any) -> Section:
        return value if isinstance(value, Section) else self._section(value).model_validate(value)

    def _section(self, value: Any) -> type[Section]:
        if not isinstance(value, Mapping) or self.registry.key not in value:
            raise ValueError(f"{self.registry.key} is missing; there are {listed(self.registry.names)}")
        return self.registry.section(value[self.registry.key])


@dataclass(frozen=True)
class Setting:
    """One setting of a section: its dotted name, and where it stands.

    `registry` is what the section was chosen from, None where it was not.
    """

    key: str
    section: Section
    name: str
    registry: Registry | None

    @property
    def field(self) -> FieldInfo:
        """Its help, type and default."""
        return type(self.section).model_fields[self.name]

    @property
    def told(self) -> Any:
        """Its value, as JSON has it."""
        return self.section.model_dump(mode="json", include={self.name})[self.name]


def fields(section: Section, prefix: str = "", *, registry: Registry | None = None) -> Iterator[Setting]:
    """Every setting of `section` and of those within it, in their order."""
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), f"{prefix}{name}"
        if isinstance(value, Section):
            yield from fields(value, f"{key}.", registry=choices(field))
        elif (each := entry_choices(field)) is not None:
            for entry, inner in value.items():
                yield from fields(inner, f"{key}.{entry}.", registry=each)
        else:
            yield Setting(key, section, name, registry)


def inner_section(field: FieldInfo) -> type[Section] | None:
    """The section that a field always holds; None for another field."""
    found = field.annotation
    return found if isinstance(found, type) and issubclass(found, Section) and choices(field) is None else None


def choices(field: FieldInfo) -> Registry | None:
    """What a field's section is chosen from; None for another field."""
    return _marked(field.metadata)


def entry_choices(field: FieldInfo) -> Registry | None:
    """What each section of a mapping is chosen from; None for another field."""
    if get_origin(field.annotation) is not Mapping:
        return None
    return _marked(get_args(get_args(field.annotation)[1]))


def with_paths(section: AnySection, change: Callable[[Path], Path]) -> AnySection:
    """The section with every path in it, and in those within it, replaced."""

    def changed(value: Any) -> Any:
        if isinstance(value, Path):
            return change(value)
        if isinstance(value, Section):
            return with_paths(value, change)
        return {name: changed(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value

    return section.model_copy(update={name: changed(value) for name, value in section})


def _marked(metadata: Any) -> Registry | None:
    return next((mark.registry for mark in metadata if isinstance(mark, ChosenFrom)), None)


def _package(point: EntryPoint) -> str:
    return point.module if point.dist is None else point.dist.name


def imported(where: str) -> Any:
    """What code, and never a file of settings, names as `module:name`."""
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)
