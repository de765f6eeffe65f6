"""The sweep as a story: look at the space, try what is left of it in one or several processes, judge the best, tell."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType

from ...atomic import write_text
from ...cache.provenance import library_versions
from ...cache.store import FeatureStore
from ...configs.layers import Layer, override_layer
from ...documents import Json, fingerprint, write_sealed
from ...errors import SettingsError, TrainingError
from ...extract.pool.workers import worker_context
from ...progress import Progress, is_quiet, say
from ...settings import Settings, load_settings
from ...tables import literal, make_table
from ...train.data.features import chosen_for, require_features, targets_of
from ...train.data.samples import choose_samples
from ...train.fit import require_read
from ...train.recipes.recipe import make_recipe
from ...train.runs.checkpoint import deciding_settings
from ...train.runs.folder import RunFolder
from ...train.runs.names import named_run
from ...train.runs.start import make_folder_of_runs
from ...train.tasks import LOSS, monitor_of, task_for
from ...wording import count_of, format_seconds, in_words
from ..section import demo_sentence
from .page import shown, sweep_page
from .ray_workers import Cluster, run_on_ray
from .request import SweepRequest, least, require_sense, with_quick
from .storage import require_storage
from .study import SweepStudy, Tried
from .winner import Winner, judge_winner, told_of
from .worker import Sweep, work, work_apart

_LOOK_SECONDS = 0.5  # between two looks at the processes
_MOST_DEATHS = 20  # of processes, before the sweep gives up on starting others
_SHOWN = 5  # trials in the summary


@dataclass(frozen=True, eq=False)
class Swept:
    """What a sweep found.

    Attributes:
        document: all of it as JSON values.
        summary: as something that `rich` prints.
        folder: where the trials, the journal, sweep.json and sweep.html are.
        complete: whether the best was judged, if it was to be.
    """

    document: Mapping[str, Any]
    summary: RenderableType
    folder: Path
    complete: bool


def begun_with(
    request: SweepRequest,
    config: str | None = None,
    *,
    quick: Sequence[str] = (),
    overrides: Sequence[str] = (),
    base: Settings | None = None,
) -> tuple[SweepRequest, Settings]:
    """The request with the `quick` ranges of a command line in it, and the settings that it begins with: those of
    `load_settings`, with what the request sets for all trials below the overrides.

    Raises:
        SettingsError: if a name is unknown or a value out of range, or a range is not written as one.
        NotFoundError: if `config` is neither a preset nor a file.
    """
    layer = Layer.of_keys(request.settings, origin=f"{request.origin}: set", folder=request.folder)
    settings = load_settings(config, layers=[layer], overrides=overrides, base=base)
    require_read(settings, (*layer.keys, *override_layer(overrides).keys))
    return with_quick(request, quick, settings=settings), settings


def sweep(
    request: SweepRequest,
    settings: Settings,
    *,
    jobs: int,
    together: int,
    keep_weights: bool,
    command: str,
    overrides: Sequence[str] = (),
    cluster: Cluster | None = None,
) -> Swept:
    """Try settings drawn from a space until there are as many trials as asked for, and judge the best of them.

    Trials go to `<runs.folder>/<name>`, a run each; the best is retrained in `<name>-winner`. What was tried is not
    repeated: the same command goes on after an interruption, and one with more trials adds some. Several commands may
    work on one sweep, on several machines too; each ends when all trials have, and the best is judged once.

    Args:
        request: what is tried.
        settings: that it begins with, what the request sets for all trials included.
        jobs: processes that try trials; 1: this one alone.
        together: trials that each of them trains as one, where they differ in numbers alone.
        keep_weights: of all trials, and not of the best alone.
        command: that the runs note.
        overrides: that made the settings, none of which may be drawn.
        cluster: of Ray, which places the processes; None: they are this machine's.

    Raises:
        NotFoundError: if there is no store, or it lacks what the settings need.
        SettingsError: if the space holds no settings, or validation cannot tell them apart.
        OutputExistsError: if the folder holds trials of another sweep.
        TrainingError: if every trial failed.
        StudyUnreachableError: if the database that keeps the trials does not answer.
        KeyboardInterrupt: on Ctrl-C; what is done is kept, and the same command goes on.
    """
    require_storage(request.storage)
    require_sense(request, settings, overrides=overrides)
    _require_comparable(request, settings)
    folder = named_run(settings.runs.folder, request.name).path
    store = FeatureStore.open(settings.cache.path)
    asked = _asked_of_store(request, settings, store)
    make_folder_of_runs(folder)
    trials = settings.model_copy(update={"runs": settings.runs.model_copy(update={"folder": folder})})
    whole = Sweep(request, trials, folder, together, keep_weights, command, is_quiet())
    study = whole.open_study()
    study.require_same({**asked, "objective": whole.objective, "space": _described(request)})
    _run(whole, study, jobs=jobs, cluster=cluster)
    tried = study.tried()
    best = study.best_of(tried)
    if best is None:
        reasons = [f"{trial.run}: {trial.reason}" for trial in tried if trial.reason]
        raise TrainingError(f"No trial of {request.name} came to its end. {' '.join(reasons[:_SHOWN])}")
    winner = None
    if request.seeds:
        with study.judging_alone():
            winner = judge_winner(request, settings, best, objective=whole.objective, command=command)
    told = _not_alike(folder, tried) + ([] if winner is None else told_of(winner, objective=whole.objective))
    document = _document(whole, study, best, winner, store=store, told=told)
    write_text(folder / "sweep.html", sweep_page(document))
    write_sealed(folder / "sweep.json", document)
    return Swept(
        document=document,
        summary=_summary(whole, study, best, told=told),
        folder=folder,
        complete=winner is None or not winner.refused,
    )


def _require_comparable(request: SweepRequest, settings: Settings) -> None:
    """A loss is no measure where what is in it is drawn."""
    changing = [key for key in request.space if key == "recipe.name" or key.startswith("recipe.loss.")]
    if changing and monitor_of(settings.train) == LOSS:
        raise SettingsError(
            f"{request.origin}: {changing[0]} is drawn, and changes what {LOSS} measures, by which trials would be "
            "compared. Choose another figure with --set train.monitor=..., or do not draw it."
        )


def _asked_of_store(request: SweepRequest, settings: Settings, store: FeatureStore) -> dict[str, Json]:
    """What all trials ask for beside what is drawn: settings, features, and the samples that they are compared on.

    Raises:
        NotFoundError: if the store lacks what the space's first settings need.
        SettingsError: if validation lacks what the objective needs.
    """
    first = chosen_for(store, least(request, settings))
    recipe, divided = make_recipe(first.recipe), store.divided_by(first.train.split)
    require_features(divided, recipe)
    task, monitor = task_for(first.train, first.recipe.name, recipe.needs()), monitor_of(first.train)
    samples = choose_samples(divided, recipe, task=task, monitor=monitor)
    if obstacle := task.obstacle(monitor, {name: each[samples.validation] for name, each in targets_of(store).items()}):
        raise SettingsError(f"{monitor}, by which trials are compared, cannot be measured on validation: {obstacle}")
    return {
        "settings": deciding_settings(settings),
        "fingerprint": store.fingerprint_of(recipe.needs().names),
        "split": {"name": divided.split, "hash": divided.split_hash},
        "samples": {
            "train": fingerprint(store.index.keys[samples.train].tolist()),
            "validation": fingerprint(store.index.keys[samples.validation].tolist()),
        },
    }


def _described(request: SweepRequest) -> dict[str, Json]:
    return {key: parameter.model_dump(mode="json") for key, parameter in request.space.items()}


def _run(whole: Sweep, study: SweepStudy, *, jobs: int, cluster: Cluster | None) -> None:
    """Until all trials have ended, those of others too."""
    title, total = f"sweep {whole.request.name}", whole.request.trials
    with Progress(title, total=total, unit="trials", done=_num_done(study)) as progress:
        shown = _num_done(study)

        def show() -> None:
            nonlocal shown
            done, best = _num_done(study), study.best()
            note = "" if best is None else f"best {in_words(whole.objective)} {best.value:.4g}, {best.run}"
            progress.advance(done - shown, note=note)
            shown = done

        if cluster is not None:
            run_on_ray(whole, study, cluster, jobs=jobs, most_deaths=_MOST_DEATHS, show=show)
        elif jobs == 1:
            work(whole, told=show)
        else:
            _run_apart(whole, jobs=jobs, show=show)


def _num_done(study: SweepStudy) -> int:
    return sum(trial.state not in ("running", "waiting") for trial in study.tried())


def _run_apart(whole: Sweep, *, jobs: int, show: Callable[[], None]) -> None:
    """Keep `jobs` processes at work; one that dies is replaced, and its trial put back."""
    context = worker_context(preload=[work.__module__])
    deaths = 0

    def start() -> ForkServerProcess:
        process = context.Process(target=work_apart, args=(whole,), daemon=True)
        process.start()
        return process

    processes = [start() for _ in range(jobs)]
    try:
        while processes:
            time.sleep(_LOOK_SECONDS)
            show()
            for process in [each for each in processes if each.exitcode is not None]:
                processes.remove(process)
                if process.exitcode == 0:  # nothing was left for it
                    continue
                deaths += 1
                if deaths > _MOST_DEATHS:
                    raise TrainingError(f"{deaths} processes of the sweep died, the last with {process.exitcode}.")
                say(f"A process of the sweep died ({process.exitcode}); another one takes its place.")
                processes.append(start())
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _not_alike(folder: Path, tried: Sequence[Tried]) -> list[str]:
    """A warning where trials were validated on unlike samples, as each leaves out those without what it looks at."""
    runs = [RunFolder(folder / trial.run) for trial in tried if trial.state == "complete"]
    samples = {run.name: run.manifest()["samples"]["validation"] for run in runs if run.exists}
    if len({tuple(keys) for keys in samples.values()}) < 2:
        return []
    numbers = [len(keys) for keys in samples.values()]
    shared = len(set.intersection(*map(set, samples.values())))
    return [
        f"Warning: These trials were validated on unlike samples ({min(numbers)} to {max(numbers)}, of which all share "
        f"{shared}), as some lack what a trial looks at. Their figures do not compare, and the best may be so by its "
        "samples alone. `weldcache bench` ranks such on the samples that all have."
    ]


def _document(
    whole: Sweep, study: SweepStudy, best: Tried, winner: Winner | None, *, store: FeatureStore, told: Sequence[str]
) -> dict[str, Any]:
    """All that was found as JSON values, which the page is made of too; `told` are its sentences."""
    request = whole.request
    return {
        "name": request.name,
        "question": request.question,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": whole.command,
        "objective": whole.objective,
        "direction": whole.direction,
        "sampler": request.sampler,
        "pruner": request.pruner,
        "space": _described(request),
        "fingerprint": store.fingerprint,
        "demo_sentence": demo_sentence(*store.made_with_random_weights),
        "versions": library_versions(),
        "best": best.run,
        "importances": study.importances(),
        "trials": [
            {**asdict(trial), "course": {str(epoch): value for epoch, value in trial.course.items()}}
            for trial in study.tried()
        ],
        "winner": None if winner is None else asdict(winner),
        "sentences": list(told),
    }


def _summary(whole: Sweep, study: SweepStudy, best: Tried, *, told: Sequence[str]) -> RenderableType:
    tried, objective = study.tried(), in_words(whole.objective)
    ended = Counter(trial.state for trial in tried)
    counts = ", ".join(f"{number} {state}" for state, number in ended.items())
    sign = -1 if whole.direction == "max" else 1
    ranked = sorted((trial for trial in tried if trial.value is not None), key=lambda each: sign * (each.value or 0.0))
    title = f"{whole.request.name}: the best of {count_of(len(tried), 'trial')}"
    table = make_table(title, left=["trial"], right=[objective, *whole.request.space, "time"])
    for trial in ranked[:_SHOWN]:
        values = [shown(trial.values.get(key)) for key in whole.request.space]
        seconds = "" if trial.seconds is None else format_seconds(trial.seconds)
        table.add_row(*map(literal, (trial.run, f"{trial.value:.4f}", *values, seconds)))
    shares = study.importances()
    lines = [f"Trials: {counts}. The best is {best.run}, a run like any other."]
    if shares:
        ordered = ", ".join(f"{key} {share:.0%}" for key, share in sorted(shares.items(), key=lambda each: -each[1]))
        lines.append(f"Shares in how far trials differ: {ordered}.")
    return Group(table, *map(literal, [*lines, *told]))
