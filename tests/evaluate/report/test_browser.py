"""The report in a real browser: it renders, its pictures decode, and nothing asks for the network."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from weldcache.evaluate.exhibits import Colouring, Panel, Picture, SampleBook, Scatter, Trace, Traces
from weldcache.evaluate.report.html import render_html
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.section import Report, Section
from weldcache.evaluate.tasks.anomaly.figures import Assessment
from weldcache.tests.browser import BROWSER, browse

# The page allows its own script alone; a copy without that rule measures what the browser made of it, and uses it.
POLICY = re.compile(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>")
MEASURE = """<script>addEventListener("load", () => {
  for (const image of document.images) image.dataset.width = image.complete ? image.naturalWidth : 0;
  const requests = performance.getEntriesByType("resource").filter((entry) => !entry.name.startsWith("data:"));
  document.body.dataset.requests = requests.length;
  document.body.dataset.overflow = document.documentElement.scrollWidth - innerWidth;
})</script>"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")]


@pytest.fixture
def report(
    tmp_path: Path,
    table: ScoreTable,
    rich_assessment: Assessment,
    make_report: Callable[..., Report],
    training_curve: list[dict[str, float | int | None]],
) -> Path:
    path = tmp_path / "report.html"
    path.write_text(render_html(make_report(rich_assessment, table, curve=training_curve)))
    return path


def test_pictures_decode_and_nothing_is_requested(report: Path, table: ScoreTable, tmp_path: Path) -> None:
    text, num_rules = POLICY.subn("", report.read_text())
    assert num_rules == 1
    measured = report.with_name("measured.html")
    measured.write_text(text.replace("</body>", f"{MEASURE}</body>"))
    page = browse(measured, profile=tmp_path / "profile", actions=["--dump-dom"])
    widths = [int(width) for width in re.findall(r'data-width="(\d+)"', page)]
    assert len(widths) == 8
    assert min(widths) > 200
    assert 'data-requests="0"' in page
    assert 'data-overflow="0"' in page
    assert re.search(r'<strong id="auroc">0\.\d{3}</strong>', page)


# What somebody does with the page, and what they see: kept as data of its body.
USE = """<script>
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
addEventListener("load", () => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const at = (selector) => document.querySelector(selector);
  const told = {};
  const input = (element, value) => { element.value = value; element.dispatchEvent(new Event("input")); };
  const scores = () => all("table.samples td[data-value]").filter((cell) => cell.classList.contains("number"))
    .map((cell) => Number(cell.dataset.value));
  const range = at("#slider-range");
  told.own = [at("#slider-found").textContent, at("#slider-alarms").textContent];
  input(range, 0);
  told.lowest = [at("#slider-recall").textContent, at("#slider-fpr").textContent];
  input(range, range.max);
  told.highest = [at("#slider-recall").textContent, at("#slider-fpr").textContent];
  at("#slider-back").click();
  told.back = [at("#slider-found").textContent, at("#slider-alarms").textContent];
  const heading = all("table.samples thead th").find((each) => each.dataset.kind === "number");
  const sorted = (found, sign) => found.every((score, place) => !place || sign * (score - found[place - 1]) >= 0);
  heading.querySelector("button").click();
  told.ascending = [heading.getAttribute("aria-sort"), sorted(scores(), 1)];
  heading.querySelector("button").click();
  told.descending = [heading.getAttribute("aria-sort"), sorted(scores(), -1)];
  input(at(".search"), "0007");
  told.found = all("table.samples tbody tr").filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
  told.count = at(".count").textContent;
  input(at(".search"), "");
  const outcome = all("select[data-column]").find((select) => select.textContent.includes("missed"));
  input(outcome, "=missed");
  told.missed = all("table.samples tbody tr").filter((row) => !row.hidden).length;
  input(outcome, "");
  const opener = at("table.samples tbody button.opens");
  opener.click();
  told.open = [at("#panel").open, at("#panel-title").textContent === opener.textContent];
  at("#panel-after").click();
  told.stepped = at("#panel-title").textContent !== opener.textContent;
  at("#panel").close();
  told.errors = errors;
  document.body.dataset.told = JSON.stringify(told);
})</script>"""


