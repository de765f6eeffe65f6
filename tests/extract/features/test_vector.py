"""Numbers that the data set gives itself: stored as they are, and refused where they are not what was announced."""

from pathlib import Path

import numpy as np
import pytest
import torch

from weldcache.cache.store import FeatureStore
from weldcache.cache.targets import LABEL, TargetSpec
from weldcache.extract import request
from weldcache.extract.features.settings import VectorSettings
from weldcache.extract.features.vector import VectorEncoder
from weldcache.extract.pipeline import extract
from weldcache.extract.sources.source import Sample
from weldcache.settings import Settings


class Numbers:
    """A source of three samples, of which the second lacks its numbers and the third has too few."""

    noun = "row"

    def targets(self) -> list[TargetSpec]:
        return [LABEL]

    def samples(self) -> list[Sample]:
        vectors = [{"vector": (0.1, 2.0, 3e7)}, {}, {"vector": (1.0,)}]
        absent = [{}, {"vector": "its columns are empty"}, {}]
        return [
            Sample(
                key=f"row {number}",
                split="train",
                group=f"{number}",
                files={},
                targets={"label": 0},
                vectors=given,
                absent=lacking,
            )
            for number, (given, lacking) in enumerate(zip(vectors, absent, strict=True))
        ]


def test_numbers_of_a_source_are_stored_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "open_source", lambda settings, **_: Numbers())
    settings = Settings.model_validate(
        {
            "cache": {"path": tmp_path / "f.zarr"},
            "features": {"columns": {"kind": "vector", "size": 3}},
            "extract": {"workers": 0, "device": "cpu", "batch_size": 2},
        }
    )
    summary = extract(settings)
    assert summary.counts == {"columns": {"complete": 1, "absent": 1, "unreadable": 1}}
    told = {note.key: note.reason for note in summary.notes}
    assert told.keys() == {"row 1", "row 2"}
    assert "features.columns.size=1" in told["row 2"] and "data.vectors.vector" in told["row 2"]
    store = FeatureStore.open(tmp_path / "f.zarr")
    np.testing.assert_array_equal(store.read("columns/values", [0]), np.array([[0.1, 2.0, 3e7]], np.float32))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e39])
def test_what_is_no_number_is_no_feature(number: float) -> None:
    reader = VectorEncoder("columns", VectorSettings(size=2)).reader
    sample = Sample(key="a", split="train", group="a", files={}, vectors={"vector": (1.0, number)})
    with pytest.raises(ValueError, match="a: number 2 in vector"):
        reader(sample)
    assert reader.stream == "vector" and reader.files(sample) == ()
    assert torch.equal(
        reader(Sample(key="a", split="train", group="a", files={}, vectors={"vector": (1.0, 2.0)})).tensors["values"],
        torch.tensor([1.0, 2.0]),
    )
