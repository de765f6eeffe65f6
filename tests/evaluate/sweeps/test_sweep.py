"""Sweeps that really train, on the toy store: what is tried, what is kept, what is judged, and what no trial sees."""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from weldcache import api
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.errors import SettingsError, TrainingError
from weldcache.evaluate.sweeps import request, worker
from weldcache.evaluate.sweeps import sweep as sweeps
from weldcache.evaluate.sweeps.page import sweep_page
from weldcache.evaluate.sweeps.study import SweepStudy
from weldcache.evaluate.sweeps.sweep import Swept
from weldcache.progress import quieted, say
from weldcache.tests.evaluate.sweeps.conftest import LONG_SWEEP, owners_in, require_each_once, wait_for
from weldcache.train.data import resident
from weldcache.train.runs.folder import RunFolder

RunSweep = Callable[..., Swept]
WriteRequest = Callable[..., Any]
Trained = list[str]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Names of the runs that trials train from here on."""
    names: Trained = []
    train = worker.train_run

    def counting(settings: Any, **keywords: Any) -> Any:
        names.append(keywords["run_name"])
        return train(settings, **keywords)

    monkeypatch.setattr(worker, "train_run", counting)
    return names


def values_of(found: Swept) -> dict[str, Any]:
    return {trial["run"]: trial["value"] for trial in found.document["trials"]}


def test_the_best_trial_is_a_run_that_is_judged_on_what_no_trial_saw(
    run_sweep: RunSweep, write_request: WriteRequest, project: Path, trained: Trained
) -> None:
    found = run_sweep(write_request(seeds=2))
    assert found.complete and found.folder == project / "runs/pace"
    values = values_of(found)
    assert trained == list(values) == ["trial-0000", "trial-0001", "trial-0002"]
    best = max(values, key=lambda run: values[run])
    assert found.document["best"] == best
    for run in values:
        state = json.loads((found.folder / run / "state.json").read_text())
        assert state["finished"] and state["best"]["val_auroc"] == values[run]
        assert RunFolder(found.folder / run).best_path.is_file() == (run == best)
    winner = found.document["winner"]
    assert winner["run"] == best and winner["seeds"] == (1, 2)  # the trials had seed 0
    (table,) = json.loads((project / "runs/pace-winner/table_test.json").read_text())["leaderboards"]
    judged = {each["name"]: each for each in table["variants"]}
    assert set(judged) == {"start", best} and judged[best]["seeds"] == [1, 2]
    assert winner["test"]["value"] == judged[best]["auroc"]["value"]
    assert winner["optimism"] == pytest.approx(values[best] - judged[best]["auroc"]["value"])
    assert winner["luck"] == pytest.approx(values[best] - judged[best]["val_auroc"])
    assert winner["gain"]["value"] == pytest.approx(judged[best]["difference"]["value"])
    assert winner["gained"] == (winner["gain"]["low"] > 0)
    settings = api.load_run(f"pace-winner/{best}-seed1").settings
    assert settings.train.lr == dict(_drawn(found))[best]["train.lr"]
    assert any("Optimism" in sentence for sentence in found.document["sentences"])


def _drawn(found: Swept) -> list[tuple[str, Mapping[str, Any]]]:
    return [(trial["run"], trial["values"]) for trial in found.document["trials"]]


def test_what_was_tried_is_not_repeated_and_more_trials_add_to_it(
    run_sweep: RunSweep, write_request: WriteRequest, trained: Trained
) -> None:
    first = run_sweep(write_request())
    trained.clear()
    assert values_of(run_sweep(write_request())) == values_of(first) and trained == []
    more = run_sweep(write_request(trials=5))
    assert trained == ["trial-0003", "trial-0004"]
    assert values_of(first).items() <= values_of(more).items()


def test_no_trial_sees_the_split_test(
    run_sweep: RunSweep, write_request: WriteRequest, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all labels of test turned round, the same is drawn, reached and chosen; and no row of it is even loaded."""
    opened, load_resident, loaded = FeatureStore.open, resident.load_resident, []

    def counting(reader: Any, rows: Any, **keywords: Any) -> Any:
        loaded.extend(np.asarray(rows).tolist())
        return load_resident(reader, rows, **keywords)

    def turned(path: Path, **keywords: Any) -> FeatureStore:
        store = opened(path, **keywords)
        of_test = store.index.parts == "test"
        store.index.labels[of_test] = 1 - store.index.labels[of_test]
        return store

    monkeypatch.setattr(resident, "load_resident", counting)
    honest = run_sweep(write_request())
    monkeypatch.setattr(FeatureStore, "open", turned)
    blind = run_sweep(write_request(name="blind"))
    assert values_of(blind) == values_of(honest) and blind.document["best"] == honest.document["best"]
    parts = opened(api.load_settings().cache.path).index.parts
    assert loaded and set(parts[loaded]) == {"train", "val"}


