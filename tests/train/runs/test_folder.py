"""Names of runs, and folders that appear and vanish whole."""

from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache.errors import NotFoundError, OutputExistsError, SettingsError
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.names import all_runs, find_run, latest_run, named_run, next_name, runs_below, runs_in

Make = Callable[..., RunFolder]
COMMAND = "weldcache train --run half --set 'recipe.blocks=[2, 4]' --overwrite"


@pytest.fixture
def make(run_manifest: Callable[..., dict[str, object]]) -> Make:
    def make_run(
        folder: Path, name: str, *, created: str = "2025-01-01", finished: bool | None = None, command: str = COMMAND
    ) -> RunFolder:
        run = named_run(folder, name)
        run.create(config="train: {}\n", manifest=run_manifest(created=created, command=command))
        if finished is not None:
            run.write(run.state_path, {"finished": finished, "stopped": None, "epoch": 0, "best": None})
        return run

    return make_run


def test_a_new_run_has_its_settings_and_manifest(make: Make, tmp_path: Path) -> None:
    run = make(tmp_path / "runs", "first")
    assert sorted(path.name for path in run.path.iterdir()) == ["config.yaml", "manifest.json"]
    assert run.exists and not run.finished
    assert [path.name for path in run.path.parent.iterdir()] == ["first"]


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_is_finished_when_its_state_says_so(make: Make, tmp_path: Path, finished: bool) -> None:
    assert make(tmp_path, "run", finished=finished).finished is finished


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "-x"])
def test_names_that_are_no_plain_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="letters, digits"):
        named_run(tmp_path, name)


def test_numbers_go_up_and_gaps_are_not_filled(make: Make, tmp_path: Path) -> None:
    assert next_name(tmp_path / "runs", "film") == "film-001"
    for name in ("film-001", "film-007", "film-new", "other-009"):
        make(tmp_path / "runs", name)
    assert next_name(tmp_path / "runs", "film") == "film-008"


def test_the_latest_run_is_the_newest_finished_one(make: Make, tmp_path: Path) -> None:
    make(tmp_path, "b", created="2025-01-02", finished=True)
    make(tmp_path, "a", created="2025-01-03", finished=True)
    make(tmp_path, "c", created="2025-01-01", finished=True)
    make(tmp_path, "d", created="2025-01-04", finished=False)
    assert [run.name for run in all_runs(tmp_path)] == ["c", "b", "a", "d"]
    assert latest_run(tmp_path).name == "a"


@pytest.mark.parametrize("name", [None, "latest"])
def test_latest_or_no_name_means_the_newest_finished_one(make: Make, tmp_path: Path, name: str | None) -> None:
    make(tmp_path, "a", created="2025-01-02", finished=True)
    make(tmp_path, "b", created="2025-01-01", finished=True)
    assert find_run(tmp_path, name).name == "a"


def test_latest_is_no_name_for_a_run(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="latest stands for"):
        named_run(tmp_path, "latest")


def test_a_run_is_found_by_its_name_or_below_its_list(make: Make, tmp_path: Path) -> None:
    make(tmp_path, "film-001", finished=False)
    make(tmp_path / "ablation", "gate-seed0", finished=True)
    assert find_run(tmp_path, "film-001") == RunFolder(tmp_path / "film-001")
    assert find_run(tmp_path, "ablation/gate-seed0") == RunFolder(tmp_path / "ablation" / "gate-seed0")
    assert runs_in(tmp_path) == [RunFolder(tmp_path / "film-001")]
    assert {run.name for run in runs_below(tmp_path)} == {"film-001", "gate-seed0"}


@pytest.mark.parametrize("name", ["/elsewhere/runs/first", "./runs/first", "~/runs/first"])
def test_a_path_is_no_name_and_it_is_said_how_to_name_its_run(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"runs\.folder=.*runs"):
        find_run(tmp_path, name)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("film-01", "film-001"), ("ablation/gate-seed1", "ablation/gate-seed0"), ("gate-seed0", "ablation/gate-seed0")],
)
def test_a_name_that_is_not_there_gives_the_nearest(make: Make, tmp_path: Path, name: str, nearest: str) -> None:
    make(tmp_path, "film-001", finished=True)
    make(tmp_path / "ablation", "gate-seed0", finished=True)
    with pytest.raises(NotFoundError, match=rf"{name} is not a run\. Did you mean {nearest}\?"):
        find_run(tmp_path, name)


@pytest.mark.parametrize("name", ["../a", "a/../b", "/a", "a/", "list/latest"])
def test_only_names_below_the_folder_are_looked_for(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError):
        find_run(tmp_path, name)


@pytest.mark.parametrize("manifest", ["{", "[]", '{"name": "a package"}'])
def test_what_is_no_run_is_passed_over_with_a_word(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], manifest: str
) -> None:
    make(tmp_path, "whole", finished=True)
    make(tmp_path, "broken").manifest_path.write_text(manifest)
    assert latest_run(tmp_path).name == "whole"
    assert "Passed over" in capsys.readouterr().err


def test_where_nothing_is_finished_the_message_says_how_to_go_on(make: Make, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"Make one with `weldcache train`\.$"):
        latest_run(tmp_path / "runs")
    make(tmp_path, "half", finished=False)
    with pytest.raises(NotFoundError, match=r"weldcache train --run half --set 'recipe.blocks=\[2, 4\]'` goes on"):
        latest_run(tmp_path)


def test_a_folder_that_is_there_is_not_written_over(make: Make, tmp_path: Path) -> None:
    run = make(tmp_path, "run")
    with pytest.raises(OutputExistsError, match="exists already"):
        run.create(config="", manifest={})
    assert run.config_path.read_text() == "train: {}\n"


def test_only_runs_are_removed(make: Make, tmp_path: Path) -> None:
    run = make(tmp_path, "run")
    precious = tmp_path / "photographs"
    precious.mkdir()
    with pytest.raises(OutputExistsError, match="will not be deleted"):
        named_run(tmp_path, "photographs").remove()
    run.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["photographs"]


def test_a_folder_without_manifest_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is not a run"):
        RunFolder(tmp_path).manifest()
