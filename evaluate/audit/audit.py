"""The story of `weldcache audit`: what evidence there is, what every check makes of it, and a verdict.

data set or store: who the samples are -> store: what is kept of them -> run: how it was trained, what it answers
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ...cache.splits import OFFICIAL
from ...cache.store import FeatureStore
from ...errors import NotFoundError
from ...findings import Check, Finding, Severity, check_table, finding_texts
from ...settings import Settings
from ...tables import literal
from ...wording import count_of
from .check import GROUPS, Group, answers
from .curves import CURVE_CHECKS
from .epochs import Epochs
from .giveaways import GIVEAWAY_CHECKS
from .listing import Listing, listing_of_data, listing_of_store
from .parts import PART_CHECKS

_SEVERITIES: Sequence[Severity] = ("error", "warning", "note")


@dataclass(frozen=True)
class Audit:
    """What an audit looked at, and what it found.

    Attributes:
        looked_at: the evidence, in words.
        missing: what there was not, and why not.
        checks: by the group that they are of, in the order in which they were asked.
    """

    looked_at: Sequence[str]
    missing: Sequence[str]
    checks: Sequence[tuple[Group, Check]]

    @property
    def findings(self) -> Sequence[Finding]:
        """All findings, the gravest first."""
        found = [finding for _, check in self.checks for finding in check.findings]
        return sorted(found, key=lambda finding: _SEVERITIES.index(finding.severity))

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity; errors are the severe ones."""
        return sum(check.count(severity) for _, check in self.checks)

    @property
    def trustworthy(self) -> bool:
        """Whether nothing severe was found."""
        return not self.count("error")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, every finding included."""
        return {
            "verdict": "severe" if not self.trustworthy else "warnings" if self.count("warning") else "clean",
            **{f"{severity}s": self.count(severity) for severity in _SEVERITIES},
            "looked_at": list(self.looked_at),
            "missing": list(self.missing),
            "checks": [
                {"group": group, "name": check.name, "looked_at": check.looked_at, **check.counts()}
                for group, check in self.checks
            ],
            "findings": [finding.to_json() for finding in self.findings],
        }


def audit(settings: Settings) -> Audit:
    """Look at all that the settings name: the data set, the store, and a run.

    Raises:
        NotFoundError: if there is neither.
    """
    missing: list[str] = []
    data, store = _data(settings, missing), _store(settings, missing)
    listing = _listing(data, store)
    if listing is None:
        raise NotFoundError(f"There is nothing to audit. {' '.join(missing)}")
    checks = [*answers([*PART_CHECKS, *GIVEAWAY_CHECKS], listing)]
    looked_at = [f"{listing.where}: {count_of(len(listing.index), listing.noun)}"]
    return Audit(looked_at, missing, checks)


def audit_log(epochs: Epochs) -> Audit:
    """Look at the log of a training alone, whoever wrote it."""
    return Audit([f"{epochs.where}: {count_of(epochs.num, 'epoch')}"], (), [*answers(CURVE_CHECKS, epochs)])


def _data(settings: Settings, missing: list[str]) -> Listing | None:
    try:
        return listing_of_data(settings)
    except NotFoundError as error:
        missing.append(f"No data set: {error}")
        return None


def _store(settings: Settings, missing: list[str]) -> FeatureStore | None:
    try:
        store = FeatureStore.open(settings.cache.path)
    except NotFoundError as error:
        missing.append(f"No store: {error}")
        return None
    asked = settings.train.split
    return store.divided_by(asked) if asked != OFFICIAL and asked in store.splits() else store


def _listing(data: Listing | None, store: FeatureStore | None) -> Listing | None:
    """By the store's index, which trainings go by, where there is one; the data set itself is read, too."""
    if store is None:
        return data
    kept = listing_of_store(store)
    return kept if data is None else replace(kept, readings=data.readings, pictures=_pictures(data, kept))


def _pictures(data: Listing, kept: Listing) -> Sequence[Sequence[Path]]:
    found = dict(zip(data.index.keys.tolist(), data.pictures, strict=True))
    return [found.get(key, ()) for key in kept.index.keys.tolist()]


def audit_tables(audited: Audit, *, details: bool) -> Iterator[RenderableType]:
    """An audit for a terminal: the verdict first, then what was found and, with `details`, all that was looked at."""
    yield _verdict(audited)
    for finding in audited.looked_at:
        yield literal(f"Looked at {finding}.")
    for reason in audited.missing:
        yield literal(reason, style="dim")
    for severity in _SEVERITIES:
        yield from finding_texts([finding for finding in audited.findings if finding.severity == severity])
    if details:
        for group in GROUPS:
            of_group = [check for each, check in audited.checks if each == group]
            if of_group:
                yield Text(group, style="bold")
                yield check_table(of_group)


def _verdict(audited: Audit) -> Text:
    counted = [count_of(audited.count(severity), severity) for severity in _SEVERITIES if audited.count(severity)]
    asked = count_of(len(audited.checks), "check")
    if not audited.trustworthy:
        return Text(f"Not to be believed as it is: {', '.join(counted)} in {asked}.", style="bold red")
    if audited.count("warning"):
        return Text(f"To be read with care: {', '.join(counted)} in {asked}.", style="bold yellow")
    return Text(f"Nothing is wrong with what was looked at, in {asked}.", style="bold green")
