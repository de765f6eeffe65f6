"""Draws docs/report.png and docs/training.svg, which README shows: the top of a run's report and its training.

Run it from the folder of synthetic welds, with the name of a run that `weldcache eval` has judged and of one that
learned by gradient: `python .../docs/make_pictures.py match causal_film`. The report takes a browser on the PATH.
"""

import argparse
import io
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console

from weldcache import api
from weldcache.train.display import ShownTraining, training_display

FOLDER = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WINDOW = (1000, 900)  # pixels of the report that are shown
COLOURS = 64  # text and bars in few colours: a tenth of the bytes
SHOWN = 2 / 3  # of the epochs are done in the picture of a training


def draw_report(report: Path, to: Path) -> None:
    """The top of a report as a browser shows it."""
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "report.png"
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
        ]
        size = f"--window-size={WINDOW[0]},{WINDOW[1]}"
        subprocess.run(
            [browser, *flags, size, f"--screenshot={picture}", report.absolute().as_uri()],
            check=True,
            capture_output=True,
            timeout=300,
        )
        Image.open(picture).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(to, optimize=True)


def draw_training(run: api.TrainedRun, to: Path) -> None:
    """The live panel of a training as it was when two thirds of the epochs were done."""
    rows = list(run.metrics[: round(SHOWN * len(run.metrics))])
    console = Console(
        record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor", width=96, height=24
    )
    best = max(rows, key=lambda row: row.get("val_auroc") or 0)
    num_samples = run.manifest["counts"]["train"]
    shown = ShownTraining(run.folder.path.name, run.settings.train, num_samples, "weld", history=rows, best=best)
    with training_display(shown, console=console):
        console.export_text()  # drops what was recorded so far: the picture that stays is drawn last
    # Rich names a font that a browser would fetch; the viewer's own is as good.
    drawn = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="weldcache train"), flags=re.DOTALL)
    to.write_text(drawn, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("reported", help="name of a run that was judged")
    parser.add_argument("trained", help="name of a run that learned by gradient")
    named = parser.parse_args()
    draw_report(api.load_run(named.reported).folder.path / "report.html", FOLDER / "report.png")
    draw_training(api.load_run(named.trained), FOLDER / "training.svg")


if __name__ == "__main__":
    main()
