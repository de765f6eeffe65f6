"""The story of `weldcache audit`: what evidence there is, what every check makes of it, and a verdict.

data set or store: who the samples are -> store: what is kept of them -> run: how it was trained, what it answers
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ...cache.splits import OFFICIAL
from ...cache.store import FeatureStore
from ...errors import FingerprintError, NotFoundError
from ...extract.verification.verify import verification_of
from ...findings import Check, Finding, Severity, check_table, finding_texts
from ...settings import Settings
from ...tables import literal
from ...train.recipes.recipe import Trained
from ...train.runs.names import find_run
from ...train.runs.trained_run import TrainedRun, load_run
from ...train.runs.verification import verify_run
from ...wording import count_of
from ..pipeline import scorer_of
from .check import GROUPS, Group, answers
from .curves import CURVE_CHECKS
from .epochs import Epochs, epochs_of_run
from .features import STORE_CHECKS
from .giveaways import GIVEAWAY_CHECKS
from .judgement import RESULT_CHECKS, Result
from .listing import Listing, listing_of_data, listing_of_store
from .parts import PART_CHECKS
from .weights import TRAINING_CHECKS, Training

_TRAIN_AGAIN = "Audit the run on the store that it was trained on (--cache), or train again."
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


@dataclass(frozen=True)
class Request:
    """How far an audit goes.

    Attributes:
        run: name of the run; None: the newest finished one, where there is one.
        part: the part of the split that the run is judged on.
        live: how many samples are computed again and compared with the store.
        seed: which these are.
        sources: whether files of the data set are hashed again.
        anchors: by figure what is known to be reached.
    """

    run: str | None = None
    part: str = "test"
    live: int = 0
    seed: int = 0
    sources: bool = True
    anchors: Mapping[str, float] = field(default_factory=dict)


def audit(settings: Settings, request: Request | None = None) -> Audit:
    """Look at all that the settings name: the data set, the store, and a run.

    Raises:
        NotFoundError: if there is neither data set nor store, or not the run that is asked for.
        StoreError: if the store cannot be opened.
        TrainingError: if the run cannot be read.
    """
    asked, missing = request or Request(), list[str]()
    data, store = _data(settings, missing), _store(settings, missing)
    listing = _listing(data, store)
    if listing is None:
        raise NotFoundError(f"There is nothing to audit. {' '.join(missing)}")
    run = None if store is None else _run(settings, asked, missing)
    looked_at = [f"{listing.where}: {count_of(len(listing.index), listing.noun)}"]
    checks = [*answers([*PART_CHECKS, *GIVEAWAY_CHECKS], listing)]
    if store is not None:
        checks += [*answers(STORE_CHECKS, store), *_verified(store, settings, asked)]
    if run is not None and store is not None:
        looked_at.append(f"{run.folder.path}: {run.manifest['recipe']}, judged on {asked.part}")
        checks += _of_run(run, settings, asked)
    return Audit(looked_at, missing, checks)


def _verified(store: FeatureStore, settings: Settings, asked: Request) -> Iterator[tuple[Group, Check]]:
    """What `weldcache verify` finds: bytes, values, what made them, the data set as it is now, live features."""
    found = verification_of(store, settings, live=asked.live, seed=asked.seed, sources=asked.sources)
    yield from (("cache", check) for check in found.checks)


def _of_run(run: TrainedRun, settings: Settings, asked: Request) -> Iterator[tuple[Group, Check]]:
    yield "training", replace(verify_run(run.folder, folder=run.folder.path.parent), name="run files")
    epochs = epochs_of_run(run.folder.name, run.metrics, anchors=asked.anchors)
    yield from answers([check for check in CURVE_CHECKS if check.group == "training"], epochs)
    try:
        scorer = scorer_of(run, cache=settings.cache.path, device=settings.train.device)
    except (FingerprintError, NotFoundError) as error:
        stale = Finding("fingerprint", "error", str(error), _TRAIN_AGAIN)
        yield "cache", Check("fingerprint", "what the run was trained on, and what the store holds", [stale])
        return
    yield "cache", Check("fingerprint", "what the run was trained on, and what the store holds")
    if isinstance(run.recipe, Trained):
        yield from answers(TRAINING_CHECKS, Training(run, run.recipe, scorer.store))
    yield from answers(RESULT_CHECKS, Result(scorer, asked.part, settings.evaluate, asked.anchors))


def _run(settings: Settings, asked: Request, missing: list[str]) -> TrainedRun | None:
    try:
        return load_run(find_run(settings.runs.folder, asked.run).path)
    except NotFoundError as error:
        if asked.run is not None:
            raise
        missing.append(f"No run: {error}")
        return None


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
