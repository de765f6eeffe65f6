"""What is typed wrong gets the nearest that is right; what is short gets a long form; what Tab offers."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from weldcache.cli.completion import assignments, lists, presets, runs, settings, synthetic_fields, weights
from weldcache.cli.main import app
from weldcache.tests.json_shapes import documented_shapes

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["exctract"], "Did you mean 'extract'? See `weldcache --help`."),
        (["eval", "--split", "tset"], "'tset' is not one of 'val', 'test'. Did you mean test? See `weldcache eval"),
        (["train", "--overwrit"], "No such option: --overwrit. Did you mean --overwrite?"),
        (["train", "--lr", "1e-4"], "No such option: --lr. Settings are given by --set: --set train.lr=VALUE. See"),
        (["bench", "--weight-decay", "1"], "--set train.weight_decay=VALUE"),
        (["train", "--config", "stge1"], "Did you mean stage1?"),
        (["config", "explain", "lrr"], "There is no setting lrr. Did you mean train.lr?"),
        (["config", "show", "--set", "lr=1"], "weldcache config explain lr"),
        (
            ["config", "show", "--set", "train.loggers=wandb"],
            "train.loggers: Input should be a list in square",
        ),
        (["eval", "first", "--run", "second"], "named twice, first and --run second"),
    ],
)
def test_what_is_nearest_is_offered(weldcache: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    outcome = weldcache(*arguments, folder=tmp_path)
    assert outcome.code == 2 and said in outcome.err and ".." not in outcome.err.replace("...", "")


def test_a_setting_is_explained_by_its_last_word(weldcache: Run, tmp_path: Path) -> None:
    outcome = weldcache("config", "explain", "lr", folder=tmp_path)
    assert outcome.code == 0 and outcome.out.startswith("train.lr Peak learning rate")
    every = weldcache("config", "explain", "revision", folder=tmp_path)
    assert "features.audio.revision" in every.out and "features.video.revision" in every.out


@pytest.mark.parametrize(
    ("command", "key"), [(["list"], "presets"), (["show"], "settings"), (["explain", "train.lr"], "settings")]
)
def test_settings_are_told_as_json_too(weldcache: Run, tmp_path: Path, command: list[str], key: str) -> None:
    outcome = weldcache("config", *command, "--json", folder=tmp_path)
    told = json.loads(outcome.raw_out)
    assert outcome.code == 0 and told["schema_version"] == 1 and told.keys() == {"schema_version", key}
    if command[0] == "explain":
        assert [each["key"] for each in told[key]] == ["train.lr"] and told[key][0]["may_be"] == "number above 0"


def test_every_command_has_json_of_a_shape_that_is_told() -> None:
    commands = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    groups = {name: group.commands for name, group in commands.items() if hasattr(group, "commands")}
    leaves = {name: command for name, command in commands.items() if name not in groups}
    leaves |= {f"{name} {inner}": each for name, group in groups.items() for inner, each in group.items()}
    with_json = {name for name, each in leaves.items() if any("--json" in parameter.opts for parameter in each.params)}
    assert with_json == set(leaves) == {command.partition(" --")[0] for command in documented_shapes()}


def test_where_no_file_says_settings_that_is_said(weldcache: Run, tmp_path: Path) -> None:
    told = "There is no weldcache.yaml in this folder, so the defaults hold (preset v5)."
    for arguments in (["info"], ["runs", "show"], ["config", "explain", "lr"], ["config", "show"]):
        assert told in weldcache(*arguments, folder=tmp_path).err, arguments
    assert told not in weldcache("info", "--config", "demo", folder=tmp_path).err
    (tmp_path / "weldcache.yaml").write_text("preset: demo\n")
    assert told not in weldcache("info", folder=tmp_path).err


@pytest.mark.parametrize("asked", [["--version"], ["train", "--version"]])
def test_the_version(weldcache: Run, tmp_path: Path, asked: list[str]) -> None:
    outcome = weldcache(*asked, folder=tmp_path)
    assert (outcome.code, outcome.out) == ((0, "weldcache 0.1.0") if len(asked) == 1 else (2, ""))


@pytest.mark.parametrize("command", [[], ["train"], ["runs", "list"]])
def test_short_help(weldcache: Run, tmp_path: Path, command: list[str]) -> None:
    assert weldcache(*command, "-h", folder=tmp_path).raw_out == weldcache(*command, "--help", folder=tmp_path).raw_out


def test_quiet_says_nothing_but_errors(weldcache: Run, tmp_path: Path) -> None:
    assert weldcache("config", "show", folder=tmp_path).err
    for place in (["-q", "config", "show"], ["config", "show", "--quiet"]):
        outcome = weldcache(*place, folder=tmp_path)
        assert outcome.err == "" and outcome.out
    assert weldcache("-q", "info", folder=tmp_path).err.startswith("weldcache: There is no feature store")


def test_common_settings_have_options(weldcache: Run, extracted: Path, runs_of: Callable[[Path], Path]) -> None:
    project = runs_of(extracted)
    asked = ["--seed", "7", "--epochs", "1", "--device", "cpu", "--set", "train.epochs=5"]
    outcome = weldcache("train", "--run", "short", *asked, "--set", "train.device=cuda", "--json", folder=project)
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.raw_out)
    manifest = json.loads((project / "runs/short/manifest.json").read_text())
    assert manifest["seed"] == 7 and (told["name"], told["epochs"]) == ("short", 1) and told["schema_version"] == 1
    refused = weldcache("train", "--epochs", "2", "--set", "recipe.name=nearest", folder=project)
    assert refused.code == 2 and "does not read train.epochs" in refused.err


def test_tab_offers_what_there_is(judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(judged)
    assert runs("fi") == ["first"] and runs("x") == []
    assert presets("demo") == ["demo", "demo-dinov2", "demo-random"]
    assert settings("train.l") == ["train.lr", "train.loading", "train.loggers"]
    assert assignments("train.lr") == ["train.lr="]
    assert lists("fie") == ["field"] and weights("dino") == ["dinov2-small"] and synthetic_fields("c") == ["cub"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weldcache.yaml").write_text("nonsense: [")
    assert settings("train") == runs("") == []


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ev", "eval"),
        ("runs sh", "show"),
        ("train --config demo-d", "demo-dinov2"),
        ("train --set train.lo", "train.loading= train.loggers="),
        ("sweep --sweep train.lr", "train.lr="),
        ("train --run fi", "first"),
        ("audit --run fi", "first"),
        ("compare first nested/o", "nested/one"),
        ("bench fiel", "field"),
        ("weights add eff", "efficientnet-lite0"),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_offered_what_there_is(
    weldcache: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, typed: str, offered: str
) -> None:
    for run in ("first", "nested/one"):
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "config.yaml").touch()
    line = f"weldcache {typed}"
    monkeypatch.setenv("_WELDCACHE_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    outcome = weldcache(folder=tmp_path)
    assert outcome.code == 0
    quoted = r'"([^"]+)"' if shell == "zsh" else r"([^\t]+)"  # behind which zsh and fish have what a command does
    assert [found[1] for line in outcome.raw_out.splitlines() if (found := re.search(quoted, line))] == offered.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(weldcache: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setenv("_WELDCACHE_COMPLETE", f"source_{shell}")
    outcome = weldcache(folder=tmp_path)
    assert outcome.code == 0 and f"_WELDCACHE_COMPLETE=complete_{shell}" in outcome.out


def test_the_shell_is_told_how_to_complete(weldcache: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_WELDCACHE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "weldcache eval --split t")
    monkeypatch.setenv("COMP_CWORD", "3")
    outcome = weldcache(folder=tmp_path)
    assert (outcome.code, outcome.out) == (0, "test")
