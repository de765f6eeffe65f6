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

from weldcache.extract.sources.welds.manifest import SETTINGS
from weldcache.tests.evaluate.report.test_browser import BROWSER, FLAGS

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
def test_no_page_is_wider_than_a_telephone_or_a_desk(site: Path, tmp_path: Path) -> None:
    """Each page in a frame of 390 and of 1280 pixels: what is too wide for it scrolls within the page."""
    assert BROWSER is not None
    frames = "".join(
        f'<iframe src="{path.as_uri()}" style="width:{width}px;height:900px"></iframe>'
        for path in sorted(site.glob("docs/*.html"))
        for width in (390, 1280)
    )
    script = """addEventListener("load", () => {
      document.body.dataset.wide = [...document.querySelectorAll("iframe")].filter((frame) =>
        frame.contentDocument.documentElement.scrollWidth > frame.clientWidth).map((frame) => frame.src);
      document.body.dataset.read = [...document.querySelectorAll("iframe")].filter((frame) =>
        frame.contentDocument.querySelector("h1")).length;
    })"""
    harness = tmp_path / "harness.html"
    harness.write_text(f"<!doctype html><body>{frames}<script>{script}</script></body>")
    flags = ("--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom")
    command = [BROWSER, *FLAGS, *flags, harness.as_uri()]
    page = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    assert int(re.search(r'data-read="(\d+)"', page)[1]) == frames.count("<iframe") > 60
    assert re.search(r'data-wide="([^"]*)"', page)[1] == ""


def blocks(page: str, language: str, *, below: str = "") -> list[str]:
    """Contents of a page's fenced blocks in a language, of all or of those below a heading of the second level."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    if below:
        text = text.partition(f"\n## {below}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_a_table_leads_to_a_verdict_as_shown(tmp_path: Path, weldcache: Callable[..., Any]) -> None:
    """The columns and settings of the page, on thirty small pictures."""
    (header, *_), (shown,) = (
        blocks("own-data.md", "csv")[0].splitlines(),
        blocks("own-data.md", "yaml", below="A table"),
    )
    generator, rows = np.random.default_rng(0), [header]
    (tmp_path / "photos").mkdir()
    for number in range(30):
        kind = "scratch" if number >= 24 else "good"
        picture = generator.integers(90, 110, (64, 64, 3))
        picture[10:40, 10:14] = 255 if kind == "scratch" else 100
        cv2.imwrite(str(tmp_path / f"photos/{number:04d}.png"), picture.astype(np.uint8))
        fold = ("train", "val", "test")[min(number // 10, 2)]
        rows.append(f"{number:04d},{fold},{fold}-{number % 5},{kind},photos/{number:04d}.png,{12 + number % 3}")
    (tmp_path / "parts.csv").write_text("\n".join(rows) + "\n")
    smallest = "features: {image: {model: demo, blocks: [2], size: 64}}\nextract: {device: cpu, workers: 0}\n"
    (tmp_path / "weldcache.yaml").write_text(
        shown + smallest + "recipe: {array: image/block_2/patch_tokens}\ntrain: {device: cpu}\n"
    )
    for line in blocks("own-data.md", "sh", below="A table")[0].splitlines():
        outcome = weldcache(*line.split()[1:], folder=tmp_path)
        assert outcome.code == 0, (line, outcome.err)
    assert "AUROC" in outcome.out


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
