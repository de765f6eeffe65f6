"""The site builds without a warning, its links lead somewhere, and no page loads anything from elsewhere.

What pages show of tables, of the API and of frequent questions runs as it stands there.
"""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np
import pytest
import soundfile
import yaml

from weldcache.evaluate.report.style import Scheme
from weldcache.extract.sources.welds.manifest import SETTINGS
from weldcache.tests.browser import BROWSER, laid_out

ROOT = Path(__file__).resolve().parents[1]
_LOADED = {"audio", "iframe", "img", "link", "script", "source", "video"}


class _Page(HTMLParser):
    """The anchors of a page, what it links to, and what a browser loads with it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.loaded = {""}, set[str](), set[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.anchors.add(told.get("id") or "")
        if (target := told.get("href" if tag in {"a", "link"} else "src")) and told.get("rel") != "canonical":
            (self.loaded if tag in _LOADED else self.links).add(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    done = subprocess.run(
        [*command, "-c", "docs", "-d", str(folder / "doctrees"), ".", str(folder / "html")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / ".import")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.slow  # Sphinx imports the package for its docstrings, and reads forty pages
def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    pages = {path: _Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 30
    astray = []
    for path, page in pages.items():
        for target in page.links | page.loaded:
            parts = urlsplit(target)
            if parts.scheme in {"http", "https", "mailto", "data"}:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.is_file() or (there in pages and unquote(parts.fragment) not in pages[there].anchors):
                astray.append(f"{path.relative_to(site)}: {target}")
    assert astray == []


@pytest.mark.slow  # of the same site
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = {target for path in site.rglob("*.html") for target in _Page(path).loaded}
    assert loaded and not [target for target in loaded if urlsplit(target).netloc]
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert styles and "url(http" not in styles and "url(//" not in styles and "@import" not in styles


@pytest.mark.slow  # of the same site
@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("command-line", ["weldcache extract", "--relabel", "weldcache runs prune"]),
        ("settings", ["train.lr", "recipe.density_neighbours", "features.NAME.num_views", "data.split_seed"]),
        ("python-api", ["load_settings", "SettingsError", "complete(*feature_sets"]),
    ],
)
def test_what_is_generated_is_there(page: str, words: list[str], site: Path) -> None:
    class Text(HTMLParser):
        text = ""

        def handle_data(self, data: str) -> None:
            self.text += data

    parsed = Text()
    parsed.feed((site / "docs" / f"{page}.html").read_text(encoding="utf-8"))
    assert [word for word in words if word not in parsed.text] == []
    assert "generated:" not in parsed.text


@pytest.mark.slow  # a browser, and of the same site
@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")
@pytest.mark.parametrize(("scheme", "named"), [("light", "*"), ("dark", "[p-s]*")])  # some of which have every colour
def test_no_page_is_wider_than_a_telephone_or_a_desk_cut_off_or_pale(
    scheme: Scheme, named: str, site: Path, tmp_path: Path
) -> None:
    """What is too wide for a page scrolls within it."""
    pages = sorted(site.glob(f"docs/{named}.html"))
    found = laid_out(pages, scheme=scheme, folder=tmp_path)
    assert len(found) == 2 * len(pages) > 20 and min(laid.texts for laid in found.values()) > 10
    faults = {
        where: (laid.wide, laid.clipped, laid.pale)
        for where, laid in found.items()
        if laid.wide or laid.clipped or laid.pale
    }
    assert faults == {}


def blocks(page: str, language: str, *, below: str = "") -> list[str]:
    """Contents of a page's fenced blocks in a language, of all or of those below a heading of the second level."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    if below:
        text = text.partition(f"\n## {below}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


_RECORDINGS = "Recordings in a table"
_MOST_COMMANDS = 10  # from nothing to a verdict on data of one's own


def follow(heading: str, folder: Path, weldcache: Callable[..., Any]) -> list[str]:
    """Run the commands that docs/own-data.md shows below a heading, with its settings but for the network, which is one
    of random weights that need not be fetched. What was typed up to the verdict is returned, the installation too."""
    (shown, *_), (commands, *_) = (blocks("own-data.md", language, below=heading) for language in ("yaml", "sh"))
    settings = {"recipe": {"array": "image/block_2/patch_tokens"}, "features": {}, **yaml.safe_load(shown)}
    image = settings["features"].get("image", {}) | {"model": "demo", "blocks": [2], "size": 64}
    settings["features"] |= {"image": image}
    settings |= {"extract": {"device": "cpu", "workers": 0}, "train": {"device": "cpu"}}
    (folder / "weldcache.yaml").write_text(yaml.safe_dump(settings))
    lines = commands.splitlines()
    for line in lines:
        if "weights add" in line:
            continue
        outcome = weldcache(*line.split()[1:], folder=folder)
        assert outcome.code == 0, (line, outcome.err)
        if line == "weldcache eval":
            assert "of the defects found" in outcome.out and "AUROC" in outcome.out
    installation = blocks("quick-start.md", "sh", below="Installation")[0].splitlines()
    return [*installation, *lines[: lines.index("weldcache eval") + 1]]


def picture(generator: np.random.Generator, path: Path, *, scratched: bool) -> None:
    """A small picture of a surface."""
    pixels = generator.integers(90, 110, (64, 64, 3)) + np.linspace(0, generator.uniform(5, 40), 64)[:, None]
    if scratched:
        pixels[10:40, 10:14] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels.astype(np.uint8))


