"""report.html and other pages of sections: each one file that any browser opens without network, for readers who want
the answer first.

Its one script sorts, filters, moves the threshold and opens panels. It is named by its hash in the page's policy, so no
other runs, and it makes no markup of text: what a data set calls its samples stays text. Without it the page still
reads from top to bottom.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from ...wording import visible
from ..exhibits import SampleBook, SampleTable
from ..section import Column, Provenance, Report, Rows, Section, cell, demo_sentence, interval, number
from .drawing import draw
from .inline import FILTERS, picture_uri
from .style import part


def render_html(report: Report) -> str:
    """The whole page of a report."""
    provenance = report.provenance
    return render_page(
        [*report.sections, provenance_section(_made_by(provenance), provenance.versions, provenance.settings)],
        title=provenance.title,
        on=provenance.split,
        kind="report",
        created=provenance.created,
        banner=demo_sentence(provenance.random_features, provenance.trained_features),
        book=report.book,
    )


def render_page(
    sections: Sequence[Section],
    *,
    title: str,
    kind: str,
    on: str = "",
    created: str,
    banner: str,
    book: SampleBook | None = None,
) -> str:
    """A page of sections under a heading: what (`kind`) of what (`title`) it is, `on` which split if of one.

    `banner` is what has to be kept in mind throughout; "" where there is nothing.
    """
    book, script = book or SampleBook(), part("report.js")
    exhibits = [exhibit for section in sections for exhibit in section.exhibits]
    table = next((exhibit for exhibit in exhibits if isinstance(exhibit, SampleTable)), None)
    media = [medium for panel in book.panels.values() for each in panel.media.values() for medium in each]
    template = _environment().get_template("report.html")
    page = template.render(
        title=title,
        on=on,
        kind=kind,
        created=created,
        banner=banner,
        sections=sections,
        style=Markup(part("style.css") + part("report.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        book=book,
        table=table,
        names=[] if table is None else table.names,
        thumbnails={row: picture_uri(picture) for row, picture in book.thumbnails.items()},
        overlaid=any(getattr(medium, "overlay", b"") for medium in media),
    )
    # Names come from data sets, and a page that is opened in a terminal acts on them as a listing would.
    return "\n".join(map(visible, page.split("\n")))


@cache
def _environment() -> Environment:
    """One for all pages of a process: it keeps its templates compiled, which takes longer than to fill them in."""
    environment = Environment(
        loader=FunctionLoader(part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(draw=draw, number=number, interval=interval, cell=cell, **FILTERS)
    return environment


def _made_by(provenance: Provenance) -> dict[str, str]:
    return {
        "run": provenance.run_name,
        "split": provenance.split,
        "created": provenance.created,
        "command": provenance.command,
        "seed": str(provenance.seed),
        "fingerprint of the features": provenance.fingerprint,
        "features of random weights (demo)": ", ".join(provenance.random_features) or "none",
        "features of trained weights": ", ".join(provenance.trained_features) or "none",
    }


def provenance_section(
    made_by: Mapping[str, str], versions: Mapping[str, str], settings: Mapping[str, object]
) -> Section:
    """How to make these numbers again: command, seeds, store, versions and every setting."""
    columns = (Column("name", "", of_text=True), Column("value", "", of_text=True))
    tables = [
        Rows(name, columns, [(key, str(value)) for key, value in values.items()], title=title)
        for name, title, values in (
            ("report", "This page", made_by),
            ("versions", "Versions", dict(sorted(versions.items()))),
            ("settings", "Settings", dict(_flattened(settings))),
        )
        if values
    ]
    return Section(id="provenance", title="Provenance", rows=tables, look="folded")


def _flattened(settings: Mapping[str, object], *, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Settings by their dotted names, as `--set` takes them."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
