"""docs/post-mortem.md is true: on its own logs and data an audit says what the page says that it says.

Section 4, which takes minutes, is held by tests/evaluate/tasks/orientation/test_judge.py on fewer points.
"""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "post-mortem.md").read_text(encoding="utf-8")
SECTIONS = {
    int(number): text for number, text in re.findall(r"^## (\d)\.(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
}
LOGS = dict(re.findall(r"`([\w-]+\.csv)`.*?```csv\n(.*?)```", PAGE, re.DOTALL))

Call = Callable[..., Any]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def quoted(text: str) -> list[str]:
    """What an audit is said to print."""
    return [line for block in blocks(text, "text") for line in block.splitlines()]


@pytest.mark.parametrize(("section", "clean"), [(1, ["mended.csv"]), (2, [])])
def test_a_log_of_each_kind_is_audited(section: int, clean: list[str], tmp_path: Path, weldcache: Call) -> None:
    printed, passed = "", []
    for words in (shlex.split(line) for block in blocks(SECTIONS[section], "sh") for line in block.splitlines()):
        if "--log" in words:
            (name,) = (word for word in words if word.endswith(".csv"))
            (tmp_path / name).write_text(LOGS[name])
            outcome = weldcache(*words[1:], folder=tmp_path)
            printed += outcome.out
            passed += [name] if outcome.code == 0 else []
    assert passed == clean
    told = [line for line in quoted(SECTIONS[section]) if " files: " not in line]
    assert told and [line for line in told if line not in printed] == []


@pytest.mark.slow
@pytest.mark.parametrize("section", [2, 3])
def test_the_data_of_the_page_are_audited_word_for_word(section: int, tmp_path: Path, weldcache: Call) -> None:
    folder, printed = tmp_path, ""
    for words in (shlex.split(line) for block in blocks(SECTIONS[section], "sh") for line in block.splitlines()):
        if words[0] == "cd":
            folder = folder / words[1]
        elif "--log" not in words:
            aside = {"synth": ["--workers", "1"], "extract": ["--set", "extract.workers=0"]}.get(words[1], [])
            outcome = weldcache(*words[1:], *aside, folder=folder)
            # The run that looks at photographs alone is the one in which nothing is severe.
            assert outcome.code == (words[1] == "audit" and words[-1] != "image"), outcome.out + outcome.err
            printed += outcome.out
    told = [line for line in quoted(SECTIONS[section]) if section == 3 or " files: " in line]
    assert told and [line for line in told if line not in printed] == []
