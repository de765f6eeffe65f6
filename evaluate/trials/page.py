"""The tables of a bench as a page that any browser opens without network, in the look of reports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress

from ...metrics.p_value import p_told
from ...metrics.repeats import RepeatsEstimate
from ...wording import count_of
from ..figures import Intervals, Tone
from ..report.html import provenance_section, render_page
from ..section import Column, Rows, Section, Standing, Value
from .comparison import Comparison, VariantResult
from .measure import Difference
from .table import BenchHeader, notes_below, ranking_note


def bench_page(comparisons: Sequence[Comparison], *, header: BenchHeader) -> str:
    """The whole page, one leaderboard a split."""
    named = header.list_name + (f": {header.question}" if header.question else "")
    seeds = sorted({seed for each in comparisons for variant in each.variants for seed in variant.seeds})
    made_by: Mapping[str, str] = {
        "list": header.list_name,
        "split": header.split,
        "created": header.created,
        "command": header.command,
        "seeds": ", ".join(map(str, seeds)),
        "fingerprint of the features": header.fingerprint,
    }
    sections = [section for comparison in comparisons for section in _sections(comparison, header=header)]
    return render_page(
        [*sections, provenance_section(made_by, header.versions, {})],
        title=named,
        on=header.split,
        kind="bench",
        created=header.created,
        banner=header.demo_sentence,
    )


def _sections(comparison: Comparison, *, header: BenchHeader) -> Iterator[Section]:
    of = f"_{comparison.divided_by}" if comparison.divided_by else ""
    scored = [variant for variant in comparison.variants if variant.mean is not None]
    yield Section(
        id=f"leaderboard{of}",
        title=header.title(comparison),
        rows=[_ranking(comparison, split=header.split)],
        figures=[_picture(comparison, scored)] if scored else [],
    )
    yield Section(id=f"costs{of}", title="Seeds, validation and costs", rows=[_costs(comparison)], look="folded")
    # What to know of many variants is longer than the table, so it stands behind it; some is told further up already.
    verdict = _verdict(comparison, scored)
    told = {header.demo_sentence, *verdict.note}
    points = [note for note in notes_below(comparison, header=header) if note not in told]
    yield replace(verdict, id=f"verdict{of}", points=points)


def _verdict(comparison: Comparison, scored: Sequence[VariantResult]) -> Section:
    """Who is first, how sure that is, and whether a control that sees no sample is as good."""
    divided = f" ({comparison.divided_by})" if comparison.divided_by else ""
    if not scored:
        return Section("verdict", title=f"Nothing was scored{divided}", look="verdict", standing="bad")
    best, rival = scored[0], comparison.ground.rival
    note, standing = [text] if (text := ranking_note(comparison)) else [], _standing(best)
    if best.beside_rival is not None and standing != "good":
        note.append(f"It is not shown that {best.name} is any better than the {rival}, which looks at no sample.")
    return Section(
        "verdict",
        title=f"{best.name} is first of {count_of(len(scored), 'variant')}{divided}",
        note=note,
        look="verdict",
        standing=standing,
    )


def _standing(best: VariantResult) -> Standing:
    """Good where it is shown to be better than the control that all are held against."""
    if best.beside_rival is None:
        return "doubtful"
    return "doubtful" if best.beside_rival.is_tie else "good"


def _ranking(comparison: Comparison, *, split: str) -> Rows:
    label, rival = comparison.figure.label, comparison.ground.rival
    columns = [
        Column("rank", ""),
        Column("variant", "variant", of_text=True),
        Column(comparison.figure.name, f"{split} {label} (95%)"),
        Column("behind", "less the best (95%)", "+.3f"),
        Column("behind_p", "p"),
        Column("tie", "", of_text=True),
        Column("beside_rival", f"less the {rival} (95%)" if rival else None, "+.3f"),
        Column("beside_rival_p", "p" if rival else None),
        Column("difference", f"less {comparison.reference} (95%)", "+.3f"),
        *(Column(figure.name, figure.label) for figure in comparison.others),
    ]
    values: list[list[Value]] = [
        [
            variant.rank,
            variant.name,
            "failed" if variant.mean is None else variant.mean,
            *_told(variant.behind),
            "tie" if variant.ties_with_best else "",
            *_told(variant.beside_rival),
            variant.difference,
            *(variant.others.get(figure.name) for figure in comparison.others),
        ]
        for variant in comparison.variants
    ]
    known = [any(row[place] not in (None, "") for row in values) for place in range(len(columns))]
    return Rows("ranking", list(compress(columns, known)), [list(compress(row, known)) for row in values])


def _told(found: Difference | None) -> tuple[RepeatsEstimate | None, str | None]:
    return (None, None) if found is None else (found.value, p_told(found.p_holm))


def _costs(comparison: Comparison) -> Rows:
    label = comparison.figure.label
    columns = [
        Column("variant", "variant", of_text=True),
        Column("seeds", "seeds"),
        Column("lowest", "lowest seed"),
        Column("highest", "highest seed"),
        Column("validation", f"val {label}"),
        Column("parameters", "parameters", ","),
        Column("seconds", "train s", ".1f"),
        Column("score_seconds", "score s", ".3f"),
        Column("megabytes", "memory MB", ".1f"),
    ]
    values: list[list[Value]] = [
        [
            variant.name,
            len(variant.seeds),
            min(variant.by_seed, default=None),
            max(variant.by_seed, default=None),
            variant.validation,
            variant.parameters,
            variant.seconds,
            variant.score_seconds,
            None if variant.peak_bytes is None else variant.peak_bytes / 1e6,
        ]
        for variant in comparison.variants
    ]
    return Rows("costs", columns, values)


def _picture(comparison: Comparison, scored: Sequence[VariantResult]) -> Intervals:
    """Blue are the best and those of which it is not known whether they are behind it."""
    label, rows = comparison.figure.label, []
    for place, variant in enumerate(scored):
        assert variant.mean is not None
        tone: Tone = "model" if not place or variant.ties_with_best else "contrast"
        rows.append((variant.name, variant.mean, tone))
    best, known = scored[0], scored[0].beside_rival
    assert best.mean is not None
    return Intervals(
        description=f"{label} of each variant with its 95% interval",
        axis=label,
        rows=rows,
        chance=best.mean.value if known is None else best.mean.value - known.value.value,
        caption="Blue: the best, and what ties with it. The dashed line: "
        + ("the best." if known is None else f"the {comparison.ground.rival}."),
    )
