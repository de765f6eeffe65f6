"""docs/post-mortem.md is true: its commands run, and an audit says of its logs and data what the page says it does."""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from weldcache.train.runs.trained_run import load_run

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "post-mortem.md").read_text(encoding="utf-8")
SECTIONS = {
    int(number): text for number, text in re.findall(r"^## (\d)\.(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
}
LOGS = dict(re.findall(r"`([\w-]+\.csv)`.*?```csv\n(.*?)```", PAGE, re.DOTALL))
SPARED = ("mended.csv", "image", "honest")
"""Logs and runs of which nothing severe is said."""

Call = Callable[..., Any]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands_of(section: int, *, with_logs: bool) -> Iterator[list[str]]:
    """The commands of a section on logs, or the others."""
    for line in "".join(blocks(SECTIONS[section], "sh")).splitlines():
        words = shlex.split(line)
        if ("--log" in words) is with_logs:
            yield words


def printed_by(commands: Iterable[list[str]], folder: Path, weldcache: Call) -> list[str]:
    """The errors and warnings that commands print, each of which ends as the page says."""
    found = []
    for words in commands:
        if words[0] == "cd":
            folder = folder / words[1]
            continue
        aside = {"synth": ["--workers", "1"], "extract": ["--set", "extract.workers=0"]}.get(words[1], [])
        outcome = weldcache(*words[1:], *aside, folder=folder)
        is_severe = words[1] == "audit" and not set(SPARED) & set(words)
        assert outcome.code == is_severe, (words, outcome.out + outcome.err)
        found += [line for line in outcome.raw_out.splitlines() if line.startswith(("error: ", "warning: "))]
    return found


def assert_page_says(found: list[str], section: int, *, of_files: bool | None = None) -> None:
    """That the section quotes each line that was found, and no other; such as tell of files, or such as do not."""
    told = [line for block in blocks(SECTIONS[section], "text") for line in block.splitlines()]
    told = [line for line in told if of_files in (None, ": files: " in line)]
    starts = [line.removesuffix("...") for line in told]
    assert [line for line in starts if not any(each.startswith(line) for each in found)] == []
    assert [line for line in found if not any(line.startswith(each) for each in starts)] == []


@pytest.mark.parametrize("section", [1, 2])
def test_logs_are_audited_word_for_word(section: int, tmp_path: Path, weldcache: Call) -> None:
    for name, text in LOGS.items():
        (tmp_path / name).write_text(text)
    found = printed_by(commands_of(section, with_logs=True), tmp_path, weldcache)
    assert_page_says(found, section, of_files=False)


@pytest.mark.slow
@pytest.mark.parametrize("section", [2, 3])
def test_data_and_runs_are_audited_word_for_word(section: int, tmp_path: Path, weldcache: Call) -> None:
    found = printed_by(commands_of(section, with_logs=False), tmp_path, weldcache)
    assert_page_says(found, section, of_files=True if section == 2 else None)


@pytest.mark.slow
def test_the_original_its_dead_head_and_its_repair_end_as_the_page_tells(
    tmp_path: Path, weldcache: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three trainings, a little others on another processor: words are compared, and figures nearly.

    What nothing holds back drifts further: the original's divergence has been 2.1 and 3.0.
    """
    found = printed_by(commands_of(4, with_logs=False), tmp_path, weldcache)
    number = re.compile(r"[-+]?\d+(?:\.\d+)?")
    monkeypatch.setitem(SECTIONS, 4, number.sub("#", SECTIONS[4]))
    assert_page_says([number.sub("#", line) for line in found], 4)
    original, zeros, honest = (load_run(tmp_path / f"shapes/runs/{name}") for name in ("original", "zeros", "honest"))
    (told,) = re.findall(r"best epoch\s+was \d+ of 60, with a divergence of ([\d.]+) on validation", SECTIONS[5])
    assert honest.best().metrics["val_kl"] == pytest.approx(float(told), abs=0.05)
    assert zeros.best().metrics["val_kl"] == pytest.approx(0.694, abs=0.05)
    assert original.best().metrics["val_kl"] > 1.5
