"""Rows are dealt in whole groups, in the same shares of every label, the same way for a seed; by values where asked."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weldcache.cache.index import Index
from weldcache.cache.splits import LEFT_OUT, OFFICIAL, Split
from weldcache.cache.splitting import Dealing, dealt, make_splits, split_store, torn_groups
from weldcache.cache.store import FeatureStore
from weldcache.errors import OutputExistsError, SettingsError
from weldcache.tests.toy import index_of


def sessions(*, normal: int = 12, mixed: int = 6, defective: int = 6, size: int = 5) -> Index:
    """Sessions of normals, of both, and of defects alone; machines take turns, one row has gone and one is unknown."""
    kinds = ["normal"] * normal + ["mixed"] * mixed + ["defective"] * defective
    rows = [(number, kind, place) for number, kind in enumerate(kinds) for place in range(size)]
    labels = [int(kind == "defective" or (kind == "mixed" and place % 2)) for _, kind, place in rows]
    return index_of(
        keys=[f"{number}/{place}" for number, _, place in rows],
        splits=[LEFT_OUT, *["train"] * (len(rows) - 1)],
        groups=[f"session {number}" for number, _, _ in rows],
        class_names=["crack" if label else "good" for label in labels],
        labels=[labels[0], -1, *labels[2:]],
        attributes={
            "MACHINE": ["ABC"[number % 3] for number, _, _ in rows],
            "CURRENT_A": [float(p) for _, _, p in rows],
        },
    )


def shares(index: Index, parts: np.ndarray, label: int) -> dict[str, float]:
    chosen = parts[index.labels == label]
    return {part: count / len(chosen) for part, count in Counter(chosen.tolist()).items()}


def test_sessions_stay_whole_and_labels_are_shared_out() -> None:
    index = sessions()
    (split,) = make_splits("mine", index, Dealing(seed=1))
    assert torn_groups(index, split, noun="row") is None and split.parts[0] == LEFT_OUT
    normal = shares(index, split.parts, 0)
    assert normal["train"] == pytest.approx(0.6, abs=0.1) and normal["val"] == pytest.approx(0.2, abs=0.1)
    only_defects = np.isin(index.groups, [f"session {number}" for number in range(18, 24)])
    assert set(split.parts[only_defects]) == {"val", "test"}
    assert split.made_by["by"] == "group" and split.made_by["seed"] == 1


def test_a_seed_makes_one_split_and_another_makes_another() -> None:
    index = sessions()
    drawn = [next(make_splits("mine", index, Dealing(seed=seed))).parts.tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_classes_are_shared_out_where_they_are_asked_for() -> None:
    index = sessions(defective=20)
    (split,) = make_splits("mine", index, Dealing(stratify="class"))
    assert shares(index, split.parts, 1)["train"] == pytest.approx(0.6, abs=0.1)


def test_every_row_is_tested_once_in_folds() -> None:
    index = sessions()
    folds = list(make_splits("fold", index, Dealing(folds=4)))
    assert [fold.name for fold in folds] == ["fold_1", "fold_2", "fold_3", "fold_4"]
    parts = np.stack([fold.parts for fold in folds])[:, 1:]
    for part in ("val", "test"):
        assert ((parts == part).sum(axis=0) == 1).all()
    assert all(torn_groups(index, fold, noun="row") is None for fold in folds)
    assert len({fold.hash_of(index.keys) for fold in folds}) == 4


def test_the_values_of_an_attribute_are_dealt_or_chosen() -> None:
    index = sessions()
    (dealt_out,) = make_splits("mine", index, Dealing(by="MACHINE"))
    machines = {part: set(index.attributes["MACHINE"][dealt_out.parts == part]) for part in ("train", "val", "test")}
    assert sorted(map(len, machines.values())) == [1, 1, 1]
    (chosen,) = make_splits("mine", index, Dealing(by="MACHINE", test_values=["B"]))
    listed = index.parts != LEFT_OUT
    assert ((chosen.parts == "test") == ((index.attributes["MACHINE"] == "B") & listed)).all()
    assert {"train", "val"} < set(chosen.parts) and torn_groups(index, chosen, noun="row") is None
    (numbers,) = make_splits("mine", index, Dealing(by="CURRENT_A", test_values=["3"], val_values=["2"]))
    assert set(index.attributes["CURRENT_A"][numbers.parts == "val"]) == {2.0} and torn_groups(
        index, numbers, noun="row"
    )


def test_rows_that_are_not_asked_for_take_no_part() -> None:
    index = sessions()
    for dealing in (Dealing(only={"MACHINE": "A"}), Dealing(only={"MACHINE": "A"}, folds=3)):
        for split in make_splits("mine", index, dealing):
            is_of_a = (index.attributes["MACHINE"] == "A") & (index.parts != LEFT_OUT)
            assert ((split.parts != LEFT_OUT) == is_of_a).all()
            assert set(split.parts[is_of_a]) == {"train", "val", "test"} and split.made_by["only"] == ["MACHINE=A"]
    (whole,) = make_splits("mine", index, Dealing())
    assert "only" not in whole.made_by


@pytest.mark.parametrize(
    ("dealing", "told"),
    [
        (Dealing(by="COLOUR"), "COLOUR.*MACHINE"),
        (Dealing(stratify="MACHINE"), "MACHINE.*label"),
        (Dealing(val=0.6, test=0.4), "train"),
        (Dealing(val=0.0, test=0.0), "train"),
        (Dealing(folds=2), "3"),
        (Dealing(folds=100), "24 .*group"),
        (Dealing(by="MACHINE", folds=3, test_values=["A"]), "one of the two"),
        (Dealing(by="MACHINE", test_values=["D"]), "'D'.*A, B, C"),
        (Dealing(by="MACHINE", test_values=["A"], val_values=["A"]), "MACHINE"),
        (Dealing(by="MACHINE", val_values=["A"]), "tested"),
        (Dealing(by="MACHINE", test_values=["A", "B"], val_values=["C"]), "train"),
        (Dealing(only={"COLOUR": "red"}), "COLOUR.*MACHINE"),
        (Dealing(only={"MACHINE": "D"}), "'D'.*A, B, C"),
        (Dealing(only={"MACHINE": "A", "group": "session 1"}), "0 .*group"),
    ],
)
def test_what_cannot_be_dealt_is_refused(dealing: Dealing, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        list(make_splits("mine", sessions(), dealing))


@pytest.mark.parametrize("name", [OFFICIAL, "My split", "a/b", ""])
def test_a_name_that_no_split_can_have_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="split"):
        list(make_splits(name, sessions(), Dealing()))


def test_a_split_is_kept_and_replaced_only_on_request(tmp_path: Path) -> None:
    store = FeatureStore.create(tmp_path / "s.zarr", index=sessions())
    _, (first,) = split_store(store.path, "mine", Dealing(), overwrite=False)
    with pytest.raises(OutputExistsError, match="mine"):
        split_store(store.path, "mine", Dealing(seed=5), overwrite=False)
    assert FeatureStore.open(store.path).splits()["mine"].parts.tolist() == first.parts.tolist()
    _, (second,) = split_store(store.path, "mine", Dealing(seed=5), overwrite=True)
    assert (
        FeatureStore.open(store.path).splits()["mine"].parts.tolist() == second.parts.tolist() != first.parts.tolist()
    )


@settings(max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=3, max_size=30), st.integers(0, 1000))
def test_every_part_gets_something_and_shares_are_close(sizes: list[int], seed: int) -> None:
    counts, wanted = np.array(sizes, dtype=np.int64)[:, None], np.array([0.6, 0.2, 0.2])
    parts = dealt(counts, wanted, generator=np.random.default_rng(seed))
    held = np.bincount(parts, weights=counts[:, 0], minlength=3) / counts.sum()
    assert set(parts) == {0, 1, 2}
    assert (np.abs(held - wanted) <= 2 * counts.max() / counts.sum()).all()


def test_torn_groups_are_told_with_their_rows_and_examples() -> None:
    index = index_of(
        keys=list("012345"),
        splits=["train"] * 6,
        groups=["a", "a", "b", "b", "b", "c"],
        class_names=["good"] * 6,
        labels=[0] * 6,
        attributes={},
    )
    told = torn_groups(index, Split("s", np.array(["train", "test", "val", "train", LEFT_OUT, "test"])), noun="part")
    assert told is not None and "2 groups" in told and "4 parts" in told
    assert "a in train and test" in told and "b in train and val" in told and " c in" not in told
