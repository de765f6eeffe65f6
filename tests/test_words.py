"""The engine knows no welds: only a source, a preset and what is written for users speak of one field."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Where welds are at home: their source, the generator's command, the one place that takes any source, former settings.
AT_HOME = ("extract/sources/welds/", "cli/synth.py", "extract/sources/open.py", "configs/moved.py")

# `weldcache` is the package's own name; sources are imported, and chosen, by theirs.
_NAMES = re.compile(r"[Ww]eldcache|WELDCACHE|(?:sources|_SOURCES})\.welds[\w.:]*|[Ww]elds(?=Settings|\")|open_welds")
# A part of an identifier is a word, too: `arc_on` holds one.
_WORDS = re.compile(
    r"weld|(?<![a-z])(arcs?|seams?|burn[-_]?through|spatter|porosity|electrodes?|fillet|bead)(?![a-z])", re.IGNORECASE
)

# What stores and settings of earlier versions say, in the one place each that reads or writes it.
ALLOWED = {
    ("cache/arrays.py", 'ACTIVE = "arc_on"'),
    ("extract/features/settings.py", 'return "active" if value == "arc_on" else value'),
}


def speaks_of_welds(line: str) -> bool:
    return _WORDS.search(_NAMES.sub("", line)) is not None


def modules() -> list[Path]:
    shipped = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in _NOT_SHIPPED]
    return sorted(path for path in shipped if not path.relative_to(ROOT).as_posix().startswith(AT_HOME))


_NOT_SHIPPED = {".import", ".venv", "tests", "benchmarks", "docs", "examples", "build"}


def test_the_engine_knows_no_welds() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in modules()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if speaks_of_welds(line) and (path.relative_to(ROOT).as_posix(), line.strip()) not in ALLOWED
    ]
    assert found == []


@pytest.mark.parametrize(
    "line", ["38 welds", "A weld:", "num_welds = 3", "while the arc burns", "burnthrough", "arc_on", "_seam"]
)
def test_a_word_of_the_field_would_be_found(line: str) -> None:
    assert speaks_of_welds(line)


@pytest.mark.parametrize("line", ["`weldcache info`", "from .sources.welds.open import x", "arcsine", "search"])
def test_names_that_are_no_such_words_are_left_alone(line: str) -> None:
    assert not speaks_of_welds(line)
