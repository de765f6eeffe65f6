"""How Sphinx makes the site of README, docs/ and the other pages that a code host shows.

The pages are plain Markdown that is read on a code host too, so nothing in them is Sphinx's own. What only the site has
is put into them here as they are read: the order of the pages, from the list of links in docs/index.md, and what is
generated, in place of the comments `<!-- generated: NAME -->`. Nothing is fetched, and no page loads anything from
elsewhere.
"""

import re
import sys
from pathlib import Path

from pygments.lexers import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / ".import"), str(ROOT / "docs")]

from reference import GENERATED  # noqa: E402

# A link to another page in an item of docs/index.md, under the heading that the menu shows above it.
_HEADING = re.compile(r"^## (.+)$")
_PAGE = re.compile(r"^- \[([^\]]+)\]\(([^)]+)\.md\)")

# What Furo calls the colours of reports: evaluate/report/report.css has them, the light ones first.
_CALLED = {
    "color-background-primary": "card",
    "color-background-secondary": "paper",
    "color-foreground-primary": "ink",
    "color-foreground-secondary": "soft",
    "color-background-border": "line",
    "color-brand-primary": "accent",
    "color-brand-content": "accent",
}


def _colours(place: int) -> dict[str, str]:
    """The colours of the report's style sheet by Furo's names: the light ones (0) or the dark ones (1)."""
    sheet = (ROOT / "evaluate" / "report" / "report.css").read_text(encoding="utf-8")
    told = dict(re.findall(r"--(\w+): (#\w+);", re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)[place]))
    return {name: told[colour] for name, colour in _CALLED.items()}


project = "weldcache"
project_copyright = "the authors of weldcache"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
# Files lie as in the repository, so that every relative link between them holds on the site too.
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/*.md", "docs/*.md"]
exclude_patterns = [path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in {"benchmarks", "docs"}]
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types of other libraries have no pages here
myst_heading_anchors = 4
default_role = "code"  # docstrings mark code as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
html_theme = "furo"
html_theme_options = {"light_css_variables": _colours(0), "dark_css_variables": _colours(1)}
html_title = "weldcache"
html_copy_source = False
html_show_sphinx = False


def _with_menu(text: str) -> str:
    """docs/index.md with a hidden table of contents in the order of its links, a part for each heading."""
    parts: list[list[str]] = []
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            parts.append(["```{toctree}", ":hidden:", f":caption: {heading[1]}"])
        elif (page := _PAGE.match(line)) and parts:
            parts[-1].append(f"{page[1]} <{page[2]}>")
    return "\n".join([text, *(line for part in parts for line in [*part, "```", ""])])


def _complete(app: Sphinx, page: str, source: list[str]) -> None:
    if page == app.config.root_doc:
        source[0] = _with_menu(source[0])
    source[0] = re.sub(r"<!-- generated: (\w+) -->", lambda found: GENERATED[found[1]](), source[0])


def _open_at_the_first_page(app: Sphinx, exception: Exception | None) -> None:
    first = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html"><title>weldcache</title>\n'
    (Path(app.outdir) / "index.html").write_text(first, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.add_lexer("csv", TextLexer)  # which Pygments does not have
    app.connect("source-read", _complete)
    app.connect("build-finished", _open_at_the_first_page)
