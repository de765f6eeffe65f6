"""What of an audit a report holds: the questions of little cost, and severe findings in the verdict."""

import json
from pathlib import Path

import pytest

from weldcache.evaluate.audit.features import STORE_CHECKS, Stored
from weldcache.evaluate.audit.in_report import audit_section, told_in_verdict
from weldcache.evaluate.audit.outcome import Audit
from weldcache.evaluate.section import Section, Standing
from weldcache.findings import Check, Finding
from weldcache.tests.evaluate.audit.test_features import features
from weldcache.tests.listings import Columns, store_of

SEVERE = Finding("files", "error", "3 pairs between test and train with the same files", "Keep one of each.")
WARNING = Finding("loss", "warning", "loss hardly moves", "See the gradient.", part="loss")


def audited(*findings: Finding) -> Audit:
    return Audit((), ("codes",), [("data", Check("files", "all of them", findings)), ("data", Check("kinds", "two"))])


def verdict(standing: Standing) -> Section:
    return Section("verdict", "It is", note=["So it is."], points=["Mind this."], look="verdict", standing=standing)


@pytest.mark.parametrize(("standing", "after"), [("good", "doubtful"), ("doubtful", "doubtful"), ("bad", "bad")])
def test_what_is_severe_stands_first_and_no_verdict_is_good_beside_it(standing: Standing, after: Standing) -> None:
    other = Section("headline", "The result")
    unchanged, told = told_in_verdict([other, verdict(standing)], audited(WARNING, SEVERE))
    assert unchanged is other and told.standing == after
    assert SEVERE.evidence in told.points[0] and list(told.points[1:]) == ["Mind this."]
    assert ("1 severe mistake" in told.title) == (standing == "good")
    assert told.note[-1] == "The audit finds 1 error and 1 warning in 2 checks."


def test_warnings_of_an_audit_leave_the_verdict_as_it_is() -> None:
    (told,) = told_in_verdict([verdict("good")], audited(WARNING))
    assert (told.standing, told.title, list(told.points)) == ("good", "It is", ["Mind this."])
    (told,) = told_in_verdict([verdict("good")], audited())
    assert told.note[-1] == "The audit finds nothing wrong in 2 checks."


def test_the_section_tells_the_gravest_first_and_what_is_left_to_the_audit() -> None:
    section = audit_section(audited(WARNING, *[SEVERE] * 20))
    assert section.points[0].startswith("error: files") and len(section.points) == 13
    assert section.points[-1].startswith("9 more") and "codes" in section.note[0]
    assert [row[1:] for row in section.rows[0].values] == [("files", "all of them", 21), ("kinds", "two", 0)]


def test_a_report_has_every_question_of_little_cost(judged: Path) -> None:
    section = json.loads((judged / "runs/first/report.json").read_text())["sections"]["audit"]
    asked = {row["check"] for row in section["rows"]["checks"]}
    assert asked >= {"groups", "files", "kinds", "attributes", "media-free control", "groups and kinds", "loss"}
    assert asked >= {"near duplicates", "answer among the features", "features follow files", "average", "too good"}
    left = {"two reads", "codes", "reproduced", "verdict", "report"}
    assert not asked & left and all(name in section["note"][0] for name in left)


def test_arrays_beyond_the_work_are_passed_over_and_that_is_said(columns: Columns, tmp_path: Path) -> None:
    store = store_of(tmp_path / "s.zarr", columns, {"film": features(), "series": features(9)[:, 0]})
    assert [name for name, _, _ in Stored(store).arrays()] == ["film/values", "series/values"]
    few = Stored(store, most_work=10 * 160 * 24 + 2 * 160**2 * 24)
    assert [name for name, _, _ in few.arrays()] == ["series/values"]
    none = Stored(store, most_work=0)
    for check in STORE_CHECKS:
        assert "1 larger one is left to `weldcache audit`" in check.answered(few).looked_at
        assert check.answered(none).looked_at.endswith("2 larger ones are left to `weldcache audit`")
