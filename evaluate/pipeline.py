"""Stage three: a trained run and a store become scores, a judge makes sections of them, sections become a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import RenderableType

from ..cache.arrays import oracles_among
from ..cache.description import made_with_random_weights
from ..cache.provenance import library_versions
from ..cache.sample_table import Store
from ..cache.store import FeatureStore
from ..configs.place import StorePlace
from ..errors import MetricError, NotFoundError
from ..extract.settings import DataSettings
from ..metrics.estimate import Estimate
from ..progress import say
from ..settings import Settings
from ..train.combination import Weighting
from ..train.data.samples import split_rows
from ..train.fusion import FusionSummary, fuse
from ..train.loggers.logger import LoggedEvaluation, LoggedRun, LoggedTable, log_evaluation
from ..train.nn.joined_scores import FusedBy
from ..train.pipeline import TrainingSummary, train
from ..train.runs.catalogue import describe_run_folder
from ..train.runs.documents import shareable
from ..train.runs.folder import RunFolder
from ..train.runs.names import find_run
from ..train.runs.trained_run import TrainedRun, load_run
from ..wording import count_of
from .judge import Judgement, headline_of, judge_of
from .judging import background_of, judge_split, keep_calibration
from .localise.export import export_maps
from .localise.judged import localisation_section
from .localise.localiser import Localiser, localiser_of
from .report.document import report_document, write_report
from .report.drawing import FigureFormat
from .report.terminal import render_terminal
from .scoring import AVERAGED, RAW, Scorer, scorer_of
from .section import Provenance, Report, Section
from .shown import shown_of


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found: the report as JSON values, as something that `rich` prints, and where it is."""

    report: Mapping[str, Any]
    summary: RenderableType
    report_path: Path


def evaluate(
    settings: Settings,
    *,
    run_name: str | None,
    split: str,
    cache: StorePlace | None,
    command: str,
    figures: FigureFormat | None = None,
    maps: Path | None = None,
    details: bool = False,
) -> Evaluation:
    """Score `split` with a run (None or `latest`: the newest finished one) and write its report into the run's folder.

    With `maps`, a new folder of that name is filled with the maps of all samples: overlays and scores of pixels.

    The features come from `cache`, or else from the store that the run was trained on: where it stands as seen from
    the run (so that a copied project is judged on its own store), or else where it stood.
    `figures`: in which format the report's figures are written as files too; None: they are not. With `details` the
    summary has every table of the sections that it shows.

    Raises:
        NotFoundError: if there is no such run, store or split, or no map of those that are asked for.
        OutputExistsError: if something is at `maps` already.
        FingerprintError: if the store holds other features than those that the run was trained on, or another split
            of the name that it was trained with.
        MetricError: if the split holds only normals or only defects.
    """
    run = load_run(find_run(settings.runs.folder, run_name).path)
    scorer, judge = scorer_of(run, cache=cache, device=settings.train.device), judge_of(run, settings.evaluate)
    background = background_of(judge, scorer, settings=settings.evaluate)
    keep_calibration(judge, background)
    judgement = judge_split(judge, scorer, split, background=background, hide=run.recipe.needs().dispensable)
    provenance = _provenance(run, scorer.store, settings=settings, split=split, command=command)
    shown = shown_of(scorer, judgement, split=split, root=settings.data.root, settings=settings.evaluate)
    localised = localiser_of(scorer, data=(run.settings.data, settings.data))
    sections = shown.sections
    if judge.of_scores:
        sections = _behind_classes(sections, _localisation(scorer, localised, judgement, settings=settings))
    report = Report(judge.task, provenance, sections, shown.book)
    path = write_report(run.folder, judgement, report, samples=shown.frame, figures=figures)
    _log(run, report, path, settings=settings)
    if maps is not None:
        _export(localised, judgement, maps, run_name=run.folder.name)
    return Evaluation(
        report=report_document(report), summary=render_terminal(report, details=details), report_path=path
    )


def _localisation(
    scorer: Scorer, localised: tuple[Localiser, DataSettings] | None, judgement: Judgement, *, settings: Settings
) -> Section:
    localiser, data = (None, settings.data) if localised is None else localised
    written = (scorer.store.folder, scorer.run.folder.path.parent)
    return localisation_section(localiser, judgement.table, data=data, written=written, seed=settings.evaluate.seed)


def _behind_classes(sections: Sequence[Section], localisation: Section) -> tuple[Section, ...]:
    """Where somebody looks for it who has read which classes are found; last where no section tells of classes."""
    places = [place for place, section in enumerate(sections, start=1) if section.id == "by_class"]
    place = places[0] if places else len(sections)
    return (*sections[:place], localisation, *sections[place:])


