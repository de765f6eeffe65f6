"""Reports, benches and sweeps as pages: one look at every width, light and dark, by eye, by voice and by keyboard."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.evaluate.report.style import Scheme, colours, part
from weldcache.evaluate.sweeps.page import sweep_page
from weldcache.evaluate.trials.comparison import Comparison
from weldcache.evaluate.trials.page import bench_page
from weldcache.tests.browser import BROWSER, WIDTHS, Laid, ground_of_the_first, laid_out
from weldcache.tests.evaluate.trials import conftest as trials

comparison = trials.comparison

PAGES = ("bench", "report", "sweep")
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
FAULTS = """<!doctype html><body style="margin: 0; background: white">
<p style="color: #999">pale</p><p style="color: #666">not so pale</p>
<p style="width: 40px; overflow: hidden; white-space: nowrap">cut off here</p>
<p style="width: 40px; overflow: auto; white-space: nowrap">this one scrolls</p>
<p style="width: 600px">too wide for a telephone</p>"""
VOID = {"meta", "img", "input", "br", "path", "circle"}


def sweep_document() -> dict[str, Any]:
    """Of twelve trials: some were ended early, one failed, and some have no weight to draw."""
    generator, found = np.random.default_rng(0), list[dict[str, Any]]()
    for number in range(12):
        value = float(generator.uniform(0.7, 0.9))
        state = "failed" if number == 7 else "pruned" if number % 4 == 3 else "complete"
        drawn = {"train.lr": float(generator.uniform(1e-4, 1e-2)), "recipe.activation": ("relu", "gelu")[number % 2]}
        course = {str(epoch): value - 0.2 / epoch for epoch in range(1, 5 if state == "pruned" else 9)}
        found.append(
            {
                "number": number,
                "run": f"trial-{number:04d}",
                "state": state,
                "values": drawn | ({"recipe.loss.gram.weight": value} if number % 2 else {}),
                "value": value if state == "complete" else None,
                "course": {} if state == "failed" else course,
                "seconds": 2.5,
                "epochs": 8 if state == "complete" else None,
                "reason": "Epoch 1: the loss is not finite." if state == "failed" else "",
            }
        )
    weight = {"kind": "float", "low": 0.0, "high": 1.0, "log": False}
    return {
        "name": "pace",
        "question": "Which pace?",
        "created": "2025-01-31T12:00:00+00:00",
        "command": "weldcache sweep pace.yaml",
        "objective": "val_auroc",
        "direction": "max",
        "sampler": "tpe",
        "pruner": "median",
        "space": {
            "train.lr": {"kind": "float", "low": 1e-4, "high": 1e-2, "log": True},
            "recipe.activation": {"kind": "choice", "values": ["relu", "gelu"]},
            "recipe.loss.gram.weight": weight,
        },
        "fingerprint": "b3a9c1d2e4f5",
        "demo_sentence": "",
        "versions": {"weldcache": "0.1.0"},
        "best": max((trial for trial in found if trial["value"]), key=lambda trial: trial["value"])["run"],
        "importances": {"train.lr": 0.7, "recipe.activation": 0.2, "recipe.loss.gram.weight": 0.1},
        "trials": found,
        "winner": None,
        "sentences": ["Warning: These trials were validated on unlike samples."],
    }


@pytest.fixture(scope="module")
def pages(judged: Path, comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A report with pictures and curves of welds, a bench and a sweep."""
    folder = tmp_path_factory.mktemp("pages")
    found = {name: folder / f"{name}.html" for name in PAGES} | {"report": judged / "runs/first/report.html"}
    found["bench"].write_text(bench_page([comparison], header=trials.HEADER))
    found["sweep"].write_text(sweep_page(sweep_document()))
    return found


@dataclass
class Element:
    """An element of a page; `text` is all that is in it."""

    tag: str
    attributes: Mapping[str, str | None]
    above: "Element | None"
    text: str = ""
    below: list["Element"] = field(default_factory=list)

    def inside(self, tag: str) -> bool:
        return self.above is not None and (self.above.tag == tag or self.above.inside(tag))


