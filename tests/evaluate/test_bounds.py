"""Bounds on a report: exact ones hold, broken ones are named, and none is passed over."""

import pytest

from weldcache.errors import BoundError, MetricError
from weldcache.evaluate.bounds import Bounds

_REPORT = {
    "run": "r",
    "split": "test",
    "task": "anomaly",
    "sections": {
        "headline": {"facts": {"auroc": {"value": 0.8, "low": 0.7, "high": 0.9}}},
        "threshold": {"facts": {"achieved_fpr": {"value": 0.125, "low": 0.05, "high": 0.3}}},
    },
}


def test_what_reaches_a_bound_keeps_it() -> None:
    Bounds().require({**_REPORT, "sections": {}})
    Bounds(least_auroc=0.8, most_false_alarms=0.125).require(_REPORT)


def test_every_bound_that_is_broken_is_named() -> None:
    with pytest.raises(BoundError) as broken:
        Bounds(least_auroc=0.81, most_false_alarms=0.1).require(_REPORT)
    assert broken.value.exit_code == 3
    assert "0.800 (0.700 to 0.900), below 0.81; 12.5% (5.0% to 30.0%) of the normals" in str(broken.value)


@pytest.mark.parametrize(("bounds", "option"), [(Bounds(0.1), "--fail-under"), (Bounds(None, 0.9), "--fail-over")])
def test_a_figure_that_is_not_there_keeps_no_bound(bounds: Bounds, option: str) -> None:
    with pytest.raises(MetricError, match=option):
        bounds.require({**_REPORT, "sections": {"verdict": {}}})
