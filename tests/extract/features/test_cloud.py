"""Point clouds as features: the contract of kinds; what is drawn, padded, turned and labelled; targets of points."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from weldcache.cache.store import FeatureStore
from weldcache.cache.targets import LABEL, TargetSpec
from weldcache.errors import DecodeError, SettingsError
from weldcache.extract import request
from weldcache.extract.features.cloud import CloudEncoder, CloudReader
from weldcache.extract.features.kind import Encoder
from weldcache.extract.features.settings import CloudSettings
from weldcache.extract.pipeline import extract
from weldcache.extract.sources.source import Sample
from weldcache.settings import Settings
from weldcache.testing.features import FeatureKindContract
from weldcache.train.data.features import FeatureReader, require_features
from weldcache.train.recipes.recipe import Recipe
from weldcache.train.types import FeatureRequest, Needs

BOX = "OFF8 6 0\n" + "".join(f"{x} {y} {z}\n" for x in (0, 4) for y in (0, 2) for z in (0, 1))
BOX += "4 0 1 3 2\n4 4 6 7 5\n4 0 4 5 1\n4 2 3 7 6\n4 0 2 6 4\n4 1 5 7 3\n"
LEVELS = {"centres": [16, 4], "radii": [0.5, 1.0], "neighbours": [8, 4]}


def sample_of(path: Path, *, labels: Path | None = None, key: str = "a", rotation: tuple[float, ...] = ()) -> Sample:
    files = {"points": (path,)} | ({} if labels is None else {"labels": (labels,)})
    return Sample(key, "train", key, files, vectors={"points": rotation} if rotation else {})


def read(sample: Sample, **settings: object) -> dict[str, NDArray[np.generic]]:
    prepared = CloudEncoder("cloud", CloudSettings.model_validate(settings)).reader(sample)
    return {name: tensor.numpy() for name, tensor in prepared.tensors.items()}


@pytest.fixture
def cloud(tmp_path: Path) -> Path:
    """Forty points, of which the third column counts them."""
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    values[:, 2] = np.arange(40)
    np.save(tmp_path / "cloud.npy", values)
    return tmp_path / "cloud.npy"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    np.save(tmp_path / "labels.npy", 100 + np.arange(40))
    return tmp_path / "labels.npy"


class TestContract(FeatureKindContract):
    def encoder(self, root: Path) -> Encoder:
        settings = {"num_points": 32, "surface_points": 64, "labels": "labels", **LEVELS}
        return CloudEncoder("cloud", CloudSettings.model_validate(settings))

    def samples(self, root: Path) -> Sequence[Sample]:
        """A cloud of few points with labels, and one of many without."""
        rng = np.random.default_rng(0)
        for name, num in (("few", 12), ("many", 90)):
            np.save(root / f"{name}.npy", rng.normal(size=(num, 3)))
        np.save(root / "labels.npy", np.arange(12))
        few, many = (sample_of(root / f"{name}.npy", key=name) for name in ("few", "many"))
        return [replace(few, files={**few.files, "labels": (root / "labels.npy",)}), many]


@pytest.mark.parametrize("sampling", ["all", "random", "farthest"])
def test_each_stored_point_is_told_by_its_place_in_the_file_and_so_is_its_label(
    cloud: Path, labels: Path, sampling: str
) -> None:
    num = 40 if sampling == "all" else 25
    found = read(sample_of(cloud, labels=labels), num_points=num, sampling=sampling, normalise="none", labels="labels")
    assert found["points_length"] == num and len(set(found["index"].tolist())) == num
    np.testing.assert_array_equal(found["points"], np.load(cloud)[found["index"]])
    assert found["labels"].tolist() == (100 + found["index"]).tolist()


@pytest.mark.parametrize("sampling", ["all", "random", "farthest"])
def test_padding_is_nan_and_never_a_neighbour_and_more_of_it_changes_nothing(cloud: Path, sampling: str) -> None:
    small, large = (read(sample_of(cloud), num_points=num, sampling=sampling, **LEVELS) for num in (40, 64))
    assert large["points_length"] == 40 and np.isnan(large["points"][40:]).all() and (large["index"][40:] == -1).all()
    np.testing.assert_array_equal(large["points"][:40], small["points"])
    for name in ("order", "neighbours_1", "neighbours_2"):
        np.testing.assert_array_equal(large[name], small[name])
    assert large["order"].max() < 40 and large["neighbours_1"].max() < 40 and large["neighbours_2"].max() < 16
    assert large["neighbours_1"].min() >= 0


def test_a_drawn_cloud_follows_from_seed_and_key(cloud: Path) -> None:
    def drawn(key: str, seed: int = 0) -> list[int]:
        found = read(sample_of(cloud, key=key), num_points=10, sampling="random", seed=seed)
        return list(found["index"].tolist())

    assert drawn("a") == drawn("a")
    assert drawn("a") != drawn("b") and drawn("a") != drawn("a", seed=1)


def test_the_levels_of_farthest_points_are_their_own_prefixes(cloud: Path) -> None:
    found = read(sample_of(cloud), num_points=30, **LEVELS)
    assert found["order"].tolist() == list(range(16))
    points = found["points"].astype(np.float64)
    centre, near = points[found["order"][3]], points[found["neighbours_1"][3]]
    assert np.linalg.norm(near - centre, axis=1).max() < 0.5


def test_a_mesh_is_sampled_on_its_surface_with_normals(tmp_path: Path) -> None:
    (tmp_path / "box.off").write_text(BOX)
    channels = ["x", "y", "z", "nx", "ny", "nz"]
    sample = sample_of(tmp_path / "box.off")
    found = read(sample, num_points=50, normalise="none", channels=channels)
    points = found["points"]
    on_a_side = np.isclose(points[:, :3], 0, atol=1e-5) | np.isclose(points[:, :3], [4, 2, 1], atol=1e-5)
    assert on_a_side.any(axis=1).all() and np.allclose(np.linalg.norm(points[:, 3:], axis=1), 1)
    assert found["index"].max() < 12  # triangles
    with pytest.raises(DecodeError, match=r"box\.off.*no intensity"):
        read(sample, channels=["x", "y", "z", "intensity"])


def test_the_numbers_beside_a_file_turn_its_points_and_normals(tmp_path: Path) -> None:
    (tmp_path / "box.off").write_text(BOX)
    options = {"num_points": 20, "channels": ["x", "y", "z", "nx", "ny", "nz"]}
    before = read(sample_of(tmp_path / "box.off"), **options)["points"]
    after = read(sample_of(tmp_path / "box.off", rotation=(0.0, 0.0, 90.0)), **options)["points"]
    turned = before[:, [1, 0, 2, 4, 3, 5]] * [-1, 1, 1, -1, 1, 1]
    np.testing.assert_allclose(after, turned, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"sampling": "all", "num_points": 10}, "40 points.*10"),
        ({"channels": ["x", "y", "z", "nx"]}, "no column nx; it has x, y and z"),
        ({"labels": "points"}, "no column label"),
        ({"labels": "labels"}, r"labels\.npy.*39 labels for 40 points"),
    ],
)
def test_a_file_that_has_not_what_is_asked_for_is_a_decode_error(
    cloud: Path, labels: Path, settings: dict[str, object], where: str
) -> None:
    np.save(labels, np.arange(39))
    with pytest.raises(DecodeError, match=where):
        read(sample_of(cloud, labels=labels), **settings)


def test_labels_may_stand_in_the_cloud_itself_and_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y,z,label\n0,0,0,7\n1,0,0,0\n")
    assert read(sample_of(path), labels="points", num_points=3)["labels"].tolist() in ([7, 0, -1], [0, 7, -1])
    path.write_text("x,y,z,label\n0,0,0,7.5\n1,nan,0,0\n")
    with pytest.raises(DecodeError, match="point 2 is not finite"):
        read(sample_of(path), num_points=3)
    with pytest.raises(DecodeError, match=r"is not finite|label of point 1"):
        read(sample_of(path), labels="points", num_points=3)


@pytest.mark.parametrize(
    "settings",
    [
        {"channels": ["y", "x", "z"]},
        {"centres": [4], "radii": [], "neighbours": [2]},
        {"centres": [4, 8], "radii": [1, 2], "neighbours": [2, 2]},
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"channels|level"):
        CloudSettings.model_validate(settings)


class Clouds:
    """A source of three samples, of which the second has no labels and the third no cloud."""

    noun = "cloud"

    def __init__(self, cloud: Path, labels: Path) -> None:
        whole = sample_of(cloud, labels=labels)
        self._samples = [whole, sample_of(cloud, key="b", rotation=(0.0, 0.0, 1.0)), replace(whole, key="c", files={})]

    def targets(self) -> list[TargetSpec]:
        return [LABEL]

    def samples(self) -> list[Sample]:
        return [replace(sample, targets={"label": 0}) for sample in self._samples]


class Wants(Recipe):
    def __init__(self, array: str, *targets: str, optional: bool = False) -> None:
        self._needs = Needs((FeatureRequest("cloud", array, optional),), targets=targets)

    def needs(self) -> Needs:
        return self._needs


def test_labels_of_points_reach_the_loss_and_no_model(
    tmp_path: Path, cloud: Path, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "open_source", lambda settings, **_: Clouds(cloud, labels))
    settings = Settings.model_validate(
        {
            "data": {"source": "folder", "root": tmp_path},
            "cache": {"path": tmp_path / "f.zarr"},
            "features": {"cloud": {"kind": "cloud", "num_points": 40, "labels": "labels"}},
            "extract": {"workers": 0, "device": "cpu", "batch_size": 2},
        }
    )
    assert extract(settings).counts == {"cloud": {"complete": 2, "absent": 1}}
    store = FeatureStore.open(tmp_path / "f.zarr")
    (with_labels, turned) = store.sources("cloud", [0, 1])
    assert [file.name for file in with_labels] == ["cloud.npy", "labels.npy"]
    assert [file.is_numbers for file in turned] == [False, True]
    extract(settings)  # nothing has changed

    require_features(store, Wants("points", "cloud/labels"))
    with pytest.raises(SettingsError, match="cloud/labels"):
        require_features(store, Wants("labels"))
    reader = FeatureReader(store, Wants("points", optional=True).needs().features, ["label", "cloud/labels"])
    batch = reader.read(np.arange(3))
    assert set(batch.targets) == {"label", "cloud/labels"} and not batch.inputs().targets
    expected = 100 + store.read("cloud/index", [0])[0]
    assert batch.targets["cloud/labels"][0].tolist() == expected.tolist()
    assert (batch.targets["cloud/labels"][1:] == -1).all()  # not known, and a cloud that is not there
    memory = reader.empty(3, device=batch.device)
    assert (reader.read(np.arange(3), out=memory).targets["cloud/labels"] == batch.targets["cloud/labels"]).all()


def test_labels_that_count_are_one_and_what_is_not_known_stays_so(cloud: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.resize([30, 14, -1], 40))
    settings = CloudSettings(num_points=40, sampling="all", normalise="none", labels="labels", positive=(30, 100))
    found = CloudReader(settings)(sample_of(cloud, labels=tmp_path / "ids.npy"))
    assert found.tensors["labels"].tolist() == np.resize([1, 0, -1], 40).tolist()


def above(points: NDArray[np.float64], path: Path) -> NDArray[np.int64]:
    return (points[:, 2] > float(path.read_text())).astype(np.int64)


def test_a_source_may_read_labels_of_its_own(cloud: Path, tmp_path: Path) -> None:
    (tmp_path / "plane.txt").write_text("0")
    settings = CloudSettings(num_points=30, sampling="random", normalise="none", labels="labels")
    found = CloudReader(settings, above)(sample_of(cloud, labels=tmp_path / "plane.txt")).tensors
    assert found["labels"].tolist() == (found["points"][:, 2] > 0).long().tolist()
