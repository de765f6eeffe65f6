"""The documentation is true: paths exist, layers are those that are enforced, commands parse, the quick start runs.

Every whole line of a ```sh block is a command; in a ```console block only lines that start with `$ ` are, the others
are output.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from weldcache.cache.status import Status
from weldcache.cli.main import app
from weldcache.configs.explain import explain
from weldcache.errors import SettingsError
from weldcache.evaluate.trials.variant_list import load_variant_list
from weldcache.settings import load_settings, preset_names
from weldcache.train.runs.folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
)

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_IN_LINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_PATH = re.compile(r"\.?[\w-][\w.-]*(/[\w.-]+)*(/|\.py|\.toml|\.md|\.yaml|\.sh)|[\w.-]+(/[\w.-]+)+")


def blocks(text: str, *languages: str) -> list[str]:
    """Contents of the fenced blocks in these languages, in order."""
    return [body for language, body in _BLOCK.findall(text) if language in languages]


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next of its level or above."""
    level, found, in_block, lines = len(heading.split()[0]), False, False, []
    for line in text.splitlines(keepends=True):
        in_block ^= line.startswith("```")
        if not in_block and re.match(rf"#{{1,{level}}} ", line):
            found = line.strip() == heading
        elif found:
            lines.append(line)
    assert lines, f"there is no heading {heading!r}"
    return "".join(lines)


def test_the_attacks_that_security_names_are_made() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", (ROOT / "SECURITY.md").read_text()))
    assert named and named <= {path.name for path in (ROOT / "tests" / "attacks").glob("test_*.py")}


def first_words(block: str) -> list[str]:
    """The first word of each line."""
    return [line.split()[0] for line in block.splitlines() if line.strip()]


def command_lines(text: str) -> Iterator[str]:
    """Lines that a reader is meant to type."""
    for language, body in _BLOCK.findall(text):
        lines = body.replace("\\\n", " ").splitlines()
        if language == "sh":
            yield from lines
        elif language == "console":
            yield from (line.removeprefix("$ ") for line in lines if line.startswith("$ "))


def words_of(line: str) -> Iterator[list[str]]:
    """The commands of a shell line, each as its words; comments are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("&|;"):
            yield words
            words = []
        else:
            words.append(word)
    if words:
        yield words


def documented_commands(program: str) -> list[object]:
    """Parameters for a test: every command of `program` in any document, once."""
    found: dict[tuple[str, ...], str] = {}
    for document in DOCUMENTS:
        if document.is_file():
            for line in command_lines(document.read_text(encoding="utf-8")):
                for words in words_of(line):
                    if words[0] == program:
                        found.setdefault(tuple(words[1:]), document.name)
    return [pytest.param(list(words), id=f"{name}: {' '.join(words)}") for words, name in found.items()]


def check_command(words: list[str]) -> None:
    """Parse a command as the program would, settings included, without running it."""
    command = typer.main.get_command(app)
    arguments = [word for word in words if word != "--debug"]
    while isinstance(command, TyperGroup) and arguments and not arguments[0].startswith("-"):
        assert arguments[0] in command.commands, f"there is no command {arguments[0]}"
        command, *arguments = command.commands[arguments[0]], *arguments[1:]
    if "--help" in arguments:
        return
    given = command.make_context("weldcache", list(arguments)).params
    preset = given.get("config") if given.get("config") in preset_names() else None
    settings = load_settings(preset, overrides=given.get("settings") or [], folder=ROOT / "docs")
    if "key" in given:
        explain(given["key"], settings=settings)


@pytest.mark.parametrize("words", documented_commands("weldcache"))
def test_every_documented_command_is_one(words: list[str]) -> None:
    check_command(words)


@pytest.mark.parametrize(
    "line",
    [
        "weldcache extract --fast",
        "weldcache hpo",
        "weldcache synth demo --size huge",
        "weldcache train --set train.learning_rate=1",
        "weldcache config explain train.learning_rate",
    ],
)
def test_a_command_that_is_none_would_be_noticed(line: str) -> None:
    (words,) = words_of(line)
    with pytest.raises((AssertionError, SettingsError, typer.TyperException), match=r"hpo|fast|huge|learning_rate"):
        check_command(words[1:])


@pytest.mark.parametrize("words", documented_commands("make"))
def test_every_documented_make_target_exists(words: list[str]) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {word for word in words if "=" not in word} <= set(targets)


@pytest.mark.parametrize("words", documented_commands("python"))
def test_every_documented_script_exists(words: list[str]) -> None:
    assert [word for word in words if word.endswith(".py") and not (ROOT / word).is_file()] == []


def anchors(document: Path) -> set[str]:
    """What links name the headings of a page by."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", document.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_to_a_file_or_a_heading_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", document.read_text(encoding="utf-8"))
    for target, heading in links:
        if "://" not in target:
            page = document.parent / target if target else document
            assert page.exists(), target
            assert not heading or heading in anchors(page), f"{target}#{heading}"


