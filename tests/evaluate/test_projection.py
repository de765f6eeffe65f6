"""The plane of all samples, their nearest training samples, how they are divided, and all of it as one table."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from weldcache.cache.store import FeatureStore
from weldcache.evaluate.exhibits import SampleColumn, SampleTable, Scatter
from weldcache.evaluate.parts_told import parts_section
from weldcache.evaluate.projection import Projection, project, scatter_section
from weldcache.evaluate.report.schema import report_schema
from weldcache.evaluate.sample_frame import sample_frame

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def store(extracted: Path) -> FeatureStore:
    return FeatureStore.open(extracted / "features.zarr")


@pytest.fixture(scope="module")
def rows(store: FeatureStore) -> dict[str, np.ndarray]:
    return {part: np.flatnonzero(store.index.parts == part) for part in ("train", "test")}


def _project(store: FeatureStore, rows: dict[str, np.ndarray], *feature_sets: str) -> Projection:
    found = project(store, rows["test"], train=rows["train"], feature_sets=feature_sets)
    assert found is not None
    return found


def test_the_plane_is_the_one_of_an_exact_decomposition_whatever_the_scale(
    store: FeatureStore, rows: dict[str, np.ndarray]
) -> None:
    found = _project(store, rows, "video")
    everybody = np.concatenate([rows["test"], rows["train"]])
    vectors = np.asarray(store.read("video/embedding", everybody), dtype=np.float64)
    units = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    _, strengths, directions = np.linalg.svd(units - units.mean(axis=0), full_matrices=False)
    exact = (units[: len(rows["test"])] @ directions[:2].T) / np.sqrt(units.shape[1])
    assert np.allclose(np.abs(found.points), np.abs(exact), atol=1e-8)
    assert found.share == pytest.approx(float((strengths[:2] ** 2).sum() / (strengths**2).sum()))
    assert np.array_equal(found.points, _project(store, rows, "video").points)


def test_neighbours_are_training_samples_and_a_training_sample_is_its_own(
    store: FeatureStore, rows: dict[str, np.ndarray]
) -> None:
    sets = ("video", "audio", "image/block_2", "sensor")
    found = _project(store, rows, *sets)
    keys = set(store.index.keys[rows["train"]].tolist())
    assert found.arrays == ["video/embedding", "audio/embedding", "image/block_2/mean", "sensor/values"]
    assert all(len(set(each)) == len(each) and set(each) <= keys for each in found.neighbours)
    again = project(store, rows["train"], train=rows["train"], feature_sets=sets)
    assert again is not None
    assert [each[0] for each in again.neighbours] == store.index.keys[rows["train"]].tolist()


def test_what_holds_nothing_makes_no_plane(store: FeatureStore, rows: dict[str, np.ndarray]) -> None:
    assert project(store, rows["test"], train=rows["train"], feature_sets=()) is None
    assert project(store, rows["test"][:1], train=rows["train"][:1], feature_sets=("video",)) is None


def test_dots_are_coloured_by_what_the_table_tells(store: FeatureStore, rows: dict[str, np.ndarray]) -> None:
    keys = store.index.keys[rows["test"]].tolist()
    columns = [
        SampleColumn("key", "sample"),
        SampleColumn("class", "class", choice=True),
        SampleColumn("s", "score", ""),
    ]
    table = SampleTable(columns, [(key, "a", float(place)) for place, key in enumerate(keys)])
    (scatter,) = scatter_section(_project(store, rows, "video"), table).exhibits
    assert isinstance(scatter, Scatter)
    assert [each.label for each in scatter.colourings] == ["class", "score"]
    assert list(scatter.colourings[1].values) == [float(place) for place in range(len(keys))]


def test_parts_tell_samples_labels_and_groups(store: FeatureStore, rows: dict[str, np.ndarray]) -> None:
    (table,) = parts_section(store, judged=rows["test"], split="test").rows
    names = [column.id for column in table.columns]
    by_part = {row[0]: dict(zip(names, row, strict=True)) for row in table.values}
    test = by_part["test"]
    assert test["num_samples"] == len(rows["test"]) == test["num_normal"] + test["num_defect"] + test["num_unknown"]
    assert by_part["train"]["num_shared"] == 0


def test_a_table_of_samples_opens_elsewhere(judged: Path, tmp_path: Path) -> None:
    """As an evaluation left it: the report's samples, and files that are where it says."""
    run = judged / "runs/first"
    frame = pd.read_parquet(run / "samples_test.parquet")
    scores = pd.read_csv(run / "scores_test.csv")
    assert frame["key"].tolist() == scores["key"].tolist() and frame["score"].tolist() == scores["score"].tolist()
    assert {"class_name", "group", "label", "outcome", "x", "y", "neighbours", "image_files"} <= set(frame.columns)
    for paths in frame["image_files"]:
        assert len(paths) and all((run / path).is_file() for path in paths)
    assert "samples_test.parquet" in json.loads((run / "report.json").read_text())["files"]
    table = SampleTable([SampleColumn("key", "sample")], [("=a",), ("",)])
    folder, file = tmp_path / "runs" / "r", tmp_path / "data" / "a.jpg"
    told = sample_frame(
        table, {"key": ["x", "y"], "n": [1, 2]}, projection=None, files=[{"image": [file]}, {}], folder=folder
    )
    assert told["key"][0] == "=a" and told["key"].isna().tolist() == [False, True] and told["n"].tolist() == [1, 2]
    assert told["image_files"].tolist() == [["../../data/a.jpg"], []]


def test_report_json_keeps_to_the_published_schema(judged: Path) -> None:
    schema = json.loads((ROOT / "docs/report.schema.json").read_text())
    assert schema == report_schema(), "make docs/report.schema.json anew: see evaluate/report/schema.py"
    jsonschema.Draft202012Validator.check_schema(schema)
    report = json.loads((judged / "runs/first/report.json").read_text())
    jsonschema.validate(report, schema)
    for broken in (
        {**report, "schema_version": 1},
        {**report, "sections": {"headline": {"facts": {"auroc": {"value": 0.5}}}}},
        {name: value for name, value in report.items() if name != "provenance"},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)