def _used(report: Path, tmp_path: Path) -> dict[str, Any]:
    copy = report.with_name("used.html")
    copy.write_text(POLICY.sub("", report.read_text()).replace("<body>", f"<body>{USE}"))
    page = browse(copy, profile=tmp_path / "profile", actions=["--dump-dom"])
    (found,) = re.findall(r'data-told="([^"]*)"', page)
    told: dict[str, Any] = json.loads(html.unescape(found))
    return told


def test_the_threshold_moves_and_the_table_sorts_filters_and_opens_panels(
    report: Path, table: ScoreTable, rich_assessment: Assessment, tmp_path: Path
) -> None:
    told, confusion = _used(report, tmp_path), rich_assessment.confusion
    assert told["errors"] == []
    own = [f"{confusion.detected} of 90 defects", f"{confusion.false_alarms} of 60 normals"]
    assert told["own"] == told["back"] == own
    assert (told["lowest"], told["highest"]) == (["100.0%", "100.0%"], ["0.0%", "0.0%"])
    assert (told["ascending"], told["descending"]) == (["ascending", True], ["descending", True])
    assert told["found"] == ["test/0007"] and told["count"] == "1 of 150 samples"
    assert told["missed"] == confusion.missed
    assert told["open"] == [True, True] and told["stepped"]


def test_the_page_s_policy_lets_its_own_script_run(report: Path, tmp_path: Path) -> None:
    page = browse(report, profile=tmp_path / "profile", actions=["--dump-dom"])
    assert re.search(r'<html[^>]* class="live"', page)
    assert "of 90 defects" in page


def test_hostile_names_run_nothing(
    table: ScoreTable, make_assessment: Callable[..., Assessment], make_report: Callable[..., Report], tmp_path: Path
) -> None:
    attacks = (
        "</script><script>document.title='broken'</script>",
        "\" onload=\"document.title='broken'\" x='",
        "<img src=x onerror=\"document.title='broken'\">",
        "\u202eright to left\u202c\u05d0",
        "two\nlines\x1b[31m",
        "long" * 500,
        "{{ 7 * 7 }}<!--",
    )
    keys = tuple(f"{key} {attacks[row % len(attacks)]}" for row, key in enumerate(table.keys))
    groups = tuple(attacks[row % len(attacks)] for row in range(len(table)))
    classes = tuple(
        "good" if label == 0 else attacks[row % len(attacks)] for row, label in enumerate(table.labels.tolist())
    )
    nasty = replace(table, keys=keys, groups=groups, class_names=classes)
    path = tmp_path / "nasty.html"
    report = make_report(make_assessment(nasty), nasty)
    white = Picture(cv2.imencode(".webp", np.full((4, 8, 3), 255, dtype=np.uint8))[1].tobytes(), 8, 4, attacks[1])
    wave = Traces(attacks[1], 1.0, [Trace(attacks[2], np.array([0.0, np.nan, 1.0]))], caption=attacks[0])
    panel = Panel({attacks[0]: [white, replace(white, caption=attacks[2], overlay=white.content), wave]}, attacks)
    plane = Scatter(attacks[1], table.scores, table.scores, [Colouring(attacks[0], classes)], attacks[2])
    sections = [*report.sections, Section("plane", attacks[0], exhibits=[plane])]
    book = SampleBook(dict.fromkeys(range(len(table)), panel), {0: white})
    path.write_text(render_html(replace(report, sections=sections, book=book)))
    told = _used(path, tmp_path)
    assert told["errors"] == [] and told["open"] == [True, True]
    page = browse(path, profile=tmp_path / "profile", actions=["--dump-dom"])
    assert "<title>demo-run on test</title>" in page and ">49<" not in page


def test_draws_in_colour_without_scripts(report: Path, tmp_path: Path) -> None:
    picture_path = tmp_path / "page.png"
    browse(report, profile=tmp_path / "profile", actions=[f"--screenshot={picture_path}"])
    picture = cv2.imread(str(picture_path))
    assert picture is not None
    assert picture.shape == (2000, 1100, 3)
    # The model's blue dots and curve are drawn by the embedded pictures alone.
    blue, green, red = (picture[..., channel].astype(int) for channel in range(3))
    assert ((abs(red - 0x3F) < 12) & (abs(green - 0x83) < 12) & (abs(blue - 0xD6) < 12)).sum() > 300
