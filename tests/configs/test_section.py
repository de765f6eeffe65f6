"""Sections that a name chooses: what is known then, who wins, and what is said of a name that is not known."""

import json
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from weldcache.configs.explain import explain
from weldcache.configs.layers import Layer, described_faults, laid_over, override_layer, validated
from weldcache.configs.section import (
    ChosenFrom,
    Like,
    Positive,
    Registered,
    Registry,
    Section,
    StoreName,
    fields,
    with_paths,
)
from weldcache.errors import SettingsError


class Photographs(Section):
    kind: Literal["photographs"] = Field("photographs", description="What makes it.")
    blocks: tuple[Positive, ...] = Field((1,), description="Blocks.")
    masks: Path | None = Field(None, description="Where masks are.")


class Sound(Section):
    kind: Literal["sound"] = Field("sound", description="What makes it.")
    seconds: float = Field(1.0, gt=0, description="Length.")


class Foreign:
    class Settings(Section):
        kind: Literal["foreign"] = Field("foreign", description="What makes it.")
        k: Positive = Field(5, description="Neighbours.")


KINDS = Registry(
    "kind of feature",
    key="kind",
    group="toy.kinds",
    shipped={name: Registered(f"toy_kinds:{name.title()}", f"toy_{name}:make") for name in ("photographs", "sound")},
)


class Root(Section):
    features: Mapping[StoreName, Annotated[Section, ChosenFrom(KINDS)]] = Field(
        {"image": Photographs()}, description="Features by name."
    )
    recipe: Annotated[Section, ChosenFrom(KINDS)] = Sound()


@pytest.fixture(autouse=True)
def toy_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("toy_kinds")
    vars(module).update(Photographs=Photographs, Sound=Sound)
    monkeypatch.setitem(sys.modules, "toy_kinds", module)  # toy_photographs and toy_sound are never imported


def resolved(*layers: Mapping[str, Any], overrides: tuple[str, ...] = ()) -> Root:
    values = Root().model_dump(mode="json")
    every = [*(Layer(f"file {number}", dict(layer)) for number, layer in enumerate(layers)), override_layer(overrides)]
    for layer in every:
        values = laid_over(values, layer, Root)
    try:
        return validated(Root, values)
    except ValidationError as error:
        raise SettingsError(described_faults(error, every)) from None


def test_a_named_section_is_changed_by_its_dotted_name_and_keeps_its_kind() -> None:
    settings = resolved({"features": {"image": {"blocks": [2, 4]}}}, overrides=("recipe.seconds=2",))
    assert settings.features["image"] == Photographs(blocks=(2, 4))
    assert settings.recipe == Sound(seconds=2.0)
    assert resolved(overrides=("features.image.blocks=[10,21]",)).features["image"] == Photographs(blocks=(10, 21))


def test_a_second_of_the_same_kind_lies_beside_the_first() -> None:
    settings = resolved(overrides=("features.cells.blocks=[3]", "features.cells.kind=photographs"))
    assert dict(settings.features) == {"image": Photographs(), "cells": Photographs(blocks=(3,))}


