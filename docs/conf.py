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

from weldcache.evaluate.report.style import colours  # noqa: E402

# A link to another page in an item of docs/index.md, under the heading that the menu shows above it.
_HEADING = re.compile(r"^## (.+)$")
_PAGE = re.compile(r"^- \[([^\]]+)\]\(([^)]+)\.md\)")

# What Furo calls what the style sheet of reports has. Its readers choose light or dark: it is told the colours of both.
_CALLED = {
    "font-stack": "var(--sans)",
    "color-background-primary": "var(--card)",
    "color-background-secondary": "var(--paper)",
    "color-background-hover": "var(--hover)",
    "color-background-border": "var(--line)",
    "color-foreground-primary": "var(--ink)",
    "color-foreground-secondary": "var(--soft)",
    "color-foreground-muted": "var(--soft)",
    "color-brand-primary": "var(--accent)",
    "color-brand-content": "var(--accent)",
    "color-brand-visited": "var(--accent)",
}

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
html_theme_options = {
    "light_css_variables": {**colours("light"), **_CALLED},
    "dark_css_variables": {**colours("dark"), **_CALLED},
}
html_static_path = ["../evaluate/report/style.css"]
html_css_files = ["style.css"]
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
