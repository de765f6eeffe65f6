"""Names of runs, and folders that appear and vanish whole."""

from pathlib import Path

import pytest

from weldcache.atomic import write_json
from weldcache.errors import NotFoundError, OutputExistsError, SettingsError
from weldcache.train.run_folder import RunFolder, all_runs, latest_run, named_run, next_name


def make(folder: Path, name: str, *, created: str = "2025-01-01", finished: bool | None = None) -> RunFolder:
    run = named_run(folder, name)
    run.create(config="train: {}\n", manifest={"created": created})
    if finished is not None:
        write_json(run.state_path, {"finished": finished})
    return run


def test_a_new_run_has_its_settings_and_manifest(tmp_path: Path) -> None:
    run = make(tmp_path / "runs", "first")
    assert sorted(path.name for path in run.path.iterdir()) == ["config.yaml", "manifest.json"]
    assert run.exists and not run.finished
    assert [path.name for path in run.path.parent.iterdir()] == ["first"]


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_is_finished_when_its_state_says_so(tmp_path: Path, finished: bool) -> None:
    assert make(tmp_path, "run", finished=finished).finished is finished


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "-x"])
def test_names_that_are_no_plain_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="letters, digits"):
        named_run(tmp_path, name)


def test_numbers_go_up_and_gaps_are_not_filled(tmp_path: Path) -> None:
    assert next_name(tmp_path / "runs", "film") == "film-001"
    for name in ("film-001", "film-007", "film-new", "other-009"):
        make(tmp_path / "runs", name)
    assert next_name(tmp_path / "runs", "film") == "film-008"


def test_the_latest_run_is_the_newest_finished_one(tmp_path: Path) -> None:
    make(tmp_path, "b", created="2025-01-02", finished=True)
    make(tmp_path, "a", created="2025-01-03", finished=True)
    make(tmp_path, "c", created="2025-01-01", finished=True)
    make(tmp_path, "d", created="2025-01-04", finished=False)
    assert [run.name for run in all_runs(tmp_path)] == ["c", "b", "a", "d"]
    assert latest_run(tmp_path).name == "a"


def test_where_nothing_is_finished_the_message_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"Make one with `weldcache train`\.$"):
        latest_run(tmp_path / "runs")
    make(tmp_path, "half", finished=False)
    with pytest.raises(NotFoundError, match="weldcache train --run half"):
        latest_run(tmp_path)


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    run = make(tmp_path, "run")
    with pytest.raises(OutputExistsError, match="exists already"):
        run.create(config="", manifest={})
    assert run.config_path.read_text() == "train: {}\n"


def test_only_runs_are_removed(tmp_path: Path) -> None:
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
