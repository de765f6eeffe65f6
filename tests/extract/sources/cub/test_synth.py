"""Synthetic birds: the same for a seed, what their photographs show, and what can be planted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from weldcache.extract.sources.cub.birds import COLOURS, PARTS, Bird, draw_pose, noise_picture, photograph, traits_of
from weldcache.extract.sources.cub.source import CubSettings, CubSource
from weldcache.extract.sources.cub.synth import (
    CubGenerator,
    CubPlan,
    Purpose,
    attribute_ceiling,
    bird_of,
    list_pictures,
    stream,
)
from weldcache.extract.sources.cub.tables import PUBLISHED


def tiny(**changes: Any) -> CubPlan:
    return replace(CubGenerator().plan_for_size("tiny", seed=0, plant=()), **changes)


def test_the_full_size_is_that_of_the_published_data() -> None:
    plan = CubGenerator().plan_for_size("full", seed=0, plant=())
    pictures = list_pictures(plan)
    assert sum(len(trait.values) for trait in plan.traits) == PUBLISHED["attributes"]
    assert len(pictures) == PUBLISHED["pictures"] and len(set(plan.class_names)) == PUBLISHED["classes"]
    assert sum(picture.is_train for picture in pictures) == 5_994
    assert {picture.kind for picture in pictures if picture.is_train} == set(range(200))


def test_a_seed_makes_the_same_whoever_writes_it_and_another_seed_another(
    tmp_path: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    plan = tiny(num_train=6, num_test=6)
    found = []
    for name, each in (("one", plan), ("two", plan), ("other", replace(plan, seed=1))):
        CubGenerator().generate(tmp_path / name, plan=each, workers=2 if name == "two" else 1, preset=None)
        found.append(contents(tmp_path / name))
    assert found[0] == found[1]
    pictures = [name for name in found[0] if name.endswith(".jpg")]
    assert len(pictures) == 12 and all(found[0][name] != found[2][name] for name in pictures)


def test_a_run_that_was_interrupted_is_gone_on_with(
    tmp_path: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    plan = tiny(num_train=6, num_test=6)
    CubGenerator().generate(tmp_path / "data", plan=plan, workers=1, preset=None)
    whole = contents(tmp_path / "data")
    for name in ("synth.json", "attributes.txt", next(name for name in whole if name.endswith(".jpg"))):
        (tmp_path / "data" / name).unlink()
    CubGenerator().generate(tmp_path / "data", plan=plan, workers=1, preset=None)
    assert contents(tmp_path / "data") == whole


def test_a_photograph_shows_the_colours_that_a_bird_has_and_hides_what_is_not_visible() -> None:
    traits = traits_of(list(PARTS), list(COLOURS))
    places = {trait.name: place for place, trait in enumerate(traits)}
    state = np.zeros(len(traits), dtype=np.int64)
    state[places["has_back_color"]] = list(COLOURS).index("red")
    state[places["has_size"]] = 2
    shown = []
    for visible in (True, False):
        seen = np.ones(len(traits), dtype=bool)
        seen[places["has_back_color"]] = visible
        bird = Bird(state, seen, np.zeros(0, np.int8), np.zeros(0, np.int8))
        pose = draw_pose(bird, traits, width=300, height=200, generator=np.random.default_rng(0))
        pixels = photograph(bird, traits, pose, width=300, height=200, generator=np.random.default_rng(1)).astype(int)
        left, top, width, height = pose.box(300, 200)
        assert 0 <= left < left + width <= 300 and 0 <= top < top + height <= 200
        inside = pixels[top : top + height, left : left + width]
        shown.append(np.mean((inside[..., 0] > 130) & (inside[..., 1:].max(axis=-1) < 90)))
    assert shown[0] > 0.02 > 5 * shown[1]


def test_the_class_follows_from_what_a_bird_looks_like_and_not_surely() -> None:
    plan = tiny()
    pictures = list_pictures(plan)
    birds = [bird_of(picture, plan=plan) for picture in pictures]
    assert 0.8 < attribute_ceiling(plan, pictures, birds) < 1
    hidden = np.concatenate([bird.visible for bird in birds])
    assert 0.85 < hidden.mean() < 0.99
    for bird in birds:
        assert (bird.certainty == 1).sum() == sum(
            len(trait.values) for trait, seen in zip(plan.traits, bird.visible, strict=True) if not seen
        )
        assert not bird.present[bird.certainty == 1].any()


def test_readable_attributes_are_those_of_the_class(tmp_path: Path) -> None:
    plan = tiny(num_train=12, num_test=12, plant=("readable-attributes",))
    CubGenerator().generate(tmp_path / "data", plan=plan, workers=1, preset=None)
    samples = CubSource(CubSettings(root=tmp_path / "data")).samples()
    of_class = {(sample.targets["class"], tuple(sample.targets["attributes"])) for sample in samples}
    assert len(of_class) == plan.num_classes == len({attributes for _, attributes in of_class})


def test_random_pictures_are_of_nothing(tmp_path: Path) -> None:
    plan = tiny(num_train=12, num_test=12, plant=("random-pictures",))
    CubGenerator().generate(tmp_path / "data", plan=plan, workers=1, preset=None)
    picture = list_pictures(plan)[3]
    pixels = cv2.imread(str(tmp_path / "data/CUB_200_2011/images" / picture.name))
    drawn = noise_picture(width=80, height=64, generator=stream(plan.seed, Purpose.PHOTOGRAPH, picture.number))
    assert np.abs(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(int) - drawn).mean() < 6


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--confounded"], "--confounded"),
        (["--missing", "0.1", "--damage", "0.1"], "--missing and --damage"),
        (["--plant", "duplicate"], "readable-attributes"),
    ],
)
def test_what_only_other_fields_have_is_refused(
    options: list[str], told: str, weldcache: Callable[..., Any], tmp_path: Path
) -> None:
    outcome = weldcache("synth", "data", "--field", "cub", *options, folder=tmp_path)
    assert outcome.code == 2 and told in outcome.err and not list(tmp_path.iterdir())
