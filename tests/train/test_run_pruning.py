"""What of the runs can be spared, and that nothing else goes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache.atomic import write_json
from weldcache.locking import locked_folder
from weldcache.train.run_folder import RunFolder
from weldcache.train.run_pruning import Removal, carry_out, plan_pruning, pruning_document

MakeRun = Callable[..., RunFolder]
Contents = Callable[[Path], dict[str, bytes]]


def plan(
    folder: Path, *, nested: bool = False, keep_best: int | None = None, unfinished: bool = False
) -> list[Removal]:
    return plan_pruning(folder, nested=nested, keep_best=keep_best, unfinished=unfinished)


def whole_runs(removals: list[Removal]) -> set[str]:
    return {removal.entry.name for removal in removals if removal.files is None}


def test_planning_changes_nothing(make_run: MakeRun, tmp_path: Path, contents: Contents) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", stopped=None)
    before = contents(tmp_path)
    assert plan(tmp_path, keep_best=1, unfinished=True)
    assert contents(tmp_path) == before


def test_the_optimisers_state_of_finished_runs_can_be_spared(
    make_run: MakeRun, tmp_path: Path, contents: Contents
) -> None:
    make_run(tmp_path / "done")
    make_run(tmp_path / "early", stopped="patience")
    make_run(tmp_path / "half", stopped=None)
    make_run(tmp_path / "list" / "deep")
    removals = plan(tmp_path)
    assert [(removal.entry.name, removal.files, removal.num_bytes) for removal in removals] == [
        ("done", ("last.safetensors",), 3000),
        ("early", ("last.safetensors",), 3000),
    ]
    before = contents(tmp_path)
    assert carry_out(removals) == (removals, [])
    gone = {"done/last.safetensors", "early/last.safetensors"}
    assert contents(tmp_path) == {name: content for name, content in before.items() if name not in gone}
    assert plan(tmp_path) == []
    assert [removal.entry.name for removal in plan(tmp_path, nested=True)] == ["list/deep"]


def test_what_a_kill_left_behind_goes(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "half", stopped=None)
    left = [".best.0123abcd.tmp.safetensors", ".state.89abcdef.tmp.json"]
    for name in [*left, ".note", "mine.tmp"]:
        (run.path / name).write_bytes(b"12345")
    (removal,) = plan(tmp_path)
    assert removal.files == tuple(left) and removal.num_bytes == 10
    carry_out([removal])
    assert {path.name for path in run.path.iterdir()} >= {".note", "mine.tmp", "last.safetensors"}
    assert plan(tmp_path) == []


def test_the_best_by_validation_stay(make_run: MakeRun, tmp_path: Path) -> None:
    """Of those that can be compared: on the same features and the same samples."""
    for name, auroc in {"a": 0.7, "b": 0.9, "c": 0.8, "d": 0.6}.items():
        make_run(tmp_path / name, auroc=auroc)
    make_run(tmp_path / "other-features", auroc=0.1, features="g")
    make_run(tmp_path / "other-samples", auroc=0.1, validated_on=("z",))
    make_run(tmp_path / "half", auroc=0.1, stopped=None)
    removals = plan(tmp_path, keep_best=2)
    assert whole_runs(removals) == {"a", "d"}
    assert {removal.entry.name: removal.reason for removal in removals}["d"] == "4 of 4 by validation"
    carry_out(removals)
    assert {path.name for path in tmp_path.iterdir()} == {"b", "c", "other-features", "other-samples", "half"}
    assert not (tmp_path / "b" / "last.safetensors").exists() and (tmp_path / "b" / "best.safetensors").exists()


def test_a_run_without_its_weights_is_judged_like_any_other(make_run: MakeRun, tmp_path: Path) -> None:
    for name, auroc in (("a", 0.7), ("b", 0.8)):
        make_run(tmp_path / name, auroc=auroc).best_path.unlink()
    assert whole_runs(plan(tmp_path, keep_best=1)) == {"a"}


def test_without_defects_the_lower_loss_is_better(make_run: MakeRun, tmp_path: Path) -> None:
    for name, loss in {"a": 3.0, "b": 1.0, "c": 2.0}.items():
        make_run(tmp_path / name, auroc=None, loss=loss)
    assert whole_runs(plan(tmp_path, keep_best=1)) == {"a", "c"}


def test_of_equals_the_older_stays(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "new", created="2026-01-02")
    make_run(tmp_path / "old", created="2026-01-01")
    assert whole_runs(plan(tmp_path, keep_best=1)) == {"new"}


def test_a_run_without_the_figure_is_not_judged(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "a", auroc=0.9)
    make_run(tmp_path / "b", auroc=None)
    assert whole_runs(plan(tmp_path, keep_best=1)) == set()


def test_unfinished_runs_go_when_asked_for(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "done")
    make_run(tmp_path / "half", stopped=None)
    assert whole_runs(plan(tmp_path)) == set()
    removals = plan(tmp_path, unfinished=True)
    assert whole_runs(removals) == {"half"}
    carry_out(removals)
    assert [path.name for path in tmp_path.iterdir()] == ["done"]


def test_a_run_in_use_is_left_alone(make_run: MakeRun, tmp_path: Path, contents: Contents) -> None:
    make_run(tmp_path / "half", stopped=None)
    make_run(tmp_path / "done")
    removals, before = plan(tmp_path, unfinished=True), contents(tmp_path / "half")
    with locked_folder(tmp_path / "half"):
        removed, left = carry_out(removals)
    assert [removal.entry.name for removal in removed] == ["done"]
    assert [(item.removal.entry.name, "another process" in item.reason) for item in left] == [("half", True)]
    assert contents(tmp_path / "half") == before
    document = pruning_document(removed, left, done=True)
    assert document["num_bytes"] == 3000 and document["left_alone"][0]["run"] == "half"


def test_a_run_that_has_finished_meanwhile_is_left_alone(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "half", stopped=None)
    removals = plan(tmp_path, unfinished=True)
    write_json(run.state_path, run.state() | {"finished": True, "stopped": "epochs"})
    removed, (left,) = carry_out(removals)
    assert removed == [] and "changed" in left.reason and run.exists


def test_a_run_that_is_gone_is_no_failure(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "half", stopped=None)
    removals = plan(tmp_path, unfinished=True)
    run.remove()
    assert carry_out(removals)[1][0].reason == "It is gone already."


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "a package"}'])
def test_what_is_no_run_or_damaged_is_left_alone(
    make_run: MakeRun, tmp_path: Path, contents: Contents, content: str
) -> None:
    damaged = make_run(tmp_path / "damaged", stopped=None)
    damaged.manifest_path.write_text(content)
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "last.safetensors").write_bytes(b"precious")
    before = contents(tmp_path)
    removals = plan(tmp_path, nested=True, keep_best=1, unfinished=True)
    assert removals == []
    carry_out(removals)
    assert contents(tmp_path) == before