def test_a_folder_of_pictures_leads_to_a_verdict_in_ten_commands(
    tmp_path: Path, weldcache: Callable[..., Any], undrawn: None
) -> None:
    generator = np.random.default_rng(0)
    for split, kind, number in (("train", "good", 20), ("test", "good", 6), ("test", "scratch", 6)):
        for each in range(number):
            picture(generator, tmp_path / f"parts/{split}/{kind}/IMG {each}.JPG", scratched=kind != "good")
    assert len(follow("Pictures in folders", tmp_path, weldcache)) <= _MOST_COMMANDS
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 7


def test_a_table_leads_to_a_verdict_as_shown(tmp_path: Path, weldcache: Callable[..., Any], undrawn: None) -> None:
    """The columns and settings of the page, on thirty small pictures."""
    header, *_ = blocks("own-data.md", "csv", below="A table")[0].splitlines()
    generator, rows = np.random.default_rng(0), [header]
    for number in range(30):
        kind = "scratch" if number >= 24 else "good"
        picture(generator, tmp_path / f"photos/{number:04d}.png", scratched=kind != "good")
        fold = ("train", "val", "test")[min(number // 10, 2)]
        rows.append(f"{number:04d},{fold},{fold}-{number % 5},{kind},photos/{number:04d}.png,{12 + number % 3}")
    (tmp_path / "parts.csv").write_text("\n".join(rows) + "\n")
    follow("A table", tmp_path, weldcache)


def test_recordings_of_a_plant_lead_to_a_verdict_in_ten_commands(
    tmp_path: Path, weldcache: Callable[..., Any], undrawn: None
) -> None:
    """The list, its series and the settings of the page: semicolons, decimal commas, backslashes, an empty cell."""
    (header, first, _), (clock, *_) = (text.splitlines() for text in blocks("own-data.md", "csv", below=_RECORDINGS))
    generator, root, rows = np.random.default_rng(0), tmp_path / "welds", [header]
    for folder in ("Messdaten", "Ton"):
        (root / folder).mkdir(parents=True)
    for number in range(1, 61):
        shift, is_bad = (number + 3) // 4, number > 28 and number % 4 == 0
        named = first.replace("0001", f"{number:04d}").replace(";1;i.O.;", f";{shift};{'Pore' if is_bad else 'i.O.'};")
        *_, photograph, series, sound = named.split(";")
        rows.append(named.removesuffix(sound) if number == 2 else named)
        picture(generator, root / photograph.replace("\\", "/"), scratched=is_bad)
        currents = 180 + generator.normal(0, 1, 20) - 30 * is_bad
        lines = [f"{row / 50:.2f};{current:.1f};24.1".replace(".", ",") for row, current in enumerate(currents)]
        (root / series.replace("\\", "/")).write_text("\r\n".join([clock, *lines]))
        soundfile.write(root / sound.replace("\\", "/"), generator.normal(0, 0.1 + 0.2 * is_bad, 8000), 16000)
    (root / "Liste.csv").write_text("\ufeff" + "\r\n".join(rows))
    assert len(follow(_RECORDINGS, tmp_path, weldcache)) <= _MOST_COMMANDS


def test_pictures_of_the_readme_are_small_and_load_nothing() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown and all((ROOT / name).stat().st_size < 150_000 for name in shown)
    drawn = (ROOT / "docs" / "training.svg").read_text(encoding="utf-8")
    assert "url(http" not in drawn and "href=" not in drawn and "<script" not in drawn


def test_the_columns_that_welds_need_are_told() -> None:
    text = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8").partition("\n## Recorded welds\n")[2]
    assert [
        column for column in (*SETTINGS, "CATEGORY", "DIRECTORY", "SUBDIRS", "SPLIT") if f"`{column}`" not in text
    ] == []


def test_the_lines_for_a_notebook_run(extracted: Path, copy_of: Callable[[Path], Path], undrawn: None) -> None:
    (shown,) = blocks("python-api.md", "python")
    names: dict[str, Any] = {}
    with contextlib.chdir(copy_of(extracted)):
        exec(compile(shown, "python-api.md", "exec"), names)
    assert names["run"].folder.finished and names["scores"]["score"].is_monotonic_decreasing
    assert len(names["embeddings"]) == len(names["store"].complete("video"))


def test_answers_to_questions_run(
    extracted: Path, copy_of: Callable[[Path], Path], weldcache: Callable[..., Any]
) -> None:
    project = copy_of(extracted)
    for line in "".join(blocks("faq.md", "sh")).splitlines():
        shorter = ["--set", "train.epochs=1"] if "monitor" in line else []
        outcome = weldcache(*line.split()[1:], *shorter, folder=project)
        assert outcome.code == 0, (line, outcome.err)
