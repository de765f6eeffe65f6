"""The table in its five forms."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from weldcache.documents import seal_holds
from weldcache.evaluate.trials.comparison import Comparison
from weldcache.evaluate.trials.page import bench_page
from weldcache.evaluate.trials.table import (
    bench_markdown,
    bench_summary,
    notes_below,
)
from weldcache.evaluate.trials.table_files import bench_document, write_tables
from weldcache.tests.evaluate.trials.conftest import HEADER


def test_eighty_columns_show_names_as_they_are_and_what_calls_for_care(comparison: Comparison) -> None:
    console = Console(width=80, file=io.StringIO())
    console.print(bench_summary([comparison], header=HEADER))
    text = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    for part in (
        "blocks on test: Which?",
        "1 10+21 0.850 0.800 the best 13.51M [b]| (0.874) 0.700 to 0.875 +0.330 8.4 s 2 seeds 312 MB",
        "2 21 0.750 -0.050 -0.050 tie 10.17M 1 seed 0.600 to 0.850 -0.100 to +0.013 +0.280 7.0 s",
        "20+28 (0.860) failed 0 seeds",
        "It is not known whether 10+21 [b]| is ahead of 1 other: 21",
        "In brackets: AUROCs recorded elsewhere.",
        "21: seed 1: the loss is nan",
        "20+28: no features",
        "On 60 normals and 110 defects of test: media-free control 0.470 (0.380 to 0.560), random scores 0.450",
        "Samples that only some variants scored, and that are in no figure: 2.",
        "The interval of a single seed says nothing about other seeds.",
        "Demo with random-weight backbones",
    ):
        assert part in text, part


def test_markdown_is_a_table_whose_rows_have_one_length(comparison: Comparison) -> None:
    lines = bench_markdown([comparison], header=HEADER).split("\n")
    rows = [line.replace(r"\|", "") for line in lines if line.startswith("|")]
    assert len(rows) == 5 and len({row.count("|") for row in rows}) == 1
    assert r"10+21 [b]\|" in lines[4] and set(rows[1]) <= set("|-: ")


def test_names_that_a_spreadsheet_or_a_terminal_would_run_are_text(comparison: Comparison, tmp_path: Path) -> None:
    hostile = replace(comparison.variants[0], name="=cmd|' /C calc'!A0\n\x1b]0;title\x07[/]")
    found = replace(comparison, variants=(hostile, *comparison.variants[1:]), reference=hostile.name)
    write_tables(tmp_path, [found], header=HEADER)
    first = next(csv.DictReader((tmp_path / "table_test.csv").read_text().splitlines()))
    assert first["variant"] == r"'=cmd|' /C calc'!A0\n\x1b]0;title\x07[/]"
    console = Console(width=200, file=io.StringIO())
    console.print(bench_summary([found], header=HEADER))
    markdown = (tmp_path / "table_test.md").read_text()
    page = (tmp_path / "table_test.html").read_text()
    assert "\x1b" not in page and "|&#39; /C calc&#39;!A0" in page
    for text in (console.file.getvalue(), markdown):  # type: ignore[attr-defined]
        assert "\x1b" not in text and r"A0\n\x1b]0;title" in text and "[/]" in text
    assert len({line.replace(r"\|", "").count("|") for line in markdown.splitlines() if line.startswith("|")}) == 1


def test_columns_that_nothing_fills_are_left_out(comparison: Comparison) -> None:
    alone = Comparison(**{**comparison.__dict__, "variants": comparison.variants[1:2]})
    head = bench_markdown([alone], header=HEADER).split("\n")[2]
    assert "less the media-free control" in head and "memory" not in head
    assert "recorded" not in head and "by seed" not in head and "train s" in head


def test_files_read_back(comparison: Comparison, tmp_path: Path) -> None:
    write_tables(tmp_path, [comparison], header=HEADER)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"table_test.{suffix}" for suffix in ("csv", "html", "json", "md")
    }
    first, second, third = csv.DictReader((tmp_path / "table_test.csv").read_text().splitlines())
    assert (first["variant"], first["seeds"], float(first["auroc_high"])) == ("10+21 [b]|", "0 1", 0.875)
    assert (float(second["difference"]), second["failures"]) == (-0.05, "seed 1: the loss is nan")
    assert (third["auroc"], third["recorded_val_auroc"]) == ("", "0.86")
    document = json.loads((tmp_path / "table_test.json").read_text())
    assert seal_holds(document) and document["files"].keys() == {
        f"table_test.{suffix}" for suffix in ("csv", "html", "md")
    }
    assert json.loads(json.dumps(bench_document([comparison], header=HEADER))).items() <= document.items()
    (table,) = document["leaderboards"]
    assert document["schema_version"] == 2 and table["divided_by"] == "official"
    assert table["variants"][0]["recorded"] == {"val": 0.874, "test": None}
    assert table["variants"][1]["difference"] == {
        "value": -0.05,
        "low": -0.1,
        "high": 0.0125,
        "method": "newcombe",
    }
    assert table["random"]["value"] == 0.45 and "DeLong" in table["method"]
    assert table["notes"] == notes_below(comparison, header=HEADER)
    assert (first["auroc_method"], first["difference_method"]) == ("delong", "")
    assert (second["auroc_method"], second["difference_method"]) == ("newcombe", "newcombe")


def test_the_notes_tell_what_made_the_intervals(comparison: Comparison) -> None:
    mixed = " ".join(notes_below(comparison, header=HEADER))
    assert "intervals of AUROCs, for other samples and other seeds: DeLong's" in mixed
    assert "on the logit scale, for 10+21 [b]|; Newcombe's score interval" in mixed
    assert "complete separation), for 21." in mixed
    assert "their 95% intervals: the intervals of both AUROCs as if they were independent" in mixed
    few = " ".join(notes_below(replace(comparison, variants=comparison.variants[1:]), header=HEADER))
    assert "other seeds: Newcombe's" in few and "DeLong" not in few and "logit" not in few


def test_the_table_of_other_splits_stands_beside_the_list_s_own(comparison: Comparison, tmp_path: Path) -> None:
    folds = [f"fold_{number}" for number in range(20)]
    for store_splits in ([], ["mine"], folds, folds[:-1]):
        write_tables(tmp_path, [comparison], header=HEADER, store_splits=store_splits)
    written = {path.name for path in tmp_path.glob("table_test*.json")}
    assert len(written) == 4 and {"table_test.json", "table_test_by_mine.json"} < written


def test_what_calls_for_care_stands_below_the_table_in_all_forms(comparison: Comparison) -> None:
    caution = "Warning of 21: All scores are equal."
    cautious = replace(comparison, caveats=(caution,))
    console = Console(width=200, file=io.StringIO())
    console.print(bench_summary([cautious], header=HEADER))
    assert caution in console.file.getvalue()  # type: ignore[attr-defined]
    assert caution in bench_markdown([cautious], header=HEADER)
    assert caution in bench_document([cautious], header=HEADER)["leaderboards"][0]["notes"]
    assert "All scores are equal." in bench_page([cautious], header=HEADER)
