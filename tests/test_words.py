"""The engine knows no field: only its source, recipes, presets and what is written for users speak of one."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Field:
    """One field: where it is at home, and words that stand nowhere else, but for `names`."""

    home: tuple[str, ...]
    words: re.Pattern[str]
    names: re.Pattern[str]

    def speaks(self, line: str) -> bool:
        return self.words.search(self.names.sub("", line)) is not None


# `weldcache` is the package's own name; sources and recipes are imported, and chosen, by theirs. A part of an
# identifier is a word, too: `arc_on` holds one. The generators' command and the one place that takes any source speak
# of all.
FIELDS = {
    "welds": Field(
        ("extract/sources/welds/", "cli/synth.py", "extract/sources/open.py", "configs/moved.py"),
        re.compile(
            r"weld|(?<![a-z])(arcs?|seams?|burn[-_]?through|spatter|porosity|electrodes?|fillet|bead)(?![a-z])",
            re.IGNORECASE,
        ),
        re.compile(
            r"[Ww]eldcache|WELDCACHE|(?:sources|_SOURCES})\.welds[\w.:]*|[Ww]elds(?=Settings|\")|open_welds|"
            r"WeldGenerator"
        ),
    ),
    "anovox": Field(
        ("extract/sources/anovox/", "train/recipes/anovox/", "cli/synth.py"),
        re.compile(r"anovox|(?<![a-z])(lidars?|scenarios?|traffic)(?![a-z])", re.IGNORECASE),
        re.compile(
            r"(?:sources|_SOURCES}|_RECIPES})\.anovox[\w.:]*|\"anovox(_\w+)?\"|\w*AnoVox\w*(?=Settings|Source|Recipe)"
        ),
    ),
    "cub": Field(
        ("extract/sources/cub/", "train/recipes/cub_", "cli/synth.py"),
        re.compile(r"(?<![a-z])(cub|birds?|beaks?|bills?|plumage|wings?|feathers?)(?![a-z])", re.IGNORECASE),
        re.compile(
            r"(?:sources|_SOURCES})\.cub[\w.:]*|\"cub(_\w+)?\"|\w*[Cc]ub\w*:?(?=Settings)|(?:recipes|_RECIPES})\.cub_[\w.:]*"
        ),
    ),
    "modelnet": Field(
        ("extract/sources/modelnet/", "train/recipes/orientation_mvm/", "cli/synth.py"),
        re.compile(r"modelnet|glass_?box|(?<![a-z])(chairs?|sofas?|furniture)(?![a-z])", re.IGNORECASE),
        re.compile(r"(?:sources|_SOURCES})\.modelnet[\w.:]*|\"modelnet\"|Modelnet(?=Settings|Source)"),
    ),
}

# What stores and settings of earlier versions say, in the one place each that reads or writes it.
ALLOWED = {
    ("cache/arrays.py", 'ACTIVE = "arc_on"'),
    ("extract/features/settings.py", 'return "active" if value == "arc_on" else value'),
}


def modules(field: Field) -> list[Path]:
    shipped = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in _NOT_SHIPPED]
    return sorted(path for path in shipped if not path.relative_to(ROOT).as_posix().startswith(field.home))


_NOT_SHIPPED = {".import", ".venv", "tests", "benchmarks", "docs", "examples", "build"}


@pytest.mark.parametrize("name", FIELDS)
def test_the_engine_knows_no_field(name: str) -> None:
    field = FIELDS[name]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in modules(field)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if field.speaks(line) and (path.relative_to(ROOT).as_posix(), line.strip()) not in ALLOWED
    ]
    assert found == []


@pytest.mark.parametrize(
    "line", ["38 welds", "A weld:", "num_welds = 3", "while the arc burns", "burnthrough", "arc_on", "_seam"]
)
def test_a_word_of_the_field_would_be_found(line: str) -> None:
    assert FIELDS["welds"].speaks(line)


@pytest.mark.parametrize("line", ["`weldcache info`", "from .sources.welds.open import x", "arcsine", "search"])
def test_names_that_are_no_such_words_are_left_alone(line: str) -> None:
    assert not FIELDS["welds"].speaks(line)
