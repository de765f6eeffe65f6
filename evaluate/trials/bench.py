"""The bench as a story: plan the trials, load the features once, do what is left of each trial, compare."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from ...atomic import locked_folder
from ...cache.provenance import library_versions
from ...cache.store import FeatureStore
from ...progress import Progress, say
from ...settings import Settings
from ...train.data.resident import FeaturePool
from ...train.display import ShowTraining, describe_epoch, shown_as
from ...train.runs.folder import refuse_links
from ...train.runs.log import MetricRow
from ...train.runs.start import make_folder_of_runs
from ...wording import count_of, format_seconds, visible
from ..judge import Judge
from ..section import demo_sentence
from .comparison import Comparison, TrialOutcome, VariantOutcome, compare
from .plan import (
    BenchPlan,
    begin_overwriting,
    end_overwriting,
    judge_of_all,
    load_shared_features,
    make_plan,
    one_line,
    plan_trials,
)
from .table import BenchHeader, bench_summary
from .table_files import bench_document, write_tables
from .trial import Entry, Trial, run_trial
from .variant_list import VariantList


@dataclass(frozen=True, eq=False)
class Bench:
    """What a bench found.

    Attributes:
        document: the tables as JSON values.
        summary: the tables as something that `rich` prints.
        folder: where the tables and the trials are.
        complete: whether every trial was done.
    """

    document: Mapping[str, Any]
    summary: RenderableType
    folder: Path
    complete: bool


def bench(
    variants: VariantList,
    *,
    overrides: Sequence[str],
    base: Settings | None = None,
    seeds: Sequence[int] | None,
    store_splits: Sequence[str] | None = None,
    split: str,
    overwrite: bool,
    keep_weights: bool,
    command: str,
) -> Bench:
    """Train every variant of a list with every seed by every split of the store (None: the list's own), score them on
    the part `split` of each and compare, a table a split of the store.

    All trials share one copy of the features, where it fits the device. A trial that is done already, with the same
    settings on the same features and samples, is not repeated; an interrupted one goes on. With `overwrite` only those
    count as done that were trained since the overwriting began, if it was interrupted. A variant that fails is
    reported, and the others go on. The table goes to `<runs.folder>/<list>/table_<split>.{csv,html,json,md}`, that of
    other splits of the store than the list's own to files that name these; progress to stderr. The list is laid over
    `base`, or over what the folder says.

    Raises:
        NotFoundError: if there is no cache, or no such split of it.
        SettingsError: if the list does not go together with the settings, or its variants have several judges.
        OutputExistsError: if a trial is there already that asks for something else.
        MetricError: if the judge can measure nothing on the samples that all variants scored, such as an AUROC on
            normals alone.
        BusyError: if the same list is running already.
        KeyboardInterrupt: on Ctrl-C; what is done is kept, and the same command goes on.
    """
    asked = variants.store_splits if store_splits is None else tuple(store_splits)
    shared, trials = plan_trials(
        variants,
        overrides=overrides,
        seeds=variants.seeds if seeds is None else seeds,
        store_splits=asked,
        base=base,
    )
    judge, store = judge_of_all(trials), FeatureStore.open(shared.cache.path)
    for store_split in dict.fromkeys(trial.store_split for trial in trials if trial.store_split):
        store.divided_by(store_split)  # or else every variant would fail for the same reason
    plan = make_plan(
        trials,
        store,
        split=split,
        overwrite=overwrite,
        measure=judge.measure,
        pass_over_lacking=variants.passes_over_lacking,
    )
    for entry, reason in plan.failures.items():
        say(f"Not tried: {entry_title(entry)}: {reason}")
    folder = shared.runs.folder
    make_folder_of_runs(folder)
    with locked_folder(folder):
        refuse_links(path for path in folder.iterdir() if not path.is_dir())
        if overwrite:
            begin_overwriting(folder)
        pool = load_shared_features(plan, store, settings=shared)
        outcomes = _run_all(
            plan, variants, store, judge, pool=pool, split=split, keep_weights=keep_weights, command=command
        )
        comparisons = [
            _compared(of_split, store_split, plan, trials, store=store, judge=judge, seed=shared.evaluate.seed)
            for store_split, of_split in outcomes.items()
        ]
        header = _header(variants, store, split=split, command=command)
        write_tables(folder, comparisons, header=header, store_splits=() if asked == variants.store_splits else asked)
        end_overwriting(folder)
    return Bench(
        document=bench_document(comparisons, header=header),
        summary=bench_summary(comparisons, header=header),
        folder=folder,
        complete=not any(outcome.failures for of_split in outcomes.values() for outcome in of_split),
    )


def _compared(
    outcomes: Sequence[VariantOutcome],
    store_split: str,
    plan: BenchPlan,
    trials: Sequence[Trial],
    *,
    store: FeatureStore,
    judge: Judge[Any],
    seed: int,
) -> Comparison:
    """The table of one split of the store."""
    splits = {trial.settings.train.split for trial in trials if trial.store_split == store_split}
    return compare(
        outcomes,
        judge=judge,
        index=store.index,
        train=store.index.select(plan.train_rows(store_split)),
        seed=seed,
        divided_by=splits.pop() if len(splits) == 1 else "",
        passed_over={variant: why for (asked, variant), why in plan.passed_over.items() if asked == store_split},
    )


def _run_all(
    plan: BenchPlan,
    variants: VariantList,
    store: FeatureStore,
    judge: Judge[Any],
    *,
    pool: FeaturePool | None,
    split: str,
    keep_weights: bool,
    command: str,
) -> dict[str, list[VariantOutcome]]:
    """Do what is left of every trial; one that fails is noted, and the next one starts. By the store's split."""
    done: dict[Entry, list[TrialOutcome]] = defaultdict(list)
    failures: dict[Entry, list[str]] = defaultdict(list, {entry: [reason] for entry, reason in plan.failures.items()})
    title = f"bench {variants.name}"
    with Progress(title, total=len(plan.steps), unit="trials", done=plan.num_done) as progress:
        for trial, step in plan.steps:
            try:
                kept = run_trial(
                    trial,
                    step,
                    store,
                    pool=pool,
                    split=split,
                    keep_weights=keep_weights,
                    command=command,
                    show=_shown_on(progress, trial),
                )
                outcome = TrialOutcome(trial.seed, kept.record, kept.scores)
            except Exception as error:  # whatever it is, it costs the list no other trial
                note = one_line(error)
                failures[trial.entry].append(f"seed {trial.seed}: {note}")
            else:
                note = _found(outcome, judge, split=split)
                done[trial.entry].append(outcome)
            if step != "done":
                say(f"{trial_title(trial)}: {note}")
                progress.advance(note="")
    return {
        store_split: [
            VariantOutcome(name, variant.recorded, tuple(done[store_split, name]), tuple(failures[store_split, name]))
            for name, variant in variants.variants.items()
            if (store_split, name) not in plan.passed_over
        ]
        for store_split in dict.fromkeys(store_split for store_split, _ in plan.entries)
    }


def _found(outcome: TrialOutcome, judge: Judge[Any], *, split: str) -> str:
    value = judge.measure.value(outcome.scores.scores, outcome.scores.labels)
    label = judge.headline[0].label
    epochs = count_of(outcome.record.epochs, "epoch")
    return f"{split} {label} {value:.3f}, {epochs} in {format_seconds(outcome.record.seconds)}"


def _header(variants: VariantList, store: FeatureStore, *, split: str, command: str) -> BenchHeader:
    return BenchHeader(
        list_name=variants.name,
        question=variants.question,
        split=split,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        fingerprint=store.fingerprint,
        demo_sentence=demo_sentence(*store.made_with_random_weights),
        versions=library_versions(),
    )


@dataclass(frozen=True, eq=False)
class _Note:
    """A training as a note on somebody else's progress."""

    progress: Progress
    title: str

    def advance(self, num_samples: int) -> None:
        """Samples are too fine a measure for a line that counts trials."""

    def epoch_done(self, metrics: MetricRow, *, improved: bool) -> None:
        """The last epoch is the note."""
        self.progress.advance(0, note=f"{self.title}: {describe_epoch(metrics)}")


def entry_title(entry: Entry) -> str:
    """The name of a variant by a split wherever a person reads it."""
    store_split, variant = entry
    return visible(f"{variant}, {store_split}" if store_split else variant)


def trial_title(trial: Trial) -> str:
    """A trial's name wherever a person reads it."""
    return f"{entry_title(trial.entry)}, seed {trial.seed}"


def _shown_on(progress: Progress, trial: Trial) -> ShowTraining:
    """What `train` shows a trial with, given the progress of all trials."""
    note = _Note(progress, trial_title(trial))
    return shown_as(lambda history: note)
