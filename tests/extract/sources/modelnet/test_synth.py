"""The generator of shapes: the same from the same seed, symmetric as it says, with its quirks and mistakes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.errors import OutputExistsError, SettingsError
from weldcache.extract.decode.cloud_files import Mesh, read_cloud_file
from weldcache.extract.decode.cloud_geometry import points_on_surface, turned
from weldcache.extract.sources.modelnet.source import ModelnetSettings, ModelnetSource
from weldcache.extract.sources.modelnet.synth import CLASSES, ShapesGenerator, list_shapes

GENERATOR = ShapesGenerator()


def made(out: Path, *, seed: int = 0, plant: tuple[str, ...] = ()) -> Path:
    plan = GENERATOR.plan_for_size("tiny", seed=seed, plant=plant)
    GENERATOR.generate(out, plan=plan, workers=1, preset=None)
    return out


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set. Not to be changed."""
    return made(tmp_path_factory.mktemp("made") / "shapes")


def test_a_seed_makes_the_same_bytes_and_what_is_lost_is_made_again(
    shapes: Path, tmp_path: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    again = made(tmp_path / "shapes")
    assert contents(again) == contents(shapes)
    (again / "chair/test/chair_0009.off").unlink()
    assert contents(made(again)) == contents(shapes)
    with pytest.raises(OutputExistsError):
        made(again, seed=1)


def test_its_source_reads_every_file_with_its_quirks(shapes: Path) -> None:
    samples = ModelnetSource(ModelnetSettings(root=shapes, copies=1)).samples()
    assert len(samples) == 4 * 14
    texts = [sample.files["points"][0].read_text() for sample in samples]
    assert any(text.startswith("OFF4") or text.startswith("OFF9") for text in texts)
    assert any("\n#" in text for text in texts) and any("\n\n" in text for text in texts)
    assert all(isinstance(read_cloud_file(sample.files["points"][0]), Mesh) for sample in samples)


@pytest.mark.parametrize(("class_name", "symmetry"), [("chair", 1), ("table", 2), ("glass_box", 4), ("cone", 48)])
def test_a_shape_is_as_symmetric_as_its_class(class_name: str, symmetry: int) -> None:
    """Turned by its share of the circle, its surface is in the same places; turned by half of that, it is not."""
    corners, faces = CLASSES[class_name](np.random.default_rng(3))

    def picture(degrees: float) -> np.ndarray:
        places, _, _ = points_on_surface(
            turned(corners, (0.0, 0.0, degrees)), faces, num_points=20_000, generator=np.random.default_rng(0)
        )
        counts, _ = np.histogramdd(places, bins=12, range=[(-1.5, 1.5), (-1.5, 1.5), (0, 2.5)])
        return counts.ravel() / len(places)

    share = 360 / symmetry
    same, other = (float(np.abs(picture(0.0) - picture(angle)).sum()) for angle in (share, share / 2))
    assert same < 0.25 and (symmetry == 48 or other > 2 * same)


def test_planted_mistakes_are_where_they_say(tmp_path: Path) -> None:
    plan = GENERATOR.plan_for_size("tiny", seed=0, plant=("train-in-test", "object-in-two-parts"))
    assert len(list_shapes(plan)) == 4 * (14 + 6)
    root = made(tmp_path / "shapes", plant=("train-in-test", "object-in-two-parts"))
    assert (root / "chair/test/chair_0015.off").read_bytes() == (root / "chair/train/chair_0001.off").read_bytes()
    turned_file, straight = root / "chair/test/chair_0006.off", root / "chair/train/chair_0006.off"
    assert turned_file.read_bytes() != straight.read_bytes()
    with pytest.raises(SettingsError, match="train-in-test"):
        GENERATOR.plan_for_size("tiny", seed=0, plant=("train_in_test",))


@pytest.mark.parametrize(
    ("mistake", "told"),
    [("train-in-test", "between test and train with the same files"), ("object-in-two-parts", "groups of 56 lie in")],
)
def test_the_audit_finds_what_is_planted_and_takes_no_turned_copy_for_it(
    tmp_path: Path, weldcache: Callable[..., Any], mistake: str, told: str
) -> None:
    made(tmp_path / "shapes", plant=(mistake,))
    outcome = weldcache("audit", folder=tmp_path / "shapes")
    assert outcome.code == 1 and told in outcome.out, outcome.out + outcome.err
    assert "within" not in outcome.out
