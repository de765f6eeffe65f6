"""What of an audit a report asks, too: all that the store and the run answer at little cost, without the data set.

What takes more is left to `weldcache audit`, and the report says which questions these are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from ...findings import Finding, Severity
from ...train.recipes.recipe import Trained
from ...wording import count_of, listed
from ..judge import Judgement
from ..scoring import Scorer
from ..section import Column, Rows, Section
from ..settings import EvaluateSettings
from .check import AuditCheck, answers
from .curves import CURVE_CHECKS
from .epochs import epochs_of_run
from .features import STORE_CHECKS, Stored
from .giveaways import GIVEAWAY_CHECKS
from .judgement import RESULT_CHECKS, Result
from .listing import listing_of_store
from .outcome import Audit
from .parts import PART_CHECKS
from .weights import TRAINING_CHECKS, Training

_TOLD: Sequence[Severity] = ("error", "warning")
_MOST_TOLD = 12  # findings in the section
_MOST_SEVERE = 3  # in the verdict
_MOST_PARAMETERS, _MOST_NUMBERS = 2_000_000, 100_000  # of a model, and in its features of one sample
_MOST_WORK = 4e9  # multiply-adds on features: about a second of one core


def audit_in_report(scorer: Scorer, judgement: Judgement, *, part: str, settings: EvaluateSettings) -> Audit:
    """The questions that a report on `part` asks, with what was found; `missing` names those that are left out."""
    run, store = scorer.run, scorer.store
    epochs = epochs_of_run(
        run.folder.name, run.metrics, anchors={}, monitors=run.task.monitors(), counts=run.manifest["counts"]
    )
    asked: list[tuple[Iterable[AuditCheck[Any]], object]] = [
        ([*PART_CHECKS, *GIVEAWAY_CHECKS], listing_of_store(store)),
        (STORE_CHECKS, Stored(store, most_work=_MOST_WORK, read=run.recipe.needs().feature_sets)),
        ([check for check in CURVE_CHECKS if check.group == "training"], epochs),
    ]
    if isinstance(run.recipe, Trained):
        asked.append((TRAINING_CHECKS, Training(run, run.recipe, store)))
    asked.append((RESULT_CHECKS, Result(scorer, part, settings, judged=judgement)))
    asks = {"always", "where small"} if _is_small(scorer) else {"always"}
    left_out = [check.name for checks, _ in asked for check in checks if check.in_report not in asks]
    found = [
        answer
        for checks, evidence in asked
        for answer in answers([check for check in checks if check.in_report in asks], evidence)
    ]
    return Audit((), left_out, found)


def _is_small(scorer: Scorer) -> bool:
    """Whether a few passes through the model take no time to speak of."""
    of_sample = sum(prod(shape) for shape in scorer.run.shapes(scorer.store).values())
    return of_sample <= _MOST_NUMBERS and scorer.run.manifest["parameters"]["total"] <= _MOST_PARAMETERS


def audit_section(audited: Audit) -> Section:
    """Every question with what was looked at, and the findings, the gravest first."""
    columns = (
        Column("group", "of", of_text=True),
        Column("check", "check", of_text=True),
        Column("looked_at", "looked at", of_text=True),
        Column("num_findings", "found"),
    )
    values = [(group, check.name, check.looked_at, len(check.findings)) for group, check in audited.checks]
    told = [f"{each.severity}: {each.check}: {each.evidence}{_where(each)}. {each.remedy}" for each in audited.findings]
    more = [f"{len(told) - _MOST_TOLD:,} more, which `weldcache audit` tells."] if len(told) > _MOST_TOLD else []
    note = (
        f"Left to `weldcache audit`: {listed(audited.missing)}, and what `weldcache verify` looks at. docs/audit.md "
        "explains each."
    )
    rows = [Rows("checks", columns, values)]
    return Section("audit", "Audit", rows=rows, note=[note], points=[*told[:_MOST_TOLD], *more])


def _where(finding: Finding) -> str:
    return f" ({finding.where})" if finding.where else ""


def told_in_verdict(sections: Sequence[Section], audited: Audit) -> list[Section]:
    """The sections, the verdict among them with what the audit comes to: it is not good where that is severe."""
    return [_with_audit(section, audited) if section.look == "verdict" else section for section in sections]


def _with_audit(verdict: Section, audited: Audit) -> Section:
    counted = [count_of(audited.count(each), each) for each in _TOLD if audited.count(each)]
    found = listed(counted) if counted else "nothing wrong"
    note = [*verdict.note, f"The audit finds {found} in {count_of(len(audited.checks), 'check')}."]
    severe = [finding for finding in audited.findings if finding.severity == "error"]
    if not severe:
        return replace(verdict, note=note)
    points = [
        f"The audit finds a severe mistake: {each.evidence}{_where(each)}. {each.remedy}"
        for each in severe[:_MOST_SEVERE]
    ]
    if len(severe) > _MOST_SEVERE:
        points.append(f"{len(severe) - _MOST_SEVERE:,} more severe mistakes stand under Audit.")
    told = replace(verdict, note=note, points=[*points, *verdict.points])
    if verdict.standing != "good":
        return told
    title = f"{verdict.title}, but the audit finds {count_of(len(severe), 'severe mistake')}"
    return replace(told, standing="doubtful", title=title)
