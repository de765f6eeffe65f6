"""The report in a real browser: it renders, its pictures decode, and nothing asks for the network."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from weldcache.evaluate.report.html import render_html
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.section import Report
from weldcache.evaluate.tasks.anomaly.figures import Assessment

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
    "--window-size=1100,1400",
)
# The page forbids scripts to itself; a copy without that rule measures what the browser made of it.
POLICY = re.compile(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>")
MEASURE = """<script>addEventListener("load", () => {
  for (const image of document.images) image.dataset.width = image.complete ? image.naturalWidth : 0;
  const requests = performance.getEntriesByType("resource").filter((entry) => !entry.name.startsWith("data:"));
  document.body.dataset.requests = requests.length;
  document.body.dataset.overflow = document.documentElement.scrollWidth - innerWidth;
})</script>"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on the PATH")]


def _browse(path: Path, *, profile: Path, action: str) -> str:
    assert BROWSER is not None
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", action, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


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
    page = _browse(measured, profile=tmp_path / "profile", action="--dump-dom")
    widths = [int(width) for width in re.findall(r'data-width="(\d+)"', page)]
    assert len(widths) == 7
    assert min(widths) > 200
    assert 'data-requests="0"' in page
    assert 'data-overflow="0"' in page
    assert re.search(r'<strong id="auroc">0\.\d{3}</strong>', page)


def test_draws_in_colour_without_scripts(report: Path, tmp_path: Path) -> None:
    picture_path = tmp_path / "page.png"
    _browse(report, profile=tmp_path / "profile", action=f"--screenshot={picture_path}")
    picture = cv2.imread(str(picture_path))
    assert picture is not None
    assert picture.shape == (1400, 1100, 3)
    # The model's blue dots and curve are drawn by the embedded pictures alone.
    blue, green, red = (picture[..., channel].astype(int) for channel in range(3))
    assert ((abs(red - 0x3F) < 12) & (abs(green - 0x83) < 12) & (abs(blue - 0xD6) < 12)).sum() > 300
