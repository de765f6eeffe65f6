"""The list `field`: it names every recipe that the demo's store can feed, and each of its variants is one of these."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.store import FeatureStore
from weldcache.errors import NotFoundError, SettingsError
from weldcache.evaluate.trials import recommend
from weldcache.evaluate.trials.variant_list import load_variant_list
from weldcache.settings import Settings, load_settings, preset_names
from weldcache.tests.test_docs import ROOT, blocks, command_lines, words_of
from weldcache.tests.toy import index_of
from weldcache.train.data.features import chosen_for, require_features
from weldcache.train.recipes.recipe import Fitted, Trained, make_recipe
from weldcache.train.settings import RECIPES
from weldcache.train.tasks import task_for

DEMO = {
    "video": {"embedding": (16, 320)},
    "image/block_7": {"patch_tokens": (5, 49, 320), "mean": (5, 320), "std": (5, 320)},
    "sensor": {"values": (128, 6)},
    "sound_statistics": {"values": (448,), "tokens": (80, 64)},
    "pixels": {"values": (5, 384)},
    "sensor_statistics": {"values": (43,)},
}
"""What `weldcache extract --config match` makes by the preset `demo`."""
PASSED_OVER = "l2bt on photographs"
"""Of the demo's photographs one block is stored."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    path = tmp_path_factory.mktemp("demo") / "features.zarr"
    index = index_of(keys=["a"], splits=["train"], class_names=["good"], groups=[""], labels=[0], attributes={})
    store = FeatureStore.create(path, index=index)
    for name, arrays in DEMO.items():
        specs = [
            ArraySpec(array, shape, tuple(f"axis_{place}" for place in range(len(shape))), "float32")
            for array, shape in arrays.items()
        ]
        if name in ("image/block_7", "pixels"):
            specs.append(ArraySpec("views_present", (5,), ("view",), "uint8"))
        if name == "sound_statistics":
            specs.append(ArraySpec("tokens_length", (), (), "int32"))
        store.add_feature_set(FeatureSetSpec(name, specs, {}))
    return store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `weldcache synth` leaves one."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "weldcache.yaml").write_text("preset: demo\n")
    return folder


def why_not(settings: Settings, store: FeatureStore) -> str:
    """Why a recipe cannot learn what a usual sample is from this store; "" where it can."""
    try:
        settings = chosen_for(store, settings)
        recipe = make_recipe(settings.recipe)
        if not isinstance(recipe, Trained | Fitted):
            return "it does not learn itself"
        task_for(settings.train, settings.recipe.name, recipe.needs())
        require_features(store, recipe)
    except (NotFoundError, SettingsError) as error:
        return str(error)
    return ""


def test_every_variant_runs_on_the_store_of_the_demo(store: FeatureStore, folder: Path) -> None:
    field = load_variant_list("field")
    assert len(field.variants) >= 25 and field.passes_over_lacking
    for name in field.variants:
        settings = field.resolve(name, folder=folder)
        why = why_not(settings, store)
        assert "no shallower block" in why if name == PASSED_OVER else why == "", name
        assert name.partition(" ")[0] in (settings.recipe.name, *preset_names()), name


@pytest.mark.slow
def test_the_commands_of_the_page_run(
    extracted: Path, copy_of: Callable[[Path], Path], weldcache: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word, for an epoch of one seed and of two draws; the store has no statistics, so half of the field is
    passed over, and so few welds that a variant may have too few neighbours, which costs it alone."""
    monkeypatch.setattr(recommend, "_FEWEST", 2)
    monkeypatch.setattr(recommend, "_DRAWS", 2)
    project = copy_of(extracted)
    text = (ROOT / "docs" / "benches.md").read_text(encoding="utf-8")
    done = []
    for line in command_lines(text):
        for program, *arguments in words_of(line):
            assert program == "weldcache"
            smaller = ["--set", "train.epochs=1", "--seeds", "0"] if arguments[:2] == ["bench", "field"] else []
            outcome = weldcache(*arguments, *smaller, folder=project)
            assert outcome.code in ((0, 1) if smaller else (0,)), outcome.err
            done.append(arguments[0])
    assert done == ["bench", "split", "bench", "recommend", "train", "recommend"]
    document = json.loads((project / "runs/field/table_test_by_official_session_disjoint.json").read_text())
    assert [table["divided_by"] for table in document["leaderboards"]] == ["official", "session_disjoint"]
    for table in document["leaderboards"]:
        assert sum(variant["rank"] is not None for variant in table["variants"]) >= 6
        assert "gaussian on sensors" in table["passed_over"]


def test_the_list_that_the_page_shows_is_one(folder: Path) -> None:
    (shown,) = blocks((ROOT / "docs" / "benches.md").read_text(encoding="utf-8"), "yaml")
    (folder / "half.yaml").write_text(shown)
    variants = load_variant_list(str(folder / "half.yaml"))
    assert variants.store_splits == ("official", "session_disjoint")
    assert [variants.resolve(name, folder=folder).train.epochs for name in variants.variants] == [40] * 3


def test_every_recipe_that_the_demo_can_feed_is_in_it(store: FeatureStore, folder: Path) -> None:
    field = load_variant_list("field")
    named = {field.resolve(name, folder=folder).recipe.name for name in field.variants}
    for name in sorted(set(RECIPES.names) - named):
        try:
            settings = load_settings("demo", overrides=[f"recipe.name={name}", "train.task=anomaly"])
            reason = why_not(settings, store)
        except SettingsError as error:  # one that cannot be had without more settings, such as members
            reason = str(error)
        assert reason, f"{name} is not in field.yaml"


def test_the_table_of_the_field_is_of_its_list_and_made_by_commands_that_are_run_elsewhere() -> None:
    """What a page says of the list; its benches are those that the other page's test runs."""
    text = (ROOT / "docs" / "field.md").read_text(encoding="utf-8")
    variants = load_variant_list("field").variants
    rows = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert sorted(rows) == sorted(name for name in variants if name != PASSED_OVER)
    benches = (ROOT / "docs" / "benches.md").read_text(encoding="utf-8")
    made = {".."}
    for line in command_lines(text):
        for words in words_of(line):
            if words[:2] == ["weldcache", "synth"]:
                made.add(words[2])
            elif words[0] == "cd":
                assert words[1] in made
            else:
                assert line in benches or line == "weldcache extract --config match", line