def test_a_trial_that_fails_is_told_and_costs_no_other(run_sweep: RunSweep, write_request: WriteRequest) -> None:
    lr = {
        "train.lr": {"kind": "choice", "values": [1e-3, 1e30]},
        "train.gradient_clip": {"kind": "choice", "values": [1e30]},
    }
    found = run_sweep(write_request(lr, sampler="grid"))
    assert [trial["state"] for trial in found.document["trials"]] == ["complete", "failed"]
    assert "Epoch 1" in found.document["trials"][1]["reason"]
    with pytest.raises(TrainingError, match="trial-0000: "):
        run_sweep(write_request({**lr, "train.lr": {"kind": "choice", "values": [1e30]}}, name="none", sampler="grid"))


def test_a_trial_that_is_ended_early_leaves_no_run(
    run_sweep: RunSweep, write_request: WriteRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = SweepStudy.report

    def hopeless(study: SweepStudy, claim: Any, *, epoch: int, value: float) -> bool:
        report(study, claim, epoch=epoch, value=value)
        return bool(claim.run == "trial-0001" and epoch == 1)

    monkeypatch.setattr(SweepStudy, "report", hopeless)
    found = run_sweep(write_request(pruner="median"))
    assert [trial["state"] for trial in found.document["trials"]] == ["complete", "pruned", "complete"]
    assert list(found.document["trials"][1]["course"]) == ["1"] and list(found.document["trials"][0]["course"]) == [
        "1",
        "2",
    ]
    assert not (found.folder / "trial-0001").exists()


def test_an_interrupted_trial_goes_on_from_its_checkpoint_and_ends_the_same(
    run_sweep: RunSweep, write_request: WriteRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    seldom = {"set": {**write_request().settings, "train.epochs": 4, "train.checkpoint_seconds": 0}}
    whole = run_sweep(write_request(name="whole", pruner="hyperband", **seldom))
    report = SweepStudy.report

    def interrupted(study: SweepStudy, claim: Any, *, epoch: int, value: float) -> bool:
        if claim.run == "trial-0001" and epoch == 3:
            raise KeyboardInterrupt
        return report(study, claim, epoch=epoch, value=value)

    request = write_request(pruner="hyperband", **seldom)
    with monkeypatch.context() as patch:
        patch.setattr(SweepStudy, "report", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(request)
    found = run_sweep(request)
    assert values_of(found) == values_of(whole) and _drawn(found) == _drawn(whole)


def test_the_processes_of_a_quiet_sweep_are_quiet(
    run_sweep: RunSweep,
    write_request: WriteRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Here:
        """A process that is none, and works at once; of what its parent is told it has inherited nothing."""

        exitcode = 0

        def __init__(self, *, target: Callable[..., None], args: tuple[worker.Sweep], daemon: bool) -> None:
            self._call = partial(target, *args)

        def start(self) -> None:
            with quieted(False):
                self._call()

        def terminate(self) -> None:
            """It has ended."""

        join = terminate

    monkeypatch.setattr(sweeps, "worker_context", lambda *, preload: SimpleNamespace(Process=Here))
    monkeypatch.setattr(worker, "start_worker", lambda: None)
    monkeypatch.setattr(worker, "work", lambda sweep, *, told: say("at work"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    for quiet, times in ((False, 2), (True, 0)):
        with pytest.raises(TrainingError), quieted(quiet):  # as nothing was tried
            run_sweep(write_request(), jobs=2)
        assert capsys.readouterr().err.count("at work") == times


def test_what_cannot_be_compared_is_refused(run_sweep: RunSweep, write_request: WriteRequest, project: Path) -> None:
    weight = {"recipe.loss.l1": {"kind": "float", "low": 1.0, "high": 10.0}}
    with pytest.raises(SettingsError, match=r"recipe\.loss\.l1.*val_loss"):
        run_sweep(write_request(weight, set={"train.monitor": "val_loss"}))
    assert not (project / "runs/pace").exists()


def test_trials_on_unlike_samples_are_told(
    run_sweep: RunSweep, write_request: WriteRequest, toy_store_path: Path, tmp_path: Path
) -> None:
    arrays = {"recipe.array": {"kind": "choice", "values": ["video/tokens", "audio/tokens"]}}
    of_fitted = {"set": {"recipe.name": "nearest"}, "sampler": "grid", "trials": 2}
    assert run_sweep(write_request(arrays, **of_fitted)).document["sentences"] == []
    path = shutil.copytree(toy_store_path, tmp_path / "deaf.zarr")
    store = FeatureStore.open(path)
    row = int(np.flatnonzero(store.index.parts == "val")[0])
    StoreWriter(store).report("audio", row, Status.ABSENT, reason="no file")
    found = run_sweep(write_request(arrays, name="deaf", **of_fitted), overrides=(f"cache.path={path}",))
    (told,) = found.document["sentences"]
    assert "unlike samples (19 to 20" in told and "share 19" in told
    assert told.partition(". ")[2] in html.unescape((found.folder / "sweep.html").read_text())


def test_the_page_praises_only_what_gained_on_test(run_sweep: RunSweep, write_request: WriteRequest) -> None:
    found = run_sweep(write_request(trials=1))
    page = (found.folder / "sweep.html").read_text()
    assert 'class="verdict doubtful"' in page and "Nothing but validation has judged" in page
    for gained, standing in ((True, "good"), (False, "doubtful")):
        judged = sweep_page({**found.document, "winner": {"gained": gained}})
        assert f'class="verdict {standing}"' in judged and "Nothing but validation" not in judged


def test_the_page_needs_no_network_and_shows_every_trial(run_sweep: RunSweep, write_request: WriteRequest) -> None:
    width = {"kind": "choice", "values": [2, 3], "when": {"recipe.standardise": [True]}}
    drawn = {"recipe.standardise": {"kind": "choice", "values": [True, False]}, "recipe.bottleneck": width}
    found = run_sweep(
        write_request({**drawn, "train.lr": {"kind": "choice", "values": [0.001, 0.01]}}, sampler="grid", trials=6)
    )
    page = (found.folder / "sweep.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)|url\(", page) and "default-src 'none'" in page
    rows = re.findall(r'<button type="button" class="opens">([^<]+)</button>', page)
    assert sorted(rows) == [trial["run"] for trial in found.document["trials"]] and page.count("<img") == 2
    assert 0.99 < sum(found.document["importances"].values()) < 1.01
    marked = sweep_page({**found.document, "name": "<b>", "sentences": ["<script>"]})
    assert "&lt;b&gt;" in marked and marked.count("<script>") == page.count("<script>") == 1


def test_the_command_prints_what_it_found_and_names_the_extra_where_it_lacks(
    weldcache: Callable[..., Any], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = [
        "sweep",
        "--sweep",
        "train.lr=0.001,0.01",
        "--trials",
        "2",
        "--name",
        "quick",
        "--set",
        "recipe.name=video_ae",
    ]
    outcome = weldcache(*quick, folder=project)
    assert outcome.code == 0, outcome.err
    for part in ("the best of 2 trials", "train.lr", "retrained with 3 seeds", "Optimism", str(project / "runs/quick")):
        assert part in outcome.out, part
    again = weldcache(*quick, "--json", folder=project)
    assert json.loads(again.raw_out)["best"] in ("trial-0000", "trial-0001")
    other = weldcache(*[word.replace("0.01", "0.02") for word in quick], folder=project)
    assert other.code == 2 and "--name" in other.err
    monkeypatch.setattr(request, "find_spec", lambda name: None)
    lacking = weldcache(*quick, folder=project)
    assert lacking.code == 2 and "pip install -e '.[sweep]'" in lacking.err


@pytest.mark.slow
def test_with_a_process_and_then_all_of_them_killed_it_goes_on_and_no_trial_counts_twice(
    project: Path, child_environment: dict[str, str], run_sweep: RunSweep
) -> None:
    (project / "kill.yaml").write_text(LONG_SWEEP)
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "weldcache", "sweep", "kill.yaml", "--jobs", "2"]
    environment = {**child_environment, **paths}
    parent = subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True)
    journal = project / "runs/kill/journal.log"
    wait_for(lambda: len(owners_in(journal)) >= 2, parent)
    victims = owners_in(journal)
    os.kill(victims[0], signal.SIGKILL)
    wait_for(lambda: len(set(owners_in(journal)) - set(victims)) >= 1, parent)  # another one took its place
    parent.kill()
    parent.communicate()
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    require_each_once(project / "runs/kill/sweep.json")


def test_trials_that_are_trained_together_are_what_they_are_one_by_one(
    run_sweep: RunSweep, write_request: WriteRequest, trained: Trained
) -> None:
    drawn = {
        "train.lr": {"kind": "choice", "values": [0.001, 0.01]},
        "train.seed": {"kind": "choice", "values": [0, 1]},
        "recipe.bottleneck": {"kind": "choice", "values": [2, 3]},
    }
    apart = run_sweep(write_request(drawn, name="apart", sampler="grid", trials=8))
    assert len(trained) == 8
    trained.clear()
    together = run_sweep(write_request(drawn, name="together", sampler="grid", trials=8), together=8)
    assert trained == []  # two groups of four, by their width
    assert _drawn(together) == _drawn(apart)
    assert values_of(together) == pytest.approx(values_of(apart), abs=1e-3)
