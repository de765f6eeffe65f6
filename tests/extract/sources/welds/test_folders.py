"""Folders without a manifest: the class from the run's name, the split by session, drawn from a seed."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache.errors import NotFoundError, SettingsError, SourceError
from weldcache.extract.sources.welds.folders import FolderSource

MakeRun = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, make_run: MakeRun) -> Path:
    """Ten good sessions of two welds, and two sessions for each of three defects; run names repeat."""
    for session in range(10):
        for number in (1, 2):
            make_run(f"good_weld/good_{session}/10-04-22-000{number}-00", views=())
    for code in ("03", "05", "11"):
        for session in range(2):
            make_run(f"defect_data_weld/bad_{code}_{session}/10-04-22-0001-{code}", views=())
    return tmp_path


def source(root: Path, *, val: float = 0.2, test: float = 0.2, seed: int = 0) -> FolderSource:
    return FolderSource(root, val_fraction=val, test_fraction=test, split_seed=seed)


def test_class_key_and_session_come_from_the_path(root: Path) -> None:
    samples = {sample.key: sample for sample in source(root).samples()}
    assert len(samples) == 26
    weld = samples["defect_data_weld/bad_05_1/10-04-22-0001-05"]
    assert (weld.targets["class"], weld.targets["label"], weld.group) == ("undercut", 1, "bad_05_1")
    assert weld.files["video"] == (root / "defect_data_weld/bad_05_1/10-04-22-0001-05/10-04-22-0001-05.avi",)
    assert weld.attributes == {}
    good = samples["good_weld/good_3/10-04-22-0002-00"]
    assert (good.targets["class"], good.targets["label"], good.group) == ("good", 0, "good_3")


@pytest.mark.parametrize("seed", range(12))
def test_no_session_is_in_two_splits_and_train_is_normal(root: Path, seed: int) -> None:
    samples = source(root, seed=seed).samples()
    splits = defaultdict(set)
    for sample in samples:
        splits[sample.group].add(sample.split)
    assert all(len(found) == 1 for found in splits.values())
    assert len({sample.key for sample in samples}) == len(samples)
    assert {sample.targets["label"] for sample in samples if sample.split == "train"} == {0}


@pytest.mark.parametrize("seed", range(5))
def test_normal_sessions_are_in_all_splits_and_every_defect_is_on_both_sides(root: Path, seed: int) -> None:
    halves = source(root, seed=seed).samples()
    assert {sample.split for sample in halves if sample.targets["label"] == 0} == {"train", "val", "test"}
    for split in ("val", "test"):
        found = {sample.targets["class"] for sample in halves if sample.split == split and sample.targets["label"] == 1}
        assert found == {"porosity", "undercut", "crater_cracks"}


def test_the_seed_alone_decides(root: Path) -> None:
    def drawn(seed: int) -> list[str]:
        return [sample.split for sample in source(root, seed=seed).samples()]

    assert drawn(0) == drawn(0)
    assert drawn(7) == drawn(7)
    assert len({tuple(drawn(seed)) for seed in range(6)}) > 3


def test_the_order_on_disk_does_not_matter(tmp_path: Path, make_run: MakeRun) -> None:
    def drawn(top: str, sessions: list[int]) -> dict[str, str]:
        for session in sessions:
            make_run(f"{top}/good_weld/s{session}/10-04-22-0001-00", views=())
        return {sample.key: sample.split for sample in source(tmp_path / top).samples()}

    assert drawn("up", list(range(8))) == drawn("down", list(range(7, -1, -1)))


def test_a_session_with_welds_of_both_kinds_is_one_and_never_in_train(tmp_path: Path, make_run: MakeRun) -> None:
    for session in range(6):
        make_run(f"good_weld/day_{session}/10-04-22-0001-00", views=())
    for session in (1, 4):
        make_run(f"defect_data_weld/day_{session}/10-04-22-0002-05", views=())
    for seed in range(6):
        splits = defaultdict(set)
        for sample in source(tmp_path, seed=seed).samples():
            splits[sample.group].add(sample.split)
        assert all(len(found) == 1 for found in splits.values())
        assert splits["day_1"] | splits["day_4"] == {"val", "test"}


def test_few_sessions_fill_train_then_validation_then_test(tmp_path: Path, make_run: MakeRun) -> None:
    for count, splits in enumerate((["train"], ["train", "val"], ["test", "train", "val"])):
        make_run(f"good_weld/s{count}/10-04-22-0001-00", views=())
        assert sorted(sample.split for sample in source(tmp_path).samples()) == splits


def test_a_fraction_of_zero_leaves_its_split_empty(root: Path) -> None:
    assert {sample.split for sample in source(root, test=0.0).samples()} == {"train", "val"}
    assert {sample.split for sample in source(root, val=0.0).samples()} == {"train", "test"}


@pytest.mark.parametrize(("val", "test"), [(0.0, 0.0), (0.5, 0.5), (0.9, 0.6)])
def test_fractions_that_cannot_be_are_refused(root: Path, val: float, test: float) -> None:
    with pytest.raises(SettingsError, match=r"data\.val_fraction \+ data\.test_fraction is"):
        source(root, val=val, test=test).samples()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("good_weld/s/10-04-22-0001-05", "code 05 means undercut.*defect_data_weld"),
        ("defect_data_weld/s/10-04-22-0001-00", "code 00 means good.*good_weld"),
        ("defect_data_weld/s/10-04-22-0001-12", "class code 12 is not known; the codes are 00 to 11"),
        ("good_weld/s/weld_17", r"weld_17 holds weld_17\.avi and is not named like a run"),
    ],
)
def test_a_run_whose_class_is_in_doubt_is_refused(root: Path, make_run: MakeRun, key: str, message: str) -> None:
    make_run(key)
    with pytest.raises(SourceError, match=message):
        source(root).samples()


@pytest.mark.parametrize("suffix", [".mp4", ".WAV"])
def test_a_run_in_another_format_whose_class_is_in_doubt_is_refused_too(
    root: Path, make_run: MakeRun, suffix: str
) -> None:
    folder = make_run("good_weld/s/weld_17", without=[".avi", ".flac"])
    (folder / f"weld_17{suffix}").touch()
    with pytest.raises(SourceError, match="not named like a run"):
        source(root).samples()


def test_only_defects_is_refused(tmp_path: Path, make_run: MakeRun) -> None:
    make_run("defect_data_weld/s/10-04-22-0001-05")
    with pytest.raises(NotFoundError, match=r"good_weld.*data\.root.*weldcache synth"):
        source(tmp_path).samples()
    (tmp_path / "good_weld").mkdir()
    with pytest.raises(SourceError, match="no session of good welds"):
        source(tmp_path).samples()


def test_links_do_not_multiply_welds(tmp_path: Path, make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """A link to a parent, one beside its target, and one to itself; a link to what lies elsewhere is followed."""
    for session in ("good_weld/s0", "good_weld/s1", "elsewhere/s2"):
        make_run(f"{session}/10-04-22-0001-00", views=())
    links = {"s0/loop": "..", "latest": "s1", "itself": "itself", "s2": "../elsewhere/s2", "nothing": "nowhere"}
    for name, target in links.items():
        (tmp_path / "good_weld" / name).symlink_to(target)
    sessions = [sample.group for sample in source(tmp_path).samples()]
    assert sessions == ["s0", "s1", "s2"]
    told = " ".join(capsys.readouterr().err.split())
    assert "good_weld/s0/loop leads to" in told and "good_weld/latest leads to" in told
    assert "good_weld/itself cannot be listed" in told


def test_a_folder_that_may_not_be_listed_costs_what_lies_in_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "good_weld/lost+found").mkdir()
    listed = os.scandir

    def scandir(path: Path) -> object:
        if path.name in ("lost+found", "good_3"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert len(source(root).samples()) == 24
    told = " ".join(capsys.readouterr().err.split())
    assert "lost+found cannot be listed (Permission denied)" in told and "good_3 cannot be listed" in told


def test_a_name_that_is_not_utf8_is_shown_with_the_way_to_mend_it(root: Path) -> None:
    (root / "good_weld/good_0").rename(root / "good_weld/sch\udcfctte")
    with pytest.raises(SourceError, match=r"good_weld/sch\\udcfctte/10-04-22-0001-00.*not UTF-8.*rename") as caught:
        source(root).samples()
    assert str(caught.value).isascii()


def test_one_session_in_two_forms_of_unicode_is_one(tmp_path: Path, make_run: MakeRun) -> None:
    for session in ("a", "b", "c", unicodedata.normalize("NFC", "schütte")):
        make_run(f"good_weld/{session}/10-04-22-0001-00", views=())
    make_run(f"defect_data_weld/{unicodedata.normalize('NFD', 'schütte')}/10-04-22-0002-05", views=())
    samples = [sample for sample in source(tmp_path).samples() if "10-04-22-0002" in sample.key or "sch" in sample.key]
    assert {sample.group for sample in samples} == {"sch\u00fctte"}
    assert len({sample.split for sample in samples}) == 1 and all("video" in sample.files for sample in samples)
