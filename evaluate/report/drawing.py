"""How the report's pictures are drawn: SVG as data URIs, without matplotlib's global state.

A picture carries its own style sheet, so that axes and text follow the reader's light or dark theme.
"""

import base64
import io
from contextlib import AbstractContextManager

import matplotlib as mpl
from matplotlib.figure import Figure

# Mid-tones that hold on white paper and on a dark screen alike.
MODEL_COLOUR = "#3f83d6"
DEFECT_COLOUR = "#e0713b"
CONTROL_COLOUR = "#8a93a3"
# Axes and text are drawn in this colour, which the picture's style sheet then turns into the theme's ink.
INK = "#010203"
_STYLE_SHEET = "<style>svg{color:#2b3440}@media screen and (prefers-color-scheme:dark){svg{color:#d5dbe3}}</style>"


def style() -> AbstractContextManager[None]:
    """Settings of every picture, put back afterwards; they are read while drawing, so saving belongs inside."""
    return mpl.rc_context(
        {
            "axes.edgecolor": INK,
            "axes.grid": True,
            "axes.labelcolor": INK,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.constrained_layout.use": True,
            "font.size": 10.0,
            "grid.alpha": 0.35,
            "grid.color": CONTROL_COLOUR,
            "grid.linewidth": 0.5,
            "legend.frameon": False,
            "legend.labelcolor": INK,
            "lines.linewidth": 2.0,
            "svg.hashsalt": "weldcache",
            "text.color": INK,
            # A dollar sign in a class name is a dollar sign.
            "text.parse_math": False,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    )


def data_uri(figure: Figure) -> str:
    """The picture, for the source of an HTML image."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor").replace("<defs>", f"{_STYLE_SHEET}<defs>", 1)
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
