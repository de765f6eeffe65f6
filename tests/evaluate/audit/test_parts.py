"""Groups and files in two parts, parts of one kind, labels that are drawn anew with each reading."""

from typing import Any

import numpy as np
import pytest

from weldcache.evaluate.audit.parts import PART_CHECKS
from weldcache.findings import Check
from weldcache.tests.listings import Columns, columns_of, counts, listing_of
from weldcache.tests.toy import index_of

CHECKS = {check.name: check for check in PART_CHECKS}


def asked(name: str, columns: Columns, **further: Any) -> Check:
    return CHECKS[name].answered(listing_of(columns, **further))


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_is_found_where_nothing_is(name: str, columns: Columns) -> None:
    readings = lambda: (index_of(**columns), index_of(**columns))  # noqa: E731
    found = asked(name, columns, readings=readings)
    assert found.findings == [] and not found.looked_at.startswith("not looked at")


def test_a_group_in_train_and_test_is_severe_and_in_train_and_val_is_told(columns: Columns) -> None:
    columns["groups"][0] = "test-3"
    found = asked("groups", columns)
    assert counts(found) == {"errors": 1} and "test-3" in found.findings[0].evidence
    columns["groups"][0] = "val-3"
    assert counts(asked("groups", columns)) == {"warnings": 1}


def test_groups_that_are_not_known_are_no_group(columns: Columns) -> None:
    columns["groups"] = [""] * 160
    assert counts(asked("groups", columns)) == {}


def contents(columns: Columns) -> list[frozenset[str]]:
    return [frozenset({f"film {key}", f"sound {key}"}) for key in columns["keys"]]


def test_one_recording_under_two_names_is_found_by_its_files(columns: Columns) -> None:
    digests = contents(columns)
    digests[0] = digests[130]
    found = asked("files", columns, digests=digests)
    assert counts(found) == {"errors": 1} and "000 = 130" in found.findings[0].evidence
    digests = contents(columns)
    digests[0] = digests[1]
    assert counts(asked("files", columns, digests=digests)) == {"warnings": 1}


def test_a_shared_file_among_others_is_told_and_one_of_all_is_nothing(columns: Columns) -> None:
    digests = contents(columns)
    digests[0], digests[130] = digests[0] | {"x", "y"}, digests[130] | {"x"}
    assert counts(asked("files", columns, digests=digests)) == {"warnings": 1}
    assert counts(asked("files", columns, digests=[each | {"table"} for each in contents(columns)])) == {}


def test_validation_that_is_the_test_is_said_to_be(columns: Columns) -> None:
    digests = contents(columns)
    digests[40:100] = digests[100:160]
    found = asked("files", columns, digests=digests)
    assert counts(found) == {"errors": 2} and "is" in found.findings[1].evidence
    assert "60 of its 60 parts" in found.findings[1].evidence


def test_one_kind_in_all_parts_or_in_test(columns: Columns) -> None:
    columns["labels"], columns["class_names"] = [1] * 160, ["crack"] * 160
    found = asked("kinds", columns)
    assert counts(found) == {"errors": 1} and "'defect'" in found.findings[0].evidence
    columns = columns_of()
    columns["labels"][100:], columns["class_names"][100:] = [0] * 60, ["good"] * 60
    assert counts(asked("kinds", columns)) == {"errors": 1}


def test_parts_without_normals_or_without_defects(columns: Columns) -> None:
    columns["labels"][:40], columns["class_names"][:40] = [1] * 40, ["crack"] * 40
    found = asked("kinds", columns)
    assert counts(found) == {"errors": 1} and "train has no normal part" in found.findings[0].evidence
    columns = columns_of()
    columns["labels"][40:100], columns["class_names"][40:100] = [0] * 60, ["good"] * 60
    assert counts(asked("kinds", columns)) == {"notes": 1}


def test_labels_by_the_toss_of_a_coin_differ_between_two_readings(columns: Columns) -> None:
    second = columns_of()
    coins = np.random.default_rng(1).integers(2, size=160)
    second["labels"], second["class_names"] = coins.tolist(), ["crack" if coin else "good" for coin in coins]
    found = asked("two reads", columns, readings=lambda: (index_of(**columns), index_of(**second)))
    assert counts(found) == {"errors": 1} and "label and class" in found.findings[0].evidence
    second = columns_of()
    second["keys"][3] = "another"
    found = asked("two reads", columns, readings=lambda: (index_of(**columns), index_of(**second)))
    assert counts(found) == {"errors": 1} and "another" in found.findings[0].evidence


def test_the_order_of_a_reading_does_not_matter(columns: Columns) -> None:
    first = index_of(**columns)
    turned = first.select(np.arange(160)[::-1])
    assert counts(asked("two reads", columns, readings=lambda: (first, turned))) == {}
