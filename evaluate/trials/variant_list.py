"""Lists of variants that `weldcache bench` compares: YAML, read as strictly as settings are.

    # What the list asks, in one line.
    seeds: [0, 1, 2]
    splits: [official, session_disjoint]    each variant is trained and judged by each; left out: by its own train.split
    pass_over_lacking: true                 a variant whose features the store lacks is passed over, and is no failure
    set: {train.epochs: 50}                 settings of all variants
    variants:
      a name:
        config: stage1                      a preset, or a settings file beside the list
        set: {recipe.gate: false}           settings of this variant
        recorded: {val: 0.9, test: 0.88}    AUROCs (or accuracies) known from elsewhere, shown beside those found here

The first variant is the one that the others are compared with. Later settings win: the folder's own, the variant's
`config`, the list's `set`, the variant's `set`, `--set` on the command line.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from ...configs.layers import Layer, user_path, validated
from ...configs.plain_yaml import parse_yaml, read_text
from ...configs.section import Section, Share
from ...documents import fault_told
from ...errors import NotFoundError, SettingsError
from ...settings import Settings, load_settings, preset_names
from ...wording import count_of, first_of, nearest_hint

_SEED = "train.seed"
_FAULTS_SHOWN = 10


class Recorded(Section):
    """The judge's first figure in an earlier experiment, such as its AUROCs."""

    val: Share | None = None
    test: Share | None = None


class Variant(Section):
    """One entry of a list: what differs from the folder's own settings."""

    config: str | None = None
    settings: dict[str, Any] = Field({}, alias="set")
    recorded: Recorded = Recorded()


class _File(Section):
    """A list's file."""

    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0, 1, 2), min_length=1)
    splits: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    pass_over_lacking: bool = False
    settings: dict[str, Any] = Field({}, alias="set")
    variants: dict[str, Variant] = Field(min_length=1)


@dataclass(frozen=True)
class VariantList:
    """A list of variants.

    Attributes:
        name: of the shipped list, or of the file without its suffix.
        question: what it asks, which is its first line.
        origin: where it was read, for messages.
        folder: files that variants name are meant from here.
        seeds: each variant is trained once with each.
        settings: of all variants, by dotted name.
        variants: by name; the first is what the others are compared with.
        store_splits: splits of the store that each is trained and judged by; none: each by its own setting.
        passes_over_lacking: whether a variant whose features the store lacks is passed over, and is no failure.
    """

    name: str
    question: str
    origin: str
    folder: Path
    seeds: tuple[int, ...]
    settings: Mapping[str, Any]
    variants: Mapping[str, Variant]
    store_splits: tuple[str, ...] = ()
    passes_over_lacking: bool = False

    def told(self, *, with_variants: bool) -> list[str]:
        """What it asks as a line for people, and the names of its variants below."""
        line = f"{self.name:14} {self.question}"
        if not with_variants:
            return [line]
        found = f"{count_of(len(self.variants), 'variant')}, seeds {', '.join(map(str, self.seeds))}"
        return [f"{line} ({found})", *(f"  {name}" for name in self.variants)]

    def as_json(self) -> dict[str, Any]:
        """What it asks, of which variants, as JSON values."""
        return {"question": self.question, "seeds": list(self.seeds), "variants": list(self.variants)}

    def shared(
        self, *, overrides: Sequence[str] = (), folder: Path | None = None, base: Settings | None = None
    ) -> Settings:
        """The settings of no variant in particular; keywords as for `load_settings`.

        Raises:
            SettingsError: if a value is out of range; the message names the list.
        """
        return self._load(None, {}, overrides=overrides, folder=folder, base=base, where=self.origin)

    def resolve(
        self, variant: str, *, overrides: Sequence[str] = (), folder: Path | None = None, base: Settings | None = None
    ) -> Settings:
        """All settings of a variant; keywords as for `load_settings`.

        Raises:
            SettingsError: if a value is out of range; the message names list and variant.
            NotFoundError: if its settings file is not there.
        """
        chosen = self.variants[variant]
        config = chosen.config
        if config is not None and config not in preset_names():
            config = str(self.folder / user_path(config, origin=f"{self.origin}, variant {variant!r}: config"))
        where = f"{self.origin}, variant {variant!r}"
        return self._load(config, chosen.settings, overrides=overrides, folder=folder, base=base, where=where)

    def _load(
        self,
        config: str | None,
        settings: Mapping[str, Any],
        *,
        overrides: Sequence[str],
        folder: Path | None,
        base: Settings | None,
        where: str,
    ) -> Settings:
        try:
            layers = [Layer.of_keys(part, origin="set", folder=self.folder) for part in (self.settings, settings)]
            return load_settings(config, layers=layers, overrides=overrides, folder=folder, base=base)
        except (SettingsError, NotFoundError) as error:
            raise type(error)(f"{where}: {error}") from None


