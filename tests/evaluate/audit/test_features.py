"""Two copies of one recording, a table of classes among the features, features that were drawn by chance."""

from pathlib import Path

import numpy as np
import pytest

from weldcache.cache.store import FeatureStore
from weldcache.evaluate.audit.features import STORE_CHECKS, Stored
from weldcache.findings import Check
from weldcache.tests.listings import Columns, counts, store_of

CHECKS = {check.name: check for check in STORE_CHECKS}


def asked(name: str, store: FeatureStore) -> Check:
    return CHECKS[name].answered(Stored(store))


def features(seed: int = 0) -> np.ndarray:
    """Rows whose tokens vary about a sample's own place in a few directions, as those of a backbone do."""
    generator = np.random.default_rng(seed)
    places = generator.normal(size=(160, 5)) @ generator.normal(size=(5, 24))
    return places[:, np.newaxis] + 0.5 * generator.normal(size=(160, 6, 24))


def re_encoded(values: np.ndarray, row: int, *, of: int, noise: float) -> np.ndarray:
    copied = values.copy()
    copied[row] = copied[of] + noise * np.random.default_rng(1).normal(size=copied[of].shape)
    return copied


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_found_where_nothing_is(seed: int, columns: Columns, tmp_path: Path) -> None:
    store = store_of(tmp_path / "s.zarr", columns, {"film": features(seed), "series": features(seed + 9)[:, 0]})
    for name in CHECKS:
        found = asked(name, store)
        assert counts(found) == {} and not found.looked_at.startswith("not looked at"), found


@pytest.mark.parametrize(("noise", "severity"), [(0.0, "errors"), (0.002, "errors"), (0.1, "warnings")])
def test_a_copy_in_another_part_is_found_by_its_features(
    noise: float, severity: str, columns: Columns, tmp_path: Path
) -> None:
    store = store_of(tmp_path / "s.zarr", columns, {"film": re_encoded(features(), 130, of=3, noise=noise)})
    found = asked("near duplicates", store)
    assert counts(found) == {severity: 1} and "003 = 130" in found.findings[0].evidence
    assert found.findings[0].part == "film/values"


def test_copies_within_a_part_matter_in_two_groups_alone(columns: Columns, tmp_path: Path) -> None:
    store = store_of(tmp_path / "s.zarr", columns, {"film": re_encoded(features(), 4, of=0, noise=0.0)})
    assert counts(asked("near duplicates", store)) == {"warnings": 1}
    columns["groups"][4] = columns["groups"][0]
    store = store_of(tmp_path / "t.zarr", columns, {"film": re_encoded(features(), 4, of=0, noise=0.0)})
    assert counts(asked("near duplicates", store)) == {}


def test_features_that_are_a_code_of_the_class_hold_the_answer(columns: Columns, tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(2, 12))
    store = store_of(tmp_path / "s.zarr", columns, {"film": features(), "marks": table[columns["labels"]]})
    found = asked("answer among the features", store)
    assert counts(found) == {"errors": 1} and found.findings[0].part == "marks/values"
    mixed = store_of(tmp_path / "t.zarr", columns, {"marks": table[np.arange(160) // 5 % 2]})
    assert counts(asked("answer among the features", mixed)) == {}


def test_random_features_do_not_follow_their_files(columns: Columns, tmp_path: Path) -> None:
    files = list(columns["keys"])
    files[130] = files[3]
    store = store_of(tmp_path / "s.zarr", columns, {"film": features()}, files=files)
    found = asked("features follow files", store)
    assert counts(found) == {"errors": 1} and "003 and 130" in found.findings[0].evidence
    same = store_of(tmp_path / "t.zarr", columns, {"film": re_encoded(features(), 130, of=3, noise=0.0)}, files=files)
    assert counts(asked("features follow files", same)) == {}
