"""report.html as text: whole, offline, escaped, and what it says when something is missing."""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from weldcache.evaluate.exhibits import SampleTable
from weldcache.evaluate.report.html import render_html
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.section import Provenance, Report
from weldcache.evaluate.tasks.anomaly.figures import Assessment
from weldcache.evaluate.tasks.anomaly.samples import table_section
from weldcache.metrics.repeats import RepeatsEstimate

MakeAssessment = Callable[..., Assessment]
MakeReport = Callable[..., Report]
VOID_TAGS = {"meta", "img", "input", "br"}
_SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)


class _Page(HTMLParser):
    """Collects attributes that load something, and scripts; fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open_tags: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self.scripts: list[str | None] = []
        self.handlers: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.scripts += [dict(attrs).get("type")] if tag == "script" else []
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.loads += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data", "action"}]
        if tag not in VOID_TAGS:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag


def test_one_offline_file_with_seven_pictures(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    text = render_html(make_report(make_assessment(table), table))
    page = _Page(text)
    assert page.open_tags == []
    assert len(page.loads) == 7
    assert all(load.startswith("data:image/svg+xml;base64,") for load in page.loads)
    assert not page.tags & {"link", "iframe", "object"}
    assert "http://" not in text and "https://" not in text and "url(" not in text and "@import" not in text
    assert "$" not in _SCRIPT.sub("", text)


@pytest.mark.usefixtures("undrawn")
def test_no_script_runs_but_the_page_s_own(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    text = render_html(make_report(make_assessment(table), table))
    page = _Page(text)
    assert page.scripts == ["application/json", None] and page.handlers == []
    (own,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashed = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert f"script-src 'sha256-{hashed}'\"" in text
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(", own)


def test_pictures_are_sound_and_load_nothing(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    for load in _Page(render_html(make_report(make_assessment(table), table))).loads:
        svg = base64.b64decode(load.split(",", 1)[1]).decode()
        root = ElementTree.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "currentColor" in svg and "#010203" not in svg
        links = [element.get("{http://www.w3.org/1999/xlink}href", "#") for element in root.iter()]
        assert all(link.startswith("#") for link in links)


@pytest.mark.usefixtures("undrawn")
def test_says_the_numbers(table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport) -> None:
    assessment = make_assessment(table)
    text = render_html(make_report(assessment, table))
    assert f'<strong id="auroc">{assessment.auroc.value:.3f}</strong>' in text
    media_free = assessment.controls.rivals["media_free_control"].auroc
    assert media_free is not None and f"<strong>{media_free.value:.3f}</strong>" in text
    assert "The model beats chance and every control" in text
    assert "No warning was raised." in text
    assert f"{assessment.threshold.value:#.4g}" in text
    assert "<td>optimizer.lr</td><td>2e-05</td>" in text
    assert "<td>loss.gram.weight</td><td>1.0</td>" in text


@pytest.mark.usefixtures("undrawn")
def test_tables_of_detail_are_closed_until_somebody_opens_them(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    text = render_html(make_report(make_assessment(table), table))
    (closed,) = re.findall(r'<details class="detail"><summary>([^<]*)</summary>', text)
    assert closed.startswith("Where the normals of each group lie") and "Thresholds for several" not in closed


@pytest.mark.usefixtures("undrawn")
def test_the_most_confident_errors_are_listed(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    text = render_html(make_report(make_assessment(table), table))
    rows = sorted(zip(table.scores, table.keys, table.labels, strict=True))
    quiet_defect = next(key for _, key, label in rows if label == 1)
    loud_normal = next(key for _, key, label in reversed(rows) if label == 0)
    assert f"<td>{quiet_defect}</td>" in text.rpartition("Defects with the lowest scores")[2]
    assert f"<td>{loud_normal}</td>" in text.rpartition("Normals with the highest scores")[2]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("random_backbones", [True, False])
def test_banner_only_for_random_backbones(
    random_backbones: bool,
    table: ScoreTable,
    make_assessment: MakeAssessment,
    provenance: Provenance,
    make_report: MakeReport,
) -> None:
    named = replace(provenance, random_features=["video"] if random_backbones else [])
    text = render_html(make_report(make_assessment(table), table, provenance=named))
    assert ("Demo with random-weight backbones" in text) == random_backbones


def test_every_text_is_escaped(
    table: ScoreTable, make_assessment: MakeAssessment, provenance: Provenance, make_report: MakeReport
) -> None:
    attack = "<script>alert(\"1\")</script> $x & '$$'"
    nasty = replace(
        table,
        keys=tuple(f"{key}{attack}" for key in table.keys),
        class_names=tuple(f"{name}{attack}" for name in table.class_names),
    )
    named = replace(
        provenance,
        run_name=attack,
        split=attack,
        command=attack,
        fingerprint=attack,
        created=attack,
        settings={attack: attack},
        versions={attack: attack},
    )
    text = render_html(make_report(make_assessment(nasty), nasty, provenance=named))
    page = _Page(text)
    assert page.open_tags == []
    assert page.scripts == ["application/json", None] and page.handlers == []
    assert len(page.loads) == 7
    assert len(re.findall("&lt;script&gt;", text)) > 20


@pytest.mark.usefixtures("undrawn")
def test_says_what_is_missing(table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport) -> None:
    bare = replace(table, attributes={}, groups=("",) * len(table))
    text = render_html(make_report(make_assessment(bare), bare, curve=[]))
    assert "The run recorded no training curve." in text
    assert "The model beats chance, but a control is missing" in text
    assert "no groups are recorded" in text
    assert "NaN" not in text and "None" not in text


@pytest.mark.parametrize(
    ("curve", "drawn"),
    [
        ([{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": float("nan"), "val_auroc": None}], True),
        ([{"epoch": 1, "val_auroc": 0.6}, {"epoch": 2, "val_auroc": 0.6}], True),
        ([{"epoch": 1, "val_auroc": 0.6}], False),
        ([{"epoch": 1, "loss": float("inf"), "val_auroc": None}, {"lr": 1.0}], False),
    ],
)
def test_training_curves_with_gaps(
    curve: list[dict[str, object]],
    drawn: bool,
    table: ScoreTable,
    make_assessment: MakeAssessment,
    make_report: MakeReport,
) -> None:
    text = render_html(make_report(make_assessment(table), table, curve=curve))
    assert ("Training loss and validation AUROC by epoch" in text) == drawn


@pytest.mark.usefixtures("undrawn")
def test_what_the_model_does_without_each_modality(
    table: ScoreTable, rich_assessment: Assessment, make_report: MakeReport
) -> None:
    section = render_html(make_report(rich_assessment, table)).partition("<h2>Without one modality</h2>")[2]
    section = section.partition("</section>")[0]
    row = "<td>video</td>" + "".join(
        f'<td class="number">{text}</td>' for text in ("0.700 (0.610 to 0.780)", "-0.151 (-0.220 to -0.080)", "3", "2")
    )
    assert row in section
    assert "<td>&lt;audio&gt;</td>" in section
    assert "Training never left out video: " in section
    assert "interval is DeLong&#39;s for pairs. Where" in section


@pytest.mark.usefixtures("undrawn")
def test_intervals_are_called_what_they_are_and_what_nobody_has_is_no_number(
    table: ScoreTable, rich_assessment: Assessment, make_report: MakeReport
) -> None:
    video, audio = rich_assessment.modalities["video"], rich_assessment.modalities["<audio>"]
    few = replace(audio, change=RepeatsEstimate(0.0, low=-0.3, high=0.3, method="newcombe"))
    nobody = replace(video, auroc=None, change=None, num_having=(0, 0), num_lacking=150)
    assessed = replace(rich_assessment, modalities={"sensor": few, "video": nobody})
    section = render_html(make_report(assessed, table)).partition("<h2>Without one modality</h2>")[2]
    section = section.partition("</section>")[0]
    assert "DeLong" not in section and "Newcombe&#39;s of both AUROCs" in section
    assert '<td>video</td><td class="number"></td><td class="number"></td>' in section
    both = replace(rich_assessment, modalities={"sensor": few, "audio": audio})
    section = render_html(make_report(both, table)).partition("<h2>Without one modality</h2>")[2]
    assert "or complete separation), of sensor; DeLong&#39;s for pairs, of audio. Where" in section


@pytest.mark.usefixtures("undrawn")
def test_a_model_that_can_do_without_nothing_has_no_such_section(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    text = render_html(make_report(make_assessment(table), table))
    assert "Without one modality" not in text
    assert "<h2>At the alarm threshold</h2>" in text


def test_watched_representations_have_curves_and_a_table(
    table: ScoreTable,
    rich_assessment: Assessment,
    make_report: MakeReport,
    training_curve: list[dict[str, float | int | None]],
) -> None:
    text = render_html(make_report(rich_assessment, table, curve=training_curve))
    page = _Page(text)
    assert page.open_tags == [] and len(page.loads) == 8
    svg = base64.b64decode(page.loads[-1].split(",", 1)[1]).decode()
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert "<!-- 0.001 -->" in svg and "mathdefault" not in svg  # numbers as numbers, not as formulas
    table_text = text.partition("Representation</th>")[2].partition("</table>")[0]
    # After the first, the best and the last epoch; a mean and its range of two or three digits.
    assert re.findall(r"<tr><td>(\w+)</td>(.*?)</tr>", table_text) == [
        (name, "".join(f'<td class="number">{cell}</td>' for cell in cells))
        for name, *cells in (
            ("z_result", "1", "22.0", "0.1", "0", "0.2"),
            ("z_result", "9", "6.0", "1e-09", "0", "2e-09"),
            ("z_result", "11", "2.0", "1e-11", "0", "2e-11"),
            ("z_pred", "1", "20.0", "0.07", "0", "0.14"),
            ("z_pred", "9", "20.0", "0.07", "0", "0.14"),
            ("z_pred", "11", "20.0", "0.07", "0", "0.14"),
        )
    ]


def test_a_representation_that_is_constant_is_drawn(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    nothing = {f"code_{figure}": 0.0 for figure in ("effective_rank", "std", "std_min", "std_max")}
    curve = [{"epoch": epoch, "loss": 1.0, **nothing} for epoch in (1, 2)]
    text = render_html(make_report(make_assessment(table), table, curve=curve, best_epoch=1))
    assert len(_Page(text).loads) == 8


@pytest.mark.usefixtures("undrawn")
def test_the_recorded_validation_stands_beside_the_one_found(
    table: ScoreTable, rich_assessment: Assessment, make_report: MakeReport
) -> None:
    text = render_html(make_report(rich_assessment, table))
    recorded = 'AUROC on validation that training recorded</th><td class="number">0.812</td>\n<td class="number">'
    assert f"{recorded}equal to the one above" in text
    rescaled = render_html(make_report(replace(rich_assessment, validation_is_rescaled=True), table))
    assert f"{recorded}before scores were put on one scale" in rescaled


@pytest.mark.usefixtures("undrawn")
def test_whole_samples_stand_beside_all(
    table: ScoreTable, make_assessment: MakeAssessment, rich_assessment: Assessment, make_report: MakeReport
) -> None:
    tile = render_html(make_report(rich_assessment, table)).partition("Whole samples only")[2].partition("</div>")[0]
    assert "<strong>0.830</strong>" in tile and "0.750 to 0.900" in tile
    assert "58 normal, 89 defect that lack no modality" in tile
    assert "Whole samples only" not in render_html(make_report(make_assessment(table), table))


def test_the_same_evaluation_makes_the_same_bytes(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    assessment = make_assessment(table)
    assert render_html(make_report(assessment, table)) == render_html(make_report(assessment, table))


def test_equal_scores_still_make_a_page(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    flat = replace(table, scores=table.scores * 0)
    assert "All scores are equal" in render_html(make_report(make_assessment(flat), flat))


@pytest.mark.usefixtures("undrawn")
def test_p_values_stand_in_the_table_of_samples(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    p_values = np.linspace(0.0123, 1, len(table))
    p_values[1] = np.nan
    threshold = make_assessment(table).threshold.value
    told, untold = (table_section(table, threshold=threshold, p_values=each) for each in (p_values, None))
    (shown,), (plain,) = told.exhibits, untold.exhibits
    assert isinstance(shown, SampleTable) and isinstance(plain, SampleTable)
    assert shown.column("p_value")[:2] == [pytest.approx(0.0123), None]
    assert "p_value" not in {column.id for column in plain.columns}
    report = make_report(make_assessment(table), table)
    sections = [told if section.id == "samples" else section for section in report.sections]
    page = render_html(replace(report, sections=sections))
    assert '<td class="number" data-value="0.0123">0.0123</td>' in page
    assert '<td class="number" data-value=""></td>' in page