def test_every_path_in_the_architecture_exists() -> None:
    text = _BLOCK.sub("", ARCHITECTURE.read_text(encoding="utf-8"))
    paths = {span for span in _IN_LINE.findall(text) if _PATH.fullmatch(span)}
    assert len(paths) > 30
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_the_house_shows_every_package() -> None:
    (house,) = blocks(section(ARCHITECTURE.read_text(encoding="utf-8"), "## The house"), "text")
    shown = first_words(house)
    assert [path for path in shown if not (ROOT / path).exists()] == []
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    packages = {name.partition(".")[2].replace(".", "/") + "/" for name in listed} - {"/"}
    assert packages <= set(shown)


def test_the_layers_are_those_that_are_enforced() -> None:
    (layers,) = blocks(section(ARCHITECTURE.read_text(encoding="utf-8"), "## Layers"), "text")
    shown = [re.split(r"\s{2,}", line)[0] for line in layers.splitlines()]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (enforced,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert shown == [layer.replace("weldcache.", "") for layer in enforced]


def test_the_status_values_are_those_of_the_code() -> None:
    (table,) = blocks(section(ARCHITECTURE.read_text(encoding="utf-8"), "### Status"), "text")
    assert [tuple(line.split()[:2]) for line in table.splitlines()] == [(str(int(s)), s.name) for s in Status]


def test_the_files_of_a_run_are_those_of_the_code(tmp_path: Path) -> None:
    (listed,) = blocks(section(ARCHITECTURE.read_text(encoding="utf-8"), "## A run's folder"), "text")
    run = RunFolder(tmp_path / "run")
    written = {
        path.name for name in dir(RunFolder) if name.endswith("_path") and isinstance(path := getattr(run, name), Path)
    }
    assert written <= set(first_words(listed))


def test_the_list_of_variants_that_experiments_show_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    (shown,) = blocks(section(page, "## Experiments on the same features"), "yaml")
    (tmp_path / "half.yaml").write_text(shown)
    variants = load_variant_list(str(tmp_path / "half.yaml"))
    assert list(variants.variants) == ["v5", "half"]


def test_every_fault_has_a_test_that_would_catch_it() -> None:
    rows = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "faults.md").read_text(encoding="utf-8"))
    assert len(rows) > 10
    missing = [f"{path}::{name}" for path, name in rows if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []


def quick_start() -> list[list[str]]:
    """The commands of the start with synthetic welds, and of experiments in its folder, as their words."""
    start = section((ROOT / "docs" / "quick-start.md").read_text(encoding="utf-8"), "## Synthetic welds")
    shell = blocks(start + (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8"), "sh")
    return [words for block in shell for line in block.splitlines() for words in words_of(line)]


@pytest.mark.slow
def test_the_quick_start_runs(tmp_path: Path, weldcache: Callable[..., Any], undrawn: None) -> None:
    """Word for word, but on the smallest data and for an epoch of one seed; `info` by a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / ".import")}
    smaller = {
        "synth": ["--workers", "1"],
        "extract": ["--set", "extract.workers=0"],
        "train": ["--set", "train.epochs=1"],
        "bench": ["--set", "train.epochs=1", "--seeds", "0"],
    }
    folder, done = tmp_path, []
    for program, *arguments in quick_start():
        if program == "cd":
            folder = folder / arguments[0]
            continue
        assert program == "weldcache", f"the quick start has a command that this test cannot run: {program}"
        command = ["tiny" if word == "small" else word for word in arguments] + smaller.get(arguments[0], [])
        if command[0] == "info":
            apart = [sys.executable, "-m", "weldcache", *command]
            finished = subprocess.run(apart, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            assert finished.returncode == 0, finished.stderr
        else:
            outcome = weldcache(*command, folder=folder)
            assert outcome.code == 0, outcome.err
        done.append(arguments[0])
    assert done[:7] == ["synth", "plan", "extract", "info", "verify", "train", "eval"]
    assert done[7:12] == ["extract", "extract", "verify", "export", "import"]
    assert {"bench", "fuse", "runs"} <= set(done[12:])
    assert {path.parent.name for path in folder.glob("runs/*/report.html")} == {"causal_film-001", "fused"}
    assert (folder / "runs" / "fused" / "report.json").is_file()
