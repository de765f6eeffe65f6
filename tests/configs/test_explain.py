"""What may be said of a setting is told in words, whatever section holds it."""

import pytest

from weldcache.configs.explain import allowed, explain
from weldcache.configs.section import Registry, choices, entry_choices, inner_section
from weldcache.extract.settings import KINDS, SOURCES
from weldcache.settings import load_settings
from weldcache.train.settings import RECIPES


@pytest.mark.parametrize("registry", [SOURCES, KINDS, RECIPES], ids=lambda registry: registry.noun)
def test_every_setting_of_what_a_name_chooses_is_told(registry: Registry) -> None:
    for name in registry.names:
        section = registry.section(name)
        for key, field in section.model_fields.items():
            if not any((inner_section(field), choices(field), entry_choices(field))):
                assert allowed(section, key), (name, key)


def test_a_choice_of_numbers_is_told() -> None:
    told = explain("recipe.neighbourhood", settings=load_settings(overrides=["recipe.name=patch_memory"]))
    assert "may be:  1, 3 or 5" in told


def test_a_recipe_of_several_is_told_with_its_members() -> None:
    told = explain("recipe", settings=load_settings("match"))
    assert "recipe.folds\n" in told and "recipe.members.match.process\n" in told
