"""Pages as a browser lays them out: as wide as a telephone and as a desk, light and dark, and measured there."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from weldcache.evaluate.report.style import Scheme

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--no-first-run",
    "--window-size=1100,2000",
)
WIDTHS = (390, 1280)
_HEIGHT = 900
_PREFERRED: Mapping[Scheme, int] = {"dark": 0, "light": 1}  # as Chromium numbers them

# What of each frame's page: how much wider than the frame it is; texts that end outside their box, or outside the page
# where nothing scrolls; texts with less contrast than the eye needs, against the ground that is painted behind them.
_MEASURE = r"""
const luminance = (colour) => {
  const parts = colour.match(/[\d.]+/g).slice(0, 3).map((part) => Number(part) / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
const isClear = (colour) => colour === "transparent" || /, 0\)$|\/ 0\)$/.test(colour);
function measured(frame) {
  const page = frame.contentDocument, view = frame.contentWindow, style = (element) => view.getComputedStyle(element);
  for (const details of page.querySelectorAll("details")) details.open = true;
  page.querySelector("button.opens")?.click();
  const told = { wide: page.documentElement.scrollWidth - frame.clientWidth, clipped: [], pale: [], texts: 0 };
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const around = text.parentElement, words = text.data.trim();
    if (!words || around.closest("script, style, svg, select, .unseen, .visually-hidden")) continue;
    if (!around.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const range = page.createRange();
    range.selectNodeContents(text);
    const box = range.getBoundingClientRect();
    if (!box.width) continue;
    told.texts += 1;
    let block = around;
    while (style(block).display.startsWith("inline") && block.parentElement) block = block.parentElement;
    const edge = block.getBoundingClientRect(), slack = 2;
    const scrolls = (element) => /auto|scroll/.test(style(element).overflowX);
    if (!scrolls(block) && (box.right > edge.right + slack || box.left < edge.left - slack)) told.clipped.push(words);
    let ground = around;
    while (ground && isClear(style(ground).backgroundColor)) ground = ground.parentElement;
    const [one, other] = [style(around).color, style(ground ?? page.body).backgroundColor].map(luminance);
    if ((Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05) < 4.5) told.pale.push(words);
  }
  return told;
}
addEventListener("load", () => {
  const told = [...document.querySelectorAll("iframe")].map(measured);
  document.body.dataset.told = JSON.stringify(told);
});
"""


@dataclass(frozen=True)
class Laid:
    """A page in a frame of some width.

    Attributes:
        wide: pixels by which it is wider than the frame.
        clipped: texts that end outside their box.
        pale: texts whose contrast is below 4.5.
        texts: how many texts were looked at.
    """

    wide: int
    clipped: Sequence[str]
    pale: Sequence[str]
    texts: int


def browse(path: Path, *, profile: Path, actions: Sequence[str], scheme: Scheme = "light") -> str:
    """What a browser prints of a page: with the action `--dump-dom` its document."""
    assert BROWSER is not None
    preferred = f"--blink-settings=preferredColorScheme={_PREFERRED[scheme]}"
    command = [BROWSER, *FLAGS, preferred, f"--user-data-dir={profile}", *actions, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


def laid_out(pages: Sequence[Path], *, scheme: Scheme, folder: Path) -> dict[tuple[str, int], Laid]:
    """Each page by its file's name and its width, and in `folder` a picture of all, `<scheme>.png`."""
    shown = [(path, width) for path in pages for width in WIDTHS]
    frames = "".join(
        f'<iframe src="{path.as_uri()}" style="width:{width}px;height:{_HEIGHT}px;border:0"></iframe>'
        for path, width in shown
    )
    harness = folder / f"{scheme}.html"
    harness.write_text(f"<!doctype html><body style='margin:0'>{frames}<script>{_MEASURE}</script></body>")
    actions = ("--allow-file-access-from-files", "--dump-dom", f"--screenshot={folder / scheme}.png")
    page = browse(harness, profile=folder / f"profile-{scheme}", actions=actions, scheme=scheme)
    (told,) = re.findall(r'data-told="([^"]*)"', page)
    found = [Laid(**each) for each in json.loads(html.unescape(told))]
    return {(path.name, width): laid for (path, width), laid in zip(shown, found, strict=True)}


def ground_of_the_first(picture: Path) -> str:
    """The commonest colour of the first page in a picture of `laid_out`, as `#rrggbb`."""
    pixels = cv2.imread(str(picture))
    assert pixels is not None
    found, counts = np.unique(pixels[:_HEIGHT, : WIDTHS[0]].reshape(-1, 3), axis=0, return_counts=True)
    return "#" + bytes(found[counts.argmax()][::-1].tolist()).hex()
