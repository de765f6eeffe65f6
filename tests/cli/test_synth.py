"""`weldcache synth`: never writes over what it did not make."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Contents = Callable[[Path], dict[str, bytes]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "1"], "seed: 0 there, 1 asked for"),
        (["--confounded"], "confounded: False there, True asked for"),
        (["--size", "small"], "size: tiny there, small asked for"),
    ],
)
def test_another_plan_is_refused_and_the_data_untouched(
    weldcache: Callable[..., Any], synthetic: Path, contents: Contents, options: list[str], said: str
) -> None:
    before = contents(synthetic)
    arguments = [*options, *([] if "--size" in options else ["--size", "tiny"])]
    outcome = weldcache("synth", str(synthetic), *arguments, folder=synthetic.parent)
    assert outcome.code == 2 and said in outcome.err and "Traceback" not in outcome.err
    assert contents(synthetic) == before


def test_a_foreign_folder_is_refused(weldcache: Callable[..., Any], tmp_path: Path, contents: Contents) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").write_text("years of work")
    outcome = weldcache("synth", "thesis", "--size", "tiny", folder=tmp_path)
    assert outcome.code == 2 and "is not empty" in outcome.err and "empty or new folder" in outcome.err
    assert contents(folder) == {"chapter1.tex": b"years of work"}


def test_the_home_folder_is_meant_by_its_sign(
    weldcache: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell replaces it in `~/x`, and not everywhere in `'~/x'` or `--to=~/x`."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home/thesis").mkdir(parents=True)
    (tmp_path / "home/thesis/chapter1.tex").touch()
    outcome = weldcache("synth", "~/thesis", "--size", "tiny", folder=tmp_path)
    assert outcome.code == 2 and "home/thesis is not empty" in outcome.err
    outcome = weldcache("import", "~/none.h5", folder=tmp_path)
    assert outcome.code == 2 and f"{tmp_path}/home/none.h5" in outcome.err
    for command in ("info", "plan", "extract", "train"):
        outcome = weldcache(command, "--cache=~/f.zarr", folder=tmp_path)
        assert outcome.code == 2 and not (tmp_path / "~").exists()
    outcome = weldcache("info", "--cache=~/f.zarr", folder=tmp_path)
    assert f"{tmp_path}/home/f.zarr" in outcome.err
    outcome = weldcache("bench", "~/list.yaml", folder=tmp_path)
    assert outcome.code == 2 and not (tmp_path / "~").exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]


def test_a_file_in_its_place_is_bad_input(weldcache: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    outcome = weldcache("synth", "notes.txt", "--size", "tiny", folder=tmp_path)
    assert outcome.code == 2 and "notes.txt" in outcome.err and "fault of weldcache" not in outcome.err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_run_again_it_has_nothing_to_do_and_keeps_the_users_settings(
    weldcache: Callable[..., Any], synthetic: Path, copy_of: Callable[[Path], Path], contents: Contents
) -> None:
    project = copy_of(synthetic)
    before = contents(project)
    outcome = weldcache("synth", ".", "--size", "tiny", folder=project)
    assert outcome.code == 0 and "Complete already" in outcome.out and "38 welds" in outcome.out
    assert "AUROC on test" in outcome.out and "the process" in outcome.out
    assert contents(project) == before


def test_another_preset_is_written_only_where_nobody_changed_the_settings(
    weldcache: Callable[..., Any], synthetic: Path, copy_of: Callable[[Path], Path]
) -> None:
    project = copy_of(synthetic)
    written = project / "weldcache.yaml"
    own = written.read_text()
    synth = ("synth", ".", "--size", "tiny")
    assert weldcache(*synth, "--preset", "demo", folder=project).code == 0 and written.read_text() == own
    written.unlink()
    assert weldcache(*synth, folder=project).code == 0 and "preset: demo\n" in written.read_text()
    told = json.loads(weldcache(*synth, "--preset", "demo-random", "--json", folder=project).raw_out)
    assert (told["folder"], told["welds"]["train"]) == (str(project), {"good": 8})
    assert weldcache(*synth, folder=project).code == 0 and "preset: demo-random\n" in written.read_text()
    outcome = weldcache(*synth, "--preset", "demo-rundom", folder=project)
    assert outcome.code == 2 and "demo-random" in outcome.err


def test_without_its_weights_the_demo_says_both_ways_on(
    weldcache: Callable[..., Any], synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WELDCACHE_WEIGHTS", str(tmp_path / "none"))
    store = f"cache.path={tmp_path / 'f.zarr'}"
    outcome = weldcache("extract", "--config", "demo", "--set", store, folder=synthetic)
    assert outcome.code == 2 and "weldcache weights add efficientnet-lite0" in outcome.err
    assert "--config demo-random" in outcome.err and not (tmp_path / "f.zarr").exists()


def test_a_field_that_is_not_there_is_refused_with_those_there_are(
    weldcache: Callable[..., Any], tmp_path: Path
) -> None:
    outcome = weldcache("synth", "data", "--field", "weld", folder=tmp_path)
    assert outcome.code == 2 and "'weld'" in outcome.err and "Did you mean welds?" in outcome.err
    assert not list(tmp_path.iterdir())


def test_a_mistake_that_is_not_there_is_refused(weldcache: Callable[..., Any], tmp_path: Path) -> None:
    outcome = weldcache("synth", "data", "--plant", "duplicat", folder=tmp_path)
    assert outcome.code == 2 and "Did you mean duplicate?" in outcome.err and not list(tmp_path.iterdir())
