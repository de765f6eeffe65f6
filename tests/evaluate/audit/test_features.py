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


def test_a_table_that_no_run_reads_is_worth_a_note(columns: Columns, tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(2, 12))
    given = {"film": features(), "marks": table[columns["labels"]]}
    store = store_of(tmp_path / "s.zarr", columns, given, distinct=False)
    for read, severity in ((None, "errors"), ({"marks"}, "errors"), ({"film"}, "notes")):
        found = CHECKS["answer among the features"].answered(Stored(store, read=read))
        assert counts(found) == {severity: 1} and found.findings[0].part == "marks/values"


def drawn(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(160, 64))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("draw", ["normal", "uniform", "exponential"])
def test_numbers_drawn_at_random_are_no_features(seed: int, draw: str, columns: Columns, tmp_path: Path) -> None:
    values = getattr(np.random.default_rng(seed), draw)(size=(160, 64))
    found = asked("noise", store_of(tmp_path / "s.zarr", columns, {"image": values}))
    assert counts(found) == {"errors": 1} and found.findings[0].part == "image/values"


def test_features_without_correlations_that_are_no_noise(columns: Columns, tmp_path: Path) -> None:
    whitened = drawn() - drawn().mean(axis=0)
    whitened = whitened @ np.linalg.inv(np.linalg.cholesky(np.cov(whitened.T))).T
    codes = np.eye(64)[np.arange(160) % 64]
    weak = drawn() + 0.5 * drawn(1)[:, :1]  # one thing in common, a fifth of what each column has
    given = {"whitened": whitened, "codes": codes, "weak": weak, "narrow": drawn()[:, :16]}
    found = asked("noise", store_of(tmp_path / "s.zarr", columns, given))
    assert counts(found) == {} and found.looked_at == "correlations of columns in 2 arrays"


def test_random_features_do_not_follow_their_files(columns: Columns, tmp_path: Path) -> None:
    files = list(columns["keys"])
    files[130] = files[3]
    store = store_of(tmp_path / "s.zarr", columns, {"film": features()}, files=files)
    found = asked("features follow files", store)
    assert counts(found) == {"errors": 1} and "003 and 130" in found.findings[0].evidence
    same = store_of(tmp_path / "t.zarr", columns, {"film": re_encoded(features(), 130, of=3, noise=0.0)}, files=files)
    assert counts(asked("features follow files", same)) == {}