def test_another_choice_leaves_nothing_of_the_former_settings() -> None:
    """So that no setting of what is not chosen any more is ignored in silence, or refused as if it were a slip."""
    settings = resolved(
        {"recipe": {"seconds": 3}}, {"recipe": {"kind": "photographs"}}, overrides=("recipe.blocks=[7]",)
    )
    assert settings.recipe == Photographs(blocks=(7,))
    assert resolved({"recipe": {"kind": "photographs", "blocks": [7]}}, {"recipe": {"kind": "sound"}}).recipe == Sound()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["recipe.secnods=2"],
            r"--set recipe.secnods=2: there is no .* Did you mean recipe.seconds",
        ),
        (["recipe.blocks=[2]"], r"there is no setting recipe.blocks"),
        (
            ["recipe.kind=photographs", "recipe.seconds=2"],
            r"--set recipe.seconds=2: there is no setting recipe.seconds",
        ),
        (["recipe.kind=snoud"], r"recipe.kind: there is no kind of feature 'snoud'. Did you mean sound\?"),
        (
            ["features.imgae.blocks=[1]"],
            r"no .*imgae. Did you mean features.image\? .* photographs or sound",
        ),
        (["features.image=3"], r"--set features.image=3: features.image is a section"),
        (
            ["features.image.blocks=[0]"],
            r"--set features.image.blocks=\[0\]: features.image.blocks.0: .* above|greater",
        ),
        (["features.Image.kind=sound"], r"features.Image"),
        (["recipe.seconds.x=1"], r"recipe.seconds: Input should be a valid number"),
    ],
)
def test_what_is_not_known_is_refused_by_name(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        resolved(overrides=tuple(overrides))


def test_a_saved_choice_is_checked_like_the_rest() -> None:
    told = json.loads(resolved(overrides=("recipe.kind=photographs",)).model_dump_json())
    assert Root.model_validate(told).recipe == Photographs()
    for wrong in ({"kind": "photographs", "seconds": 1.0}, {"kind": "none"}, {"seconds": 1.0}, 3):
        with pytest.raises(ValidationError):
            Root.model_validate({"recipe": wrong})
    with pytest.raises(ValidationError, match=r"recipe.blocks"):
        validated(Root, {"recipe": {"kind": "photographs", "blocks": ["1"]}})


def test_settings_are_listed_and_explained_by_what_was_chosen() -> None:
    settings = resolved(overrides=("features.cells.kind=sound",))
    assert [setting.key for setting in fields(settings)] == [
        *(f"features.image.{name}" for name in ("kind", "blocks", "masks")),
        *(f"features.cells.{name}" for name in ("kind", "seconds")),
        *(f"recipe.{name}" for name in ("kind", "seconds")),
    ]
    assert "may be:  photographs or sound\n" in explain("features.cells.kind", settings=settings)
    with pytest.raises(SettingsError, match=r"features.cells.seconds\?"):
        explain("features.cells.second", settings=settings)


def test_paths_are_found_wherever_they_stand() -> None:
    settings = resolved({"features": {"image": {"masks": "a"}}})
    assert with_paths(settings, Path("/x").joinpath).features["image"] == Photographs(masks=Path("/x/a"))


def test_an_installed_package_adds_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    vars(sys.modules["toy_kinds"]).update(Foreign=Foreign)
    installed = EntryPoints([EntryPoint("foreign", "toy_kinds:Foreign", "toy.kinds")])
    monkeypatch.setattr("weldcache.configs.section.installed", lambda group: tuple(installed.select(group=group)))
    assert resolved(overrides=("recipe.kind=foreign", "recipe.k=7")).recipe == Foreign.Settings(k=7)
    assert KINDS.code("foreign") is Foreign


def test_of_a_setting_of_two_kinds_what_is_told_is_of_the_kind_that_was_written() -> None:
    class Named(Section):
        columns: tuple[int, ...] | dict[str, int] = Field((), description="Columns, or names for them.")

    for wrong, places in (([1, "b"], ["columns.1"]), ({"a": "b"}, ["columns.a"]), (7, ["columns", "columns"])):
        with pytest.raises(ValidationError) as fault:
            validated(Named, {"columns": wrong})
        told = described_faults(fault.value, [Layer("a file", {"columns": wrong})]).splitlines()
        assert [line.split(": ")[1] for line in told] == places


def test_a_text_that_is_not_like_what_it_should_be_is_told_in_words_and_not_as_a_pattern() -> None:
    class Placed(Section):
        array: Annotated[str, Like(r"[a-z]+/[a-z]+", "<set>/<array>")] = Field("set/array", description="Where it is.")

    assert validated(Placed, {"array": "video/tokens"}) == Placed(array="video/tokens")
    for wrong in ("video", "video/tokens/", "Video/tokens", "video/tokens\n"):
        with pytest.raises(ValidationError) as fault:
            validated(Placed, {"array": wrong})
        told = described_faults(fault.value, [Layer("a file", {"array": wrong})])
        assert told.startswith("a file: array: ") and "<set>/<array>" in told and "[a-z]" not in told
    with pytest.raises(SettingsError, match="lower-case letters") as error:
        resolved({"features": {"Image 2": {"kind": "photographs"}}})
    assert "[a-z]" not in str(error.value)
    told = explain("array", settings=Placed())
    assert "<set>/<array>" in told and "[a-z]" not in told