def shipped_lists() -> dict[str, str]:
    """What each shipped list asks, by its name."""
    files = resources.files(__package__).joinpath("lists").iterdir()
    texts = {file.name.removesuffix(".yaml"): file.read_text(encoding="utf-8") for file in files}
    return {name: _question(texts[name]) for name in sorted(texts)}


def load_variant_list(name_or_path: str) -> VariantList:
    """Read a shipped list by its name, or one's own by its path.

    Raises:
        NotFoundError: if it is neither.
        SettingsError: if it is not YAML, has a name that is not known or stands twice, or a value out of range.
    """
    if name_or_path in shipped_lists():
        file = resources.files(__package__).joinpath("lists", f"{name_or_path}.yaml")
        origin = f"list {name_or_path}"
        return _parsed(file.read_text(encoding="utf-8"), name=name_or_path, origin=origin, folder=Path())
    path = user_path(name_or_path, origin="the list")
    if not path.exists() or path.is_dir():
        known = list(shipped_lists())
        raise NotFoundError(
            f"{name_or_path} is neither a file nor a shipped list.{nearest_hint(name_or_path, known)} "
            f"The lists are {', '.join(known)}."
        )
    return _parsed(read_text(path), name=path.stem, origin=str(path), folder=path.absolute().parent)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds as they are written on a command line: `0,1,2`.

    Raises:
        SettingsError: if they are not different whole numbers from 0.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,18}", part) for part in parts) or len({*map(int, parts)}) < len(parts):
        raise SettingsError(f"--seeds {text}: expected different whole numbers such as 0,1,2.")
    return tuple(map(int, parts))


def parse_splits(text: str) -> tuple[str, ...]:
    """Names of splits as they are written on a command line: `official,session_disjoint`.

    Raises:
        SettingsError: if one is empty or stands twice.
    """
    names = tuple(part.strip() for part in text.split(","))
    if not all(names):
        raise SettingsError(f"--splits {text}: expected names of splits such as official,session_disjoint.")
    require_different(names, origin=f"--splits {text}")
    return names


def require_different(names: Sequence[str], *, origin: str) -> None:
    """Refuse a name that stands twice.

    Raises:
        SettingsError: names all of them.
    """
    if len(set(names)) < len(names):
        raise SettingsError(f"{origin}: {', '.join(names)} name one twice.")


def _parsed(text: str, *, name: str, origin: str, folder: Path) -> VariantList:
    values = parse_yaml(text, origin=origin)
    if not isinstance(values, dict):
        raise SettingsError(f"{origin} must hold `variants:` and indented `name: {{set: ...}}` lines.")
    try:
        file = validated(_File, values)
    except ValidationError as error:
        lines = [_fault(fault, origin) for fault in error.errors()]
        raise SettingsError("\n".join(first_of(lines, most=_FAULTS_SHOWN))) from None
    require_different(file.splits, origin=f"{origin}: splits")
    _refuse_undotted(file.settings, origin=origin)
    for variant, entry in file.variants.items():
        _refuse_undotted(entry.settings, origin=f"{origin}, variant {variant!r}")
    if len(set(file.seeds)) < len(file.seeds):
        raise SettingsError(f"{origin}: seeds {list(file.seeds)} name one twice.")
    return VariantList(
        name,
        _question(text),
        origin,
        folder,
        file.seeds,
        file.settings,
        file.variants,
        file.splits,
        file.pass_over_lacking,
    )


def _question(text: str) -> str:
    first = text.partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def _fault(fault: ErrorDetails, origin: str) -> str:
    """One line a fault: file, key, what is wrong, and the nearest key where one is not known."""
    location = [str(part) for part in fault["loc"]]
    if fault["type"] == "extra_forbidden":
        known = {
            1: ["seeds", "splits", "pass_over_lacking", "set", "variants"],
            3: ["config", "set", "recorded"],
            4: ["val", "test"],
        }[len(location)]
        hint = nearest_hint(location[-1], known) or f" There are {', '.join(known)}."
        return f"{origin}: there is no key {'.'.join(location)}.{hint}"
    return fault_told(fault, where=f"{origin}: {'.'.join(location)}")


def _refuse_undotted(settings: Mapping[str, Any], *, origin: str) -> None:
    """Whether a setting is known depends on what the folder says, and is found where a variant is resolved."""
    for key, value in settings.items():
        if key == _SEED:
            raise SettingsError(f"{origin}: {_SEED} is not a variant's to set; a list has `seeds`.")
        if isinstance(value, dict):
            raise SettingsError(f"{origin}: {key} holds settings; give each by its whole name, as {key}.key: value.")
