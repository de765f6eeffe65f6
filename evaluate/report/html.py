"""report.html: one file that any browser opens without network or scripts, for readers who want the answer first."""

from collections.abc import Iterator, Mapping
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from ...wording import visible
from ..section import Column, Provenance, Report, Rows, Section, cell, demo_sentence, interval, number
from .drawing import draw


def render_html(report: Report) -> str:
    """The whole page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(draw=draw, number=number, interval=interval, cell=cell)
    template = environment.from_string(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    provenance = report.provenance
    page = template.render(
        provenance=provenance,
        banner=demo_sentence(provenance.random_features, provenance.trained_features),
        sections=[*report.sections, _provenance_section(provenance)],
    )
    # Names come from data sets, and a page that is opened in a terminal acts on them as a listing would.
    return "\n".join(map(visible, page.split("\n")))


def _provenance_section(provenance: Provenance) -> Section:
    """How to make these numbers again: command, seed, store, versions and every setting."""
    this = {
        "run": provenance.run_name,
        "split": provenance.split,
        "created": provenance.created,
        "command": provenance.command,
        "seed": str(provenance.seed),
        "fingerprint of the features": provenance.fingerprint,
        "features of random weights (demo)": ", ".join(provenance.random_features) or "none",
        "features of trained weights": ", ".join(provenance.trained_features) or "none",
    }
    versions = dict(sorted(provenance.versions.items()))
    columns = (Column("name", "", of_text=True), Column("value", "", of_text=True))
    tables = [
        Rows(name, columns, [(key, str(value)) for key, value in values.items()], title=title)
        for name, title, values in (
            ("report", "This report", this),
            ("versions", "Versions", versions),
            ("settings", "Settings", dict(_flattened(provenance.settings))),
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
