"""The expected times: hand-worked runs, and bounds that no overlap can break."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.extract.estimation.estimate import Times, expected_times
from weldcache.extract.estimation.speeds import Cost, Speeds
from weldcache.extract.plan import ExtractPlan, Job
from weldcache.extract.sources.source import Sample

SETS = ("video", "image/block_2", "image/block_4")


def plan_of(num_welds: int, *, group_size: int, absent: int = 0) -> ExtractPlan:
    """Welds of video and image, of which the first `absent` have no photographs."""
    jobs = [
        Job(
            row=row,
            sample=Sample(f"weld {row}", "train", "day", {"video": (), **({} if row < absent else {"image": ()})}),
            decode=frozenset({"video", "image"}),
            write=frozenset(SETS),
        )
        for row in range(num_welds)
    ]
    groups = [jobs[start : start + group_size] for start in range(0, num_welds, group_size)]
    return ExtractPlan(groups, num_welds, {name: {"train": num_welds} for name in SETS})


def measured_speeds(*, decode: float, encode: float, write: float, threads: float = 0) -> Speeds:
    """Each modality costs this to decode and to encode, each set this to write; backbones run with `threads`."""
    return Speeds(
        decode={name: Cost(decode, decode) for name in ("video", "image")},
        encode={name: Cost(encode, encode * threads) for name in ("video", "image")},
        write={name: Cost(write, 0.0) for name in SETS},
        flops={"video": 1, "image": 1},
        seconds=7.0,
    )


def expect(measured: Speeds, plan: ExtractPlan, *, workers: int, num_cores: int, absent: int = 0) -> Times:
    welds = plan.num_rows
    streams = {"video": "video", "image": "image"}
    rows = {"video": welds, "image/block_2": welds - absent, "image/block_4": welds - absent}
    return expected_times(measured, plan, streams=streams, rows=rows, workers=workers, num_cores=num_cores)


def test_beside_a_gpu_the_slowest_side_counts_and_the_others_for_a_group() -> None:
    measured = measured_speeds(decode=1.0, encode=0.1, write=0.01)
    times = expect(measured, plan_of(100, group_size=10), workers=4, num_cores=16)
    assert times.sides == pytest.approx({"decode": 2 * 100 / 4, "backbones": 20.0, "disk": 3.0})
    assert times.bottleneck == "decode"
    assert times.run == pytest.approx(50 + (20 + 3) / 10)
    assert times.startup == 7.0


def test_on_a_cpu_the_sides_share_the_cores() -> None:
    """Two workers and a backbone on two cores: three busy processes, none of which gets a core for itself."""
    measured = measured_speeds(decode=0.2, encode=0.3, write=0.0, threads=1)
    times = expect(measured, plan_of(100, group_size=100), workers=2, num_cores=2)
    assert times.sides == pytest.approx({"decode": 20.0, "backbones": 60.0, "disk": 0.0})
    assert times.shared == pytest.approx((40 + 60) / 2)
    assert times.run == pytest.approx(60 + 20)
    alone = expect(measured, plan_of(100, group_size=1), workers=1, num_cores=1)
    assert alone.run == alone.shared == pytest.approx(40 + 60)
    assert alone.bottleneck == "backbones"


def test_without_workers_decoding_and_backbones_take_turns() -> None:
    measured = measured_speeds(decode=0.2, encode=0.3, write=0.01)
    times = expect(measured, plan_of(100, group_size=10), workers=0, num_cores=8)
    assert times.run == pytest.approx(40 + 60 + 3 / 10)


def test_more_workers_than_cores_gain_nothing() -> None:
    measured = measured_speeds(decode=1.0, encode=0.1, write=0.0)
    plan = plan_of(100, group_size=10)
    assert expect(measured, plan, workers=64, num_cores=4) == expect(measured, plan, workers=4, num_cores=4)


def test_welds_without_files_take_no_time() -> None:
    measured = measured_speeds(decode=1.0, encode=0.1, write=0.01)
    times = expect(measured, plan_of(100, group_size=10, absent=40), workers=1, num_cores=16, absent=40)
    assert times.sides == pytest.approx({"decode": 160.0, "backbones": 16.0, "disk": 2.2})


SECONDS = st.floats(0, 100, allow_subnormal=False)


@given(
    decode=SECONDS,
    encode=SECONDS,
    write=SECONDS,
    threads=st.floats(0, 1),
    num_welds=st.integers(1, 40),
    group_size=st.integers(1, 64),
    workers=st.integers(0, 9),
    num_cores=st.integers(1, 9),
)
def test_a_run_takes_as_long_as_its_slowest_side_and_no_longer_than_all_in_turn(
    decode: float,
    encode: float,
    write: float,
    threads: float,
    num_welds: int,
    group_size: int,
    workers: int,
    num_cores: int,
) -> None:
    measured = measured_speeds(decode=decode, encode=encode, write=write, threads=threads)
    times = expect(measured, plan_of(num_welds, group_size=group_size), workers=workers, num_cores=num_cores)
    in_turn = num_welds * (2 * decode + 2 * encode + 3 * write)
    assert times.run >= max(*times.sides.values(), times.shared) * (1 - 1e-9)
    assert times.run <= in_turn * (1 + 1e-9)
    assert times.sides[times.bottleneck] == max(times.sides.values())
