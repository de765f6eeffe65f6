"""The tables of a bench for programs, and all their files: JSON, CSV, Markdown and a page."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...atomic import remove_partial, write_text
from ...documents import write_sealed
from ...metrics.repeats import RepeatsEstimate
from ...train.runs.documents import hashes_of
from ...wording import spreadsheet_cell
from .comparison import Comparison, VariantResult
from .measure import Difference
from .page import bench_page
from .table import BenchHeader, bench_markdown, method_notes, notes_below

SCHEMA_VERSION = 2
"""Version of the JSON. In version 1, which did not say so, there was one table, whose parts stood at the top."""

_LONGEST_STEM = 100  # characters of a file's name


def write_tables(
    folder: Path, comparisons: Sequence[Comparison], *, header: BenchHeader, store_splits: Sequence[str] = ()
) -> None:
    """Write `table_<split>.csv`, `.md`, `.html` and, last, `.json` into `folder`; with `store_splits`, which are other
    splits of the store than the list's own, `table_<split>_by_<store_splits>`, beside which the list's table stays."""
    stem = "_".join([f"table_{header.split}", *(["by", *store_splits] if store_splits else [])])
    if len(stem) > _LONGEST_STEM:  # folds may be many
        stem = f"{stem[:_LONGEST_STEM]}_{sha256(stem.encode()).hexdigest()[:8]}"
    texts = {
        "csv": _as_csv(comparisons),
        "md": bench_markdown(comparisons, header=header),
        "html": bench_page(comparisons, header=header),
    }
    written = []
    for suffix, text in texts.items():
        path = folder / f"{stem}.{suffix}"
        remove_partial(path)
        write_text(path, text)
        written.append(path)
    remove_partial(folder / f"{stem}.json")
    document = {**bench_document(comparisons, header=header), "files": hashes_of(written)}
    write_sealed(folder / f"{stem}.json", document)


def bench_document(comparisons: Sequence[Comparison], *, header: BenchHeader) -> dict[str, Any]:
    """Everything as JSON values."""
    leaderboards = [_leaderboard(comparison, header=header) for comparison in comparisons]
    return {"schema_version": SCHEMA_VERSION, **asdict(header), "leaderboards": leaderboards}


def _leaderboard(comparison: Comparison, *, header: BenchHeader) -> dict[str, Any]:
    name, ground = comparison.figure.name, comparison.ground
    return {
        "divided_by": comparison.divided_by,
        "figure": name,
        "reference": comparison.reference,
        "rival": ground.rival,
        "variants": [_variant_document(variant, name) for variant in comparison.variants],
        **ground.counts,
        "num_not_shared": comparison.num_not_shared,
        **{each: asdict(found) if is_dataclass(found) else found for each, found in ground.controls.items()},
        "passed_over": dict(comparison.passed_over),
        "caveats": list(comparison.caveats),
        "method": " ".join(method_notes(comparison)),
        "notes": notes_below(comparison, header=header),
    }


def _variant_document(variant: VariantResult, name: str) -> dict[str, Any]:
    """A row, with its figures under the names that reports and logs have for them."""
    figures: dict[str, Any] = {}
    for key, value in asdict(variant).items():
        match key:
            case "mean":
                figures[name] = value
            case "validation":
                figures[f"val_{name}"] = value
            case "others":
                figures |= value
            case _:
                figures[key] = value
    told: Mapping[str, Difference | None] = {"behind": variant.behind, "beside_rival": variant.beside_rival}
    return {
        **figures,
        **{key: None if found is None else found.as_json() for key, found in told.items()},
        "ties_with_best": variant.ties_with_best,
        "recorded": variant.recorded.model_dump(),
    }


def _as_csv(comparisons: Sequence[Comparison]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rows = [dict(_row(variant, comparison)) for comparison in comparisons for variant in comparison.variants]
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return text.getvalue()


Cell = float | str | None


def _row(variant: VariantResult, comparison: Comparison) -> Iterator[tuple[str, Cell]]:
    """The cells of a line by their headings, which are the same of all variants."""
    name = comparison.figure.name
    yield "divided_by", comparison.divided_by
    yield "rank", variant.rank
    yield "variant", spreadsheet_cell(variant.name)
    yield "seeds", " ".join(map(str, variant.seeds))
    yield f"val_{name}", variant.validation
    yield from _estimate(name, variant.mean)
    yield f"{name}_lowest_seed", min(variant.by_seed, default=None)
    yield f"{name}_highest_seed", max(variant.by_seed, default=None)
    yield from _estimate("difference", variant.difference)
    for heading, found in (("behind", variant.behind), ("beside_rival", variant.beside_rival)):
        yield from _estimate(heading, None if found is None else found.value)
        yield f"{heading}_p_value", None if found is None else found.p_value
        yield f"{heading}_p_holm", None if found is None else found.p_holm
    yield "ties_with_best", "yes" if variant.ties_with_best else ""
    for heading in ("parameters", "seconds", "score_seconds", "peak_bytes"):
        yield heading, getattr(variant, heading)
    yield f"recorded_val_{name}", variant.recorded.val
    yield f"recorded_test_{name}", variant.recorded.test
    yield "failures", spreadsheet_cell("; ".join(variant.failures))
    for other in comparison.others:
        yield other.name, variant.others.get(other.name)


def _estimate(heading: str, found: RepeatsEstimate | None) -> Iterator[tuple[str, Cell]]:
    for end in ("value", "low", "high", "method"):
        yield heading if end == "value" else f"{heading}_{end}", None if found is None else getattr(found, end)
