"""What of the runs can be spared, and that nothing else goes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache import atomic
from weldcache.atomic import locked_folder
from weldcache.train.runs.catalogue import RunEntry
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.pruning import PruningPlan, _best_first, carry_out, plan_pruning, pruning_document

MakeRun = Callable[..., RunFolder]
Contents = Callable[[Path], dict[str, bytes]]


def plan(folder: Path, *, nested: bool = False, keep_best: int | None = None, unfinished: bool = False) -> PruningPlan:
    return plan_pruning(folder, nested=nested, keep_best=keep_best, unfinished=unfinished)


def whole_runs(planned: PruningPlan) -> set[str]:
    return {removal.name for removal in planned.removals if removal.files is None}


def test_planning_changes_nothing(make_run: MakeRun, tmp_path: Path, contents: Contents) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", stopped=None)
    before = contents(tmp_path)
    assert plan(tmp_path, keep_best=1, unfinished=True).removals
    assert contents(tmp_path) == before


def test_the_optimisers_state_of_finished_runs_can_be_spared(
    make_run: MakeRun, tmp_path: Path, contents: Contents
) -> None:
    make_run(tmp_path / "done")
    make_run(tmp_path / "early", stopped="patience")
    make_run(tmp_path / "half", stopped=None)
    make_run(tmp_path / "list" / "deep")
    planned = plan(tmp_path)
    assert [(removal.name, removal.files, removal.num_bytes) for removal in planned.removals] == [
        ("done", ("last.safetensors",), 3000),
        ("early", ("last.safetensors",), 3000),
    ]
    before = contents(tmp_path)
    assert carry_out(planned) == PruningPlan(planned.removals, [])
    gone = {"done/last.safetensors", "early/last.safetensors"}
    assert contents(tmp_path) == {name: content for name, content in before.items() if name not in gone}
    assert plan(tmp_path).removals == []
    assert [removal.name for removal in plan(tmp_path, nested=True).removals] == ["list/deep"]


def test_what_a_kill_left_behind_goes(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "half", stopped=None)
    left = [".best.0123abcd.tmp.safetensors", ".state.89abcdef.tmp.json"]
    for name in [*left, ".note", "mine.tmp"]:
        (run.path / name).write_bytes(b"12345")
    planned = plan(tmp_path)
    (removal,) = planned.removals
    assert removal.files == tuple(left) and removal.num_bytes == 10
    carry_out(planned)
    assert {path.name for path in run.path.iterdir()} >= {".note", "mine.tmp", "last.safetensors"}
    assert plan(tmp_path).removals == []


def test_the_best_by_validation_stay(make_run: MakeRun, tmp_path: Path) -> None:
    """Of those that can be compared: on the same features and the same samples."""
    for name, auroc in {"a": 0.7, "b": 0.9, "c": 0.8, "d": 0.6}.items():
        make_run(tmp_path / name, auroc=auroc)
    make_run(tmp_path / "other-features", auroc=0.1, features="g")
    make_run(tmp_path / "other-samples", auroc=0.1, validated_on=("z",))
    make_run(tmp_path / "half", auroc=0.1, stopped=None)
    planned = plan(tmp_path, keep_best=2)
    assert whole_runs(planned) == {"a", "d"}
    assert {removal.name: removal.reason for removal in planned.removals}["d"] == "4 of 4 by validation"
    carry_out(planned)
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
    planned = plan(tmp_path, unfinished=True)
    assert whole_runs(planned) == {"half"}
    carry_out(planned)
    assert [path.name for path in tmp_path.iterdir()] == ["done"]


def test_a_run_in_use_is_left_alone(make_run: MakeRun, tmp_path: Path, contents: Contents) -> None:
    make_run(tmp_path / "half", stopped=None)
    make_run(tmp_path / "done")
    planned, before = plan(tmp_path, unfinished=True), contents(tmp_path / "half")
    with locked_folder(tmp_path / "half"):
        outcome = carry_out(planned)
    assert [removal.name for removal in outcome.removals] == ["done"]
    assert [(item.name, "another process" in item.reason) for item in outcome.left] == [("half", True)]
    assert contents(tmp_path / "half") == before
    document = pruning_document(outcome, done=True)
    assert document["num_bytes"] == 3000 and document["left_alone"][0]["run"] == "half"


def test_a_run_that_has_finished_meanwhile_is_left_alone(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "half", stopped=None)
    planned, state = plan(tmp_path, unfinished=True), run.state()
    assert state is not None
    run.write(run.state_path, {**state, "finished": True, "stopped": "epochs"})
    outcome = carry_out(planned)
    assert outcome.removals == [] and "changed" in outcome.left[0].reason and run.exists


def test_a_run_that_is_gone_is_no_failure(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "half", stopped=None)
    planned = plan(tmp_path, unfinished=True)
    run.remove()
    assert carry_out(planned).left[0].reason == "It is gone already."


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "a package"}'])
def test_what_is_no_run_or_damaged_is_left_alone(
    make_run: MakeRun, tmp_path: Path, contents: Contents, content: str
) -> None:
    damaged = make_run(tmp_path / "damaged", stopped=None)
    damaged.manifest_path.write_text(content)
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "last.safetensors").write_bytes(b"precious")
    before = contents(tmp_path)
    planned = plan(tmp_path, nested=True, keep_best=1, unfinished=True)
    assert planned.removals == [] and [item.name for item in planned.left] == ["damaged"]
    carry_out(planned)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("file", ["state.json", "metrics.jsonl", "config.yaml", "manifest.json"])
def test_a_run_whose_figures_were_edited_neither_goes_nor_costs_another_its_place(
    make_run: MakeRun, tmp_path: Path, contents: Contents, file: str
) -> None:
    better, worse = make_run(tmp_path / "better", auroc=0.9), make_run(tmp_path / "worse", auroc=0.2)
    edited = better if file == "state.json" else worse
    text = (edited.path / file).read_text()
    changed = text.replace("0.9", "0.1").replace("0.2", "0.95").replace("causal_film", "causal-film")
    assert changed != text
    (edited.path / file).write_text(changed)
    before = contents(tmp_path)
    planned = plan(tmp_path, keep_best=1)
    assert whole_runs(planned) == set() and [item.name for item in planned.left] == [edited.name]
    assert file in planned.left[0].reason
    carry_out(planned)
    assert contents(tmp_path / edited.name) == {
        name.partition("/")[2]: content for name, content in before.items() if name.startswith(f"{edited.name}/")
    }


def test_a_run_without_checksums_is_left_alone(
    make_run: MakeRun, unseal: Callable[[RunFolder], None], tmp_path: Path, contents: Contents
) -> None:
    make_run(tmp_path / "sealed", auroc=0.9)
    unseal(make_run(tmp_path / "old", auroc=0.1))
    unseal(make_run(tmp_path / "older", auroc=0.2, stopped=None))
    before = contents(tmp_path / "old")
    planned = plan(tmp_path, keep_best=1, unfinished=True)
    assert whole_runs(planned) == set()
    assert [(item.name, "no checksums" in item.reason) for item in planned.left] == [("old", True), ("older", True)]
    carry_out(planned)
    assert contents(tmp_path / "old") == before


def test_what_a_killed_removal_left_is_found(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "list" / "deep", stopped=None)
    make_run(tmp_path / "half", stopped=None)
    planned = plan(tmp_path, nested=True, unfinished=True)
    with monkeypatch.context() as patch:
        patch.setattr(atomic.shutil, "rmtree", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        for removal in planned.removals:
            with pytest.raises(KeyboardInterrupt):
                carry_out(PruningPlan([removal], []))
    again = plan(tmp_path, nested=True)
    assert len(again.removals) == 2 and all(removal.num_bytes > 4000 for removal in again.removals)
    carry_out(again)
    assert [path.name for path in tmp_path.rglob("*")] == ["list"]


def test_the_best_of_a_task_are_those_by_its_own_monitor() -> None:
    def entry(task: str, **best: float | None) -> RunEntry:
        return RunEntry(
            "",
            "",
            "",
            "",
            "",
            task,
            "finished",
            1,
            {**best},
            (),
            None,
            seconds=0.0,
            num_bytes=0,
            sealed=True,
            faults=(),
        )

    low, high = entry("classification", val_accuracy=0.5, val_auroc=0.9), entry("classification", val_accuracy=0.8)
    assert _best_first([low, high]) == [high, low]
    small, large = entry("anomaly", val_auroc=None, val_loss=1.0), entry("anomaly", val_loss=2.0)
    assert _best_first([large, small]) == [small, large]
    assert _best_first([entry("of another version", val_loss=1.0)]) == []


def test_old_runs_go_when_they_are_asked_for(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "old")
    make_run(tmp_path / "half", stopped=None)
    planned = plan_pruning(tmp_path, nested=False, keep_best=None, unfinished=False, older_than=1)
    assert whole_runs(planned) == {"old"}
    far = plan_pruning(tmp_path, nested=False, keep_best=None, unfinished=False, older_than=100_000)
    assert whole_runs(far) == set()
