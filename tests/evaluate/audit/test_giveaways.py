"""Attributes, groups and codes that hold the answer; and as many that hold none by chance alone."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from weldcache.evaluate.audit.giveaways import GIVEAWAY_CHECKS
from weldcache.findings import Check
from weldcache.tests.listings import Columns, columns_of, counts, listing_of

CHECKS = {check.name: check for check in GIVEAWAY_CHECKS}


def asked(name: str, columns: Columns, **further: Any) -> Check:
    return CHECKS[name].answered(listing_of(columns, **further))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["attributes", "media-free control", "groups and kinds"])
def test_nothing_is_found_in_what_says_nothing(name: str, seed: int) -> None:
    found = asked(name, columns_of(seed=seed))
    assert counts(found) == {} and not found.looked_at.startswith("not looked at")


@pytest.mark.parametrize(("name", "values"), [("thickness", (7.0, 3.0)), ("steel", ("A", "B"))])
def test_an_attribute_that_is_the_label(name: str, values: tuple[Any, Any], columns: Columns) -> None:
    columns["attributes"][name] = [values[label] for label in columns["labels"]]
    found = asked("attributes", columns)
    assert counts(found) == {"errors": 1} and found.findings[0].part == name


def test_an_attribute_that_goes_with_the_label_mostly(columns: Columns) -> None:
    generator = np.random.default_rng(0)
    columns["attributes"]["current"] = [generator.normal(200 + 30 * label, 10) for label in columns["labels"]]
    assert counts(asked("attributes", columns)) in ({"warnings": 1}, {"errors": 1})


def test_attributes_that_are_not_known_of_defects_alone_are_a_giveaway(columns: Columns) -> None:
    columns["attributes"]["current"] = [float("nan") if label else 200.0 for label in columns["labels"]]
    assert counts(asked("attributes", columns)) == {"errors": 1}


@pytest.mark.parametrize(("gap", "severity"), [(25.0, "notes"), (60.0, "errors")])
def test_one_class_of_several_that_an_attribute_hints_at_is_a_note(gap: float, severity: str, columns: Columns) -> None:
    generator, classes = np.random.default_rng(0), np.arange(160) % 4
    columns["labels"], columns["class_names"] = [-1] * 160, [f"kind {code}" for code in classes]
    columns["attributes"] = {"current": [generator.normal(200 + gap * (code == 3), 10) for code in classes]}
    found = asked("attributes", columns)
    assert counts(found) == {severity: 1} and "kind 3" in found.findings[0].evidence


def test_all_settings_together_tell_defects(columns: Columns) -> None:
    generator = np.random.default_rng(0)
    for name in ("thickness", "current"):
        columns["attributes"][name] = [generator.normal(label, 0.5) for label in columns["labels"]]
    found = asked("media-free control", columns)
    assert counts(found) in ({"warnings": 1}, {"errors": 1})
    columns["attributes"]["current"] = [100.0 * label for label in columns["labels"]]
    assert counts(asked("media-free control", columns)) == {"errors": 1}


def test_groups_of_one_kind_each_are_by_nature_where_test_has_several_of_its_own(columns: Columns) -> None:
    columns["groups"] = [f"{group}-{label}" for group, label in zip(columns["groups"], columns["labels"], strict=True)]
    found = asked("groups and kinds", columns)
    assert counts(found) == {"notes": 1} and "24 of 24" in found.findings[0].evidence
    crossing = [group.replace("test-5", "val-5") for group in columns["groups"]]
    single = [f"test-{group[-1]}" if group.startswith("test-") else group for group in columns["groups"]]
    for groups in (crossing, single):
        assert counts(asked("groups and kinds", {**columns, "groups": groups})) == {"warnings": 1}


def test_turns_of_one_object_are_one_thing_of_one_kind(columns: Columns) -> None:
    columns["groups"] = [f"{group}-{label}" for group, label in zip(columns["groups"], columns["labels"], strict=True)]
    digests = [frozenset({group}) for group in columns["groups"]]
    assert counts(asked("groups and kinds", columns, digests=digests)) == {}


def test_without_attributes_or_kinds_there_is_nothing_to_look_at(columns: Columns) -> None:
    columns["attributes"] = {}
    for name in ("attributes", "media-free control"):
        assert asked(name, columns).looked_at.startswith("not looked at")
    columns = columns_of()
    columns["labels"], columns["class_names"] = [-1] * 160, ["unknown"] * 160
    for name in ("attributes", "media-free control", "groups and kinds"):
        assert counts(asked(name, columns)) == {} and asked(name, columns).looked_at.startswith("not looked at")


def test_a_code_in_a_picture_is_read(columns: Columns, tmp_path: Path) -> None:
    picture = np.full((240, 320), 200, dtype=np.uint8)
    picture += np.random.default_rng(0).integers(20, size=picture.shape, dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "plain.png"), picture)
    code = cv2.QRCodeEncoder.create().encode("crack-0815")
    large = cv2.resize(code, None, fx=5, fy=5, interpolation=cv2.INTER_NEAREST)
    picture[20 : 20 + len(large), 30 : 30 + len(large)] = large
    cv2.imwrite(str(tmp_path / "coded.png"), picture)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    files = [[tmp_path / f"{name}.png"] for name in ("plain", "broken")]
    assert counts(asked("codes", columns, pictures=files)) == {}
    files = [[tmp_path / f"{name}.png"] for name in ("coded", "plain", "broken")]
    found = asked("codes", columns, pictures=files)
    assert counts(found) == {"warnings": 1} and "1 of 3" in found.findings[0].evidence
