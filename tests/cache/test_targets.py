"""What a source says of its samples becomes arrays that say what is unknown, and what no target is gets refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from weldcache.cache.following import targets_differ
from weldcache.cache.nodes import ArrayMetadata
from weldcache.cache.targets import LABEL, TargetSpec, check_values, read_spec, target_of
from weldcache.errors import SourceError, StoreError

KEYS = ["a", "b", "c"]
KIND = TargetSpec("class", "int16", classes=("good", "porosity"))
POINTS = TargetSpec("points", "int32", (None, 2))


def metadata_of(spec: TargetSpec, shape: tuple[int, ...], **attributes: Any) -> ArrayMetadata:
    return ArrayMetadata.model_validate(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape,
            "data_type": spec.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": "bytes"}, {"name": "crc32c"}],
            "attributes": spec.attributes() | attributes,
        }
    )


def test_classes_are_given_by_code_or_name_and_what_is_not_known_says_so() -> None:
    target = target_of(KIND, ["porosity", 0, None], keys=KEYS)
    assert target.values.tolist() == [1, 0, -1] and target.values.dtype == np.int16 and target.lengths is None
    assert target.class_names().tolist() == ["porosity", "good", "unknown"]
    assert [target.told(row) for row in range(3)] == ["porosity", "good", "unknown"]
    angles = target_of(TargetSpec("angles", "float32", (2,), unit="degree"), [[1, 2], None, [0.5, np.nan]], keys=KEYS)
    np.testing.assert_array_equal(angles.values, np.array([[1, 2], [np.nan] * 2, [0.5, np.nan]], np.float32))


def test_ragged_rows_are_padded_with_the_unknown_and_keep_their_lengths() -> None:
    target = target_of(POINTS, [np.ones((3, 2), int), None, np.zeros((0, 2), int)], keys=KEYS)
    assert target.values.shape == (3, 3, 2) and (target.values[1:] == -1).all()
    assert target.lengths is not None and target.lengths.tolist() == [3, -1, 0]
    assert target.arrays().keys() == {"points", "points_length"}
    assert [target.told(row) for row in range(3)] == ["[[1, 1], [1, 1], [1, 1]]", "unknown", "[]"]
    assert target.real(1) is None and [len(known) for row in (0, 2) if (known := target.real(row)) is not None] == [
        3,
        0,
    ]
    chosen = target.select(np.array([2, 0])).lengths
    assert chosen is not None and chosen.tolist() == [0, 3]


@pytest.mark.parametrize("value", [np.zeros((5, 0), int), np.zeros((0, 3), int), [[]], [[1, 2], [3]], [1, 2]])
def test_a_list_of_other_axes_is_not_an_empty_one(value: Any) -> None:
    with pytest.raises((SourceError, ValueError), match=r"b: |inhomogeneous"):
        target_of(POINTS, [[[1, 2]], value, []], keys=KEYS)


@pytest.mark.parametrize("value", ["crack", 2, -2, 0.5, [0, 1]])
def test_a_value_that_the_target_cannot_hold_is_refused_with_the_sample(value: Any) -> None:
    with pytest.raises(SourceError, match=r"b: .*class"):
        target_of(KIND, [0, value, 1], keys=KEYS)


@pytest.mark.parametrize(
    "spec",
    [
        TargetSpec("Label", "int8"),
        TargetSpec("points_length", "int32"),
        TargetSpec("mask", "uint8"),
        TargetSpec("kind", "float32", classes=("a",)),
        TargetSpec("kind", "int8", classes=("a", "a")),
        TargetSpec("kind", "int8", classes=tuple(str(number) for number in range(129))),
        TargetSpec("cloud", "int8", (3, None)),
        TargetSpec("named", "int8", value_names=("a",)),
        TargetSpec("named", "int8", (3,), value_names=("a", "b")),
        TargetSpec("named", "int8", (2,), value_names=("a", "a")),
        TargetSpec("named", "int8", (None,), value_names=("a", "b")),
    ],
)
def test_a_declaration_that_no_store_can_keep_is_refused_with_its_name(spec: TargetSpec) -> None:
    with pytest.raises(SourceError, match=spec.name):
        target_of(spec, [], keys=[])


@pytest.mark.parametrize("spec", [LABEL, KIND, POINTS, TargetSpec("angles", "float64", (3,), unit="degree")])
def test_a_declaration_reads_back_from_the_attributes_of_its_array(spec: TargetSpec) -> None:
    shape = (4, *(length or 5 for length in spec.shape))
    assert read_spec(spec.name, metadata_of(spec, shape)) == spec


@pytest.mark.parametrize(
    "attributes",
    [
        {"classes": ["good"]},
        {"classes": ["good", "good"]},
        {"classes": "good"},
        {"unit": 3},
        {"ragged": True},
        {"checksum": "0"},
        {"more": 1},
    ],
)
def test_an_edited_declaration_is_refused(attributes: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match="targets/class"):
        read_spec("class", metadata_of(KIND, (4,), **attributes))


def test_stored_codes_and_lengths_that_mean_nothing_are_refused() -> None:
    check_values(KIND, np.array([0, -1, 1], np.int16), None)
    for code in (2, -2):
        with pytest.raises(StoreError, match="targets/class"):
            check_values(KIND, np.array([code, 0, 1], np.int16), None)
    for length in (4, -2):
        with pytest.raises(StoreError, match="points_length"):
            check_values(POINTS, np.zeros((2, 3, 2), np.int32), np.array([length, 3], np.int32))


def test_targets_are_compared_by_what_they_say_whatever_their_codes() -> None:
    many = tuple(f"class {number}" for number in range(120))
    first = target_of(TargetSpec("class", "int8", classes=many), ["class 3", "class 5", None], keys=KEYS)
    others = TargetSpec("class", "int8", classes=(*(f"other {number}" for number in range(100)), "class 5", "class 3"))
    assert targets_differ(first, target_of(others, ["class 3", "other 7", None], keys=KEYS)).tolist() == [
        False,
        True,
        False,
    ]
    angles = TargetSpec("angles", "float32", (2,))
    mine, theirs = ([[1, np.nan], None, [1, 2]], [[1, np.nan], None, [1, 3]])
    differs = targets_differ(target_of(angles, mine, keys=KEYS), target_of(angles, theirs, keys=KEYS))
    assert differs.tolist() == [False, False, True]
    ragged = TargetSpec("points", "int8", (None,))
    shorter, longer = (target_of(ragged, rows, keys=KEYS) for rows in ([[1], [1], []], [[1], [1, -1], None]))
    assert targets_differ(shorter, longer).tolist() == [False, True, True]
    assert targets_differ(first, target_of(LABEL, [0, 0, 0], keys=KEYS)).all()


def test_what_there_is_to_know_of_a_target_is_told_where_there_is_some_and_changes_nothing_else() -> None:
    spec = TargetSpec("broken", "int8", classes=("no", "yes"), caveat="made up")
    assert read_spec("broken", metadata_of(spec, (3,))) == spec
    bare = TargetSpec("broken", "int8", classes=("no", "yes"))
    assert bare.is_like(spec) and bare.holds(spec) and "caveat" not in bare.attributes()
    with pytest.raises(SourceError, match="caveat"):
        target_of(TargetSpec("broken", "int8", caveat="a" * 1001), [1] * 3, keys=KEYS)


def test_values_with_names_are_those_of_nothing_else_and_may_get_their_names_later() -> None:
    bare = TargetSpec("seen", "int8", (2,))
    named, others = (replace(bare, value_names=names) for names in (("red", "blue"), ("blue", "red")))
    assert read_spec("seen", metadata_of(named, (4, 2))) == named
    assert named.is_like(bare) and bare.is_like(named) and not named.is_like(others)
    assert named.holds(bare) and named.holds(named) and not bare.holds(named) and not named.holds(others)
    first, again, changed = (target_of(spec, [[1, 0]] * 3, keys=KEYS) for spec in (bare, named, others))
    assert not targets_differ(first, again).any() and targets_differ(again, changed).all()
