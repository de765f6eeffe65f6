"""Drawn splits: every part gets some of every class, shares hold on average, and what is added moves nothing."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.extract.sources.group_split import SplitSettings, draw_splits, split_groups
from weldcache.extract.sources.source import Sample, Split

NAMES = st.text("abcdef", min_size=1, max_size=4)
DATA_SETS = st.dictionaries(NAMES, st.sampled_from(["good", "dent", "scratch"]), max_size=40)


def parts_of(classes: dict[str, str], *, val: float = 0.2, test: float = 0.2, seed: int = 0) -> dict[str, Split]:
    held = {name: frozenset({kind}) for name, kind in classes.items()}
    drawn = split_groups(held, normal="good", val_fraction=val, test_fraction=test, seed=seed)
    assert all(each.part in each.parts for each in drawn.values())
    return {name: each.part for name, each in drawn.items()}


def of_enough_classes(classes: dict[str, str]) -> dict[str, str]:
    """The same data set with so many of each class that every part has some by their names alone."""
    return classes | {f"{kind} {n}": kind for kind in ("good", "dent", "scratch") for n in range(40)}


@given(DATA_SETS, DATA_SETS, st.integers(0, 3))
def test_what_is_added_moves_nothing(old: dict[str, str], new: dict[str, str], seed: int) -> None:
    old = of_enough_classes(old)
    before, after = parts_of(old, seed=seed), parts_of(new | old, seed=seed)
    assert {name: after[name] for name in before} == before


@given(DATA_SETS, NAMES, st.sampled_from(["good", "dent", "scratch"]))
def test_of_few_groups_one_a_part_moves_at_most(old: dict[str, str], name: str, kind: str) -> None:
    before, after = parts_of(old), parts_of({name: kind} | old)
    moved = Counter(before[key] for key in before if after[key] != before[key] and old[key] == "good")
    assert all(number <= 1 for number in moved.values())


@given(DATA_SETS)
def test_each_part_has_some_of_each_class_of_which_there_are_enough(classes: dict[str, str]) -> None:
    parts, sizes = parts_of(classes), Counter(classes.values())
    for kind, number in sizes.items():
        has = {parts[name] for name in parts if classes[name] == kind}
        needed = ("train", "val", "test")[:number] if kind == "good" else ("val", "test") if number > 1 else ()
        assert has >= set(needed) and (kind == "good" or "train" not in has)
    defects = {parts[name] for name in parts if classes[name] != "good"}
    assert defects == set(("test", "val")[: sum(kind != "good" for kind in classes.values())])


@pytest.mark.parametrize(("val", "test"), [(0.2, 0.2), (0.1, 0.3), (0.0, 0.5), (0.4, 0.0)])
def test_shares_hold_on_average(val: float, test: float) -> None:
    parts = Counter(parts_of({str(number): "good" for number in range(2000)}, val=val, test=test).values())
    assert parts["val"] / 2000 == pytest.approx(val, abs=0.03) and parts["test"] / 2000 == pytest.approx(test, abs=0.03)
    defects = Counter(parts_of({str(number): "dent" for number in range(2000)}, val=val, test=test).values())
    assert defects["val"] / 2000 == pytest.approx(val / (val + test), abs=0.04) and not defects["train"]


def test_the_draw_is_written_down_for_good() -> None:
    parts = parts_of({str(number): "good" for number in range(12)}, seed=1)
    assert [number for number, part in parts.items() if part != "train"] == ["10", "2", "4", "6", "8"]


def test_a_group_is_in_one_part_and_its_samples_say_among_which_it_was_drawn() -> None:
    targets = [{"label": 0}, {"label": 1}, {"label": 0}]
    samples = [
        Sample(key=str(n), split="train", group=group, files={}, targets=targets[n])
        for n, group in enumerate(("a", "a", "b"))
    ]
    first, second, third = draw_splits(samples, SplitSettings())
    assert first.split == second.split != "train" and third.split == "train"
    assert [each.drawn_from for each in (first, third)] == [{"val", "test"}, {"train", "val", "test"}]


@pytest.mark.parametrize("seed", range(8))
def test_what_is_not_known_stands_for_no_defect(seed: int) -> None:
    """Two groups of defects are one for validation and one for test, however many there are of what nobody knows."""
    kinds = {"dented": ("dent",), "scratched": ("good", "scratch"), **{f"new {n}": ("good", None) for n in range(9)}}
    samples = [
        Sample(
            key=f"{group}/{kind}",
            split="train",
            group=group,
            files={},
            targets={} if kind is None else {"class": kind, "label": int(kind != "good")},
        )
        for group, held in {**kinds, "whole": ("good",)}.items()
        for kind in held
    ]
    drawn = draw_splits(samples, SplitSettings(split_seed=seed))
    assert {each.split for each in drawn if each.targets.get("label") == 1} == {"val", "test"}
    assert all(each.group == "whole" for each in drawn if each.split == "train")
