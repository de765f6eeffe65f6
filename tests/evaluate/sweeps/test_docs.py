"""What docs/sweeps.md shows works: its space and its commands, on the toy store and for an epoch each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.tests.test_docs import ROOT, blocks, command_lines, words_of


@pytest.mark.slow
def test_the_commands_of_the_page_run(weldcache: Callable[..., Any], project: Path) -> None:
    text = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    (space,) = blocks(text, "yaml")
    (project / "pace.yaml").write_text(space.replace("seeds: 3", "seeds: 1"))
    done = []
    for line in command_lines(text):
        for program, *arguments in words_of(line):
            assert program == "weldcache"
            if arguments[0] == "sweep":
                in_one = [word for word in arguments if word not in ("--jobs", "2")]
                arguments = [*in_one, "--trials", f"{1 + len(done)}", "--set", "train.epochs=1"]
            outcome = weldcache(*arguments, folder=project)
            assert outcome.code == 0, outcome.err
            done.append(arguments[0])
    assert done == ["sweep", "sweep", "sweep", "sweep", "runs"]
    assert (project / "runs/pace/sweep.html").is_file()