def _log(run: TrainedRun, report: Report, page: Path, *, settings: Settings) -> None:
    """Tell the loggers of the run what was found: the first figure of a name, and the tables of a terminal."""
    names = run.settings.train.loggers
    if not names:
        return
    figures: dict[str, float] = {}
    for fact in (fact for section in report.sections for fact in section.facts):
        value = fact.value.value if isinstance(fact.value, Estimate) else fact.value
        if isinstance(value, int | float):
            figures.setdefault(fact.id, float(value))
    tables = [
        LoggedTable(f"{section.id}.{rows.id}", [column.id for column in rows.shown], rows.cells)
        for section in report.sections
        for rows in section.rows
        if section.brief and rows.shown and rows.values
    ]
    best = run.best()
    here = run.settings.model_copy(update={"runs": settings.runs})  # where the run's folder lies now
    logged = LoggedRun(folder=run.folder, settings=here, manifest=run.manifest, history=(), best=best.metrics)
    log_evaluation(names, logged, LoggedEvaluation(report.provenance.split, figures, tables, page))


def _export(
    localised: tuple[Localiser, DataSettings] | None, judgement: Judgement, folder: Path, *, run_name: str
) -> None:
    if localised is None:
        raise NotFoundError(
            f"There are no maps of {run_name}: the files that its features were made from are not in data.root any "
            "more; name the data set's folder with --set data.root=PATH."
        )
    localiser, _ = localised
    num = export_maps(localiser, judgement.table.keys, folder, run_name=run_name)
    say(f"{folder}: {count_of(num, 'map')}, listed in maps.json.")


def train_and_calibrate(settings: Settings, *, run_name: str | None, overwrite: bool, command: str) -> TrainingSummary:
    """Train a run, and keep in it by what its scores are read; says so where validation does not allow it.

    Raises what `train` raises.
    """
    trained = train(settings, run_name=run_name, overwrite=overwrite, command=command)
    _calibrate(trained.run)
    return trained


def fuse_and_calibrate(
    settings: Settings,
    *,
    members: Sequence[str],
    weighting: Weighting,
    combine: FusedBy = "mean",
    run_name: str | None,
    overwrite: bool,
    command: str,
) -> FusionSummary:
    """Fuse runs into one, and keep in it by what its scores are read, as of one that was trained.

    Raises what `fuse` raises.
    """
    fused = fuse(
        settings,
        members=members,
        weighting=weighting,
        combine=combine,
        run_name=run_name,
        overwrite=overwrite,
        command=command,
    )
    _calibrate(fused.run)
    return fused


def run_document(run: RunFolder) -> dict[str, Any]:
    """All that is known of a run, as JSON values."""
    return describe_run_folder(run, folder=run.path.parent, headlines=headline_of).as_json()


def _calibrate(folder: RunFolder) -> None:
    run = load_run(folder.path)
    scorer = scorer_of(run, cache=None, device=run.settings.train.device)
    try:
        judge = judge_of(run, run.settings.evaluate)
        keep_calibration(judge, background_of(judge, scorer, settings=run.settings.evaluate))
    except MetricError as error:
        say(f"Not calibrated, so that scores of {folder.name} come without a threshold: {error}")


def score_samples(run: TrainedRun, *, split: str, cache: StorePlace | None, device: str) -> pd.DataFrame:
    """The scores of every sample of a split that a run can score, beside what is known of the sample, by its key.

    Raises:
        NotFoundError: as `scorer_of`, or if there is no such split or no sample of it that can be scored.
        FingerprintError: as `scorer_of`.
    """
    scorer = scorer_of(run, cache=cache, device=device)
    rows = split_rows(scorer.store, split, recipe=run.recipe, untrained=run.untrained).usable
    found = scorer(rows, scorer.plain_ways)
    samples = Store(scorer.store).samples.iloc[rows]
    told = samples.drop(columns="status", level=0).droplevel(0, axis="columns")
    told["score"] = found[AVERAGED]
    if RAW in found:
        told["raw_weights_score"] = found[RAW]
    return told


def _provenance(run: TrainedRun, store: FeatureStore, *, settings: Settings, split: str, command: str) -> Provenance:
    random, trained = made_with_random_weights(run.manifest["cache"])
    return Provenance(
        run_name=run.folder.name,
        split=split,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        seed=run.manifest["seed"],
        fingerprint=run.manifest["fingerprint"],
        settings=_settings_told(run, store, settings=settings),
        versions=library_versions(),
        random_features=random,
        trained_features=trained,
        weights="ema" if "raw" in run.weights else "fitted",
        oracles=oracles_among(run.recipe.needs().feature_sets),
    )


def _settings_told(run: TrainedRun, store: FeatureStore, *, settings: Settings) -> dict[str, Any]:
    """What made the scores: the run's settings, `evaluate` is the one in force now."""
    cache = run.settings.cache.model_copy(update={"path": store.path})
    resolved = run.settings.model_copy(update={"evaluate": settings.evaluate, "cache": cache})
    told: dict[str, Any] = shareable(resolved).model_dump(mode="json")
    return told