class Outline(HTMLParser):
    """Every element of a page, in its order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), self._open[-1] if self._open else None)
        if element.above is not None:
            element.above.below.append(element)
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]


@pytest.fixture(params=PAGES)
def outline(pages: Mapping[str, Path], request: pytest.FixtureRequest) -> Outline:
    return Outline(pages[request.param])


def test_a_page_tells_its_language_and_headings_leave_out_no_level(outline: Outline) -> None:
    (root,), title = outline.all("html"), outline.all("title")[0]  # further ones name dots of a drawing
    assert root.attributes["lang"] == "en" and title.text.strip()
    shown = [each for each in outline.all("h1", "h2", "h3", "h4", "h5", "h6") if not each.inside("dialog")]
    levels = [int(heading.tag[1]) for heading in shown]
    assert levels[0] == 1 and levels.count(1) == 1 and all(heading.text.strip() for heading in shown)
    assert all(below <= above + 1 for above, below in pairwise(levels)), levels


def test_what_is_drawn_is_told_in_words(outline: Outline) -> None:
    drawn = outline.all("img", "svg")
    assert drawn
    for each in drawn:
        told = each.attributes.get("alt") or each.attributes.get("aria-label")
        assert told or each.attributes.get("class") == "overlay" or "aria-hidden" in each.attributes, each.attributes


def test_all_that_can_be_done_is_done_by_keyboard_too(outline: Outline) -> None:
    """Buttons sort and open, summaries open, what scrolls takes the focus; each is called something."""
    identified = [each.attributes["id"] for each in outline.elements if "id" in each.attributes]
    assert len(identified) == len(set(identified))
    labelled = {each.attributes.get("for") for each in outline.all("label")}
    for control in outline.all("input", "select", "button"):
        named = control.text.strip() or control.attributes.get("aria-label") or control.inside("label")
        assert named or control.attributes.get("id") in labelled, control.attributes
    for heading in outline.all("th"):
        assert heading.attributes.get("scope") in ("col", "row") and heading.text.strip()
        if "aria-sort" in heading.attributes:
            assert [below.tag for below in heading.below] == ["button"]
    assert all(each.below[0].tag == "summary" for each in outline.all("details"))
    scrolled = [
        each for each in outline.all("div") if each.attributes.get("class") in ("scroll", "wide", "wide upright")
    ]
    assert scrolled and all(
        each.attributes["tabindex"] == "0" and each.attributes.get("aria-label") for each in scrolled
    )
    assert {each.attributes.get("tabindex") for each in outline.elements} <= {None, "0", "-1"}
    assert not [each for each in outline.elements if any(name.startswith("on") for name in each.attributes)]


def contrast(one: str, other: str) -> float:
    """Of two colours, `#rrggbb`, as WCAG has it."""

    def luminance(colour: str) -> float:
        parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_stands_out_from_every_ground_and_pictures_from_theirs(scheme: Scheme) -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21) and contrast("#777777", "#ffffff") < 4.5
    told = colours(scheme)
    for text in ("ink", "soft", "accent", "good", "doubtful", "bad"):
        for ground in ("paper", "card", "hover"):
            assert contrast(told[text], told[ground]) >= 4.5, (text, ground)
    assert all(contrast(told[tone], told["card"]) >= 3 for tone in ("model", "contrast", "control", "third", "fourth"))


def test_colours_have_one_place() -> None:
    assert re.findall(r"#[0-9a-f]{3,6}\b", part("report.css")) == []
    used = set(re.findall(r"var\(--(\w+)[,)]", part("style.css") + part("report.css")))
    assert used <= {*colours("light"), "sans", "share"}


def test_a_sweep_shows_its_trials_and_settings_in_the_pictures_of_reports() -> None:
    page = sweep_page(sweep_document())
    assert page.count("data:image/svg+xml;base64,") == 3
    marked = {**sweep_document(), "objective": "val_<b>$x$"}
    assert "&lt;b&gt;$x$ by epoch" in sweep_page(marked)


@pytest.fixture(scope="module")
def laid(
    pages: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[Scheme, Mapping[tuple[str, int], Laid]]:
    """All pages at all widths in both schemes, and one with faults."""
    folder = tmp_path_factory.mktemp("laid")
    (folder / "faults.html").write_text(FAULTS)
    shown = [*pages.values(), folder / "faults.html"]  # the bench first, over which no panel opens
    found = {scheme: laid_out(shown, scheme=scheme, folder=folder) for scheme in SCHEMES}
    for scheme in SCHEMES:
        assert ground_of_the_first(folder / f"{scheme}.png") in (colours(scheme)["paper"], colours(scheme)["card"])
    return found


@pytest.mark.slow  # a browser
@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")
def test_what_is_looked_for_would_be_seen(laid: Mapping[Scheme, Mapping[tuple[str, int], Laid]]) -> None:
    narrow, wide = (laid["light"]["faults.html", width] for width in WIDTHS)
    assert narrow.wide > 0 and wide.wide == 0
    assert (narrow.clipped, narrow.pale) == (wide.clipped, wide.pale) == (["cut off here"], ["pale"])


@pytest.mark.slow  # a browser
@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_cut_off_too_wide_or_too_pale(
    page: str, width: int, scheme: Scheme, laid: Mapping[Scheme, Mapping[tuple[str, int], Laid]]
) -> None:
    found = laid[scheme][f"{page}.html", width]
    assert found.texts > 40
    assert (found.wide, found.clipped, found.pale) == (0, [], [])
