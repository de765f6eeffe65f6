"""The journal of trials: who tries which, what a death or an interruption leaves, and that each trial counts once."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from weldcache import owners
from weldcache.errors import OutputExistsError, StoreError
from weldcache.evaluate.sweeps import signs_of_life
from weldcache.evaluate.sweeps import study as trials
from weldcache.evaluate.sweeps.request import SweepRequest, load_request
from weldcache.evaluate.sweeps.space import FloatRange
from weldcache.evaluate.sweeps.storage import JOURNAL
from weldcache.evaluate.sweeps.study import SweepStudy, Tried
from weldcache.evaluate.sweeps.worker import spare_weights
from weldcache.train.runs.folder import RunFolder

Open = Callable[..., SweepStudy]


@pytest.fixture
def request_(tmp_path: Path) -> SweepRequest:
    space = {"train.lr": FloatRange(low=0.1, high=0.9)}
    return replace(load_request(None), trials=4, sampler="random", pruner="none", space=space)


@pytest.fixture
def open_study(tmp_path: Path, request_: SweepRequest) -> Open:
    def open_one(folder: Path = tmp_path, **changes: Any) -> SweepStudy:
        request = replace(request_, **changes)
        return SweepStudy(folder, request, direction="max", warmup=0, epochs=10, seed=0)

    return open_one


def finish(study: SweepStudy) -> list[tuple[str, Any]]:
    """Try what is left; a trial is worth what it drew."""
    done = []
    while (claim := study.claim()) is not None:
        study.complete(claim, value=claim.values["train.lr"], seconds=1.0, epochs=2)
        done.append((claim.run, claim.values["train.lr"]))
    return done


def test_there_are_as_many_trials_as_asked_for_and_more_add_to_them(open_study: Open) -> None:
    first = finish(open_study())
    assert [run for run, _ in first] == ["trial-0000", "trial-0001", "trial-0002", "trial-0003"]
    again = open_study()
    assert finish(again) == [] and finish(open_study(trials=6)) != []
    tried = open_study().tried()
    assert len(tried) == 6 and all(trial.state == "complete" for trial in tried)
    best = open_study().best()
    assert best is not None and best.value == max(trial.value or 0.0 for trial in tried)


def test_a_better_trial_that_ends_meanwhile_keeps_its_weights(
    open_study: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, tried = open_study(), SweepStudy.tried
    worse, better = study.claim(), study.claim()
    assert worse is not None and better is not None
    weights = [RunFolder(tmp_path / claim.run).best_path for claim in (worse, better)]
    for path in weights:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
    study.complete(worse, value=0.2, seconds=1.0, epochs=2)

    def read_before_it_ends(self: SweepStudy) -> list[Tried]:
        read = tried(self)
        if len([trial for trial in read if trial.state == "complete"]) == 1:
            study.complete(better, value=0.9, seconds=1.0, epochs=2)
        return read

    with monkeypatch.context() as patch:
        patch.setattr(SweepStudy, "tried", read_before_it_ends)
        spare_weights(tmp_path, study)
    assert [path.exists() for path in weights] == [True, True]
    spare_weights(tmp_path, study)
    assert [path.exists() for path in weights] == [False, True]


def test_what_is_drawn_does_not_depend_on_interruptions(open_study: Open, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    whole = finish(open_study(tmp_path / "other"))
    in_parts = [*finish(open_study(trials=1)), *finish(open_study(trials=3)), *finish(open_study())]
    assert in_parts == whole and len({value for _, value in whole}) == 4


def test_two_processes_never_try_the_same_and_never_too_many(open_study: Open) -> None:
    one, other = open_study(), open_study()
    claims = []
    for study in (one, other, one, other, one, other):
        other._claims = one._claims = one._claims | other._claims  # else each takes the other for a former self
        claims.append(study.claim())
    runs = [claim.run for claim in claims if claim is not None]
    assert len(runs) == len(set(runs)) == 4 and claims[4:] == [None, None]


_CHILD = """
import os, sys
from dataclasses import replace
from pathlib import Path
from weldcache.evaluate.sweeps.request import load_request
from weldcache.evaluate.sweeps.space import FloatRange
from weldcache.evaluate.sweeps.study import SweepStudy
request = replace(load_request(None), trials=4, sampler="random", pruner="none",
                  space={"train.lr": FloatRange(low=0.1, high=0.9)})
claim = SweepStudy(Path(sys.argv[1]), request, direction="max", warmup=0, epochs=10, seed=0).claim()
print(claim.run, claim.values["train.lr"], flush=True)
os.kill(os.getpid(), 9)
"""


def test_the_trial_of_a_dead_process_is_tried_by_the_next_and_counts_once(open_study: Open, tmp_path: Path) -> None:
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", _CHILD, str(tmp_path)]
    died = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True, check=False)
    assert died.returncode == -9, died.stderr
    run, value = died.stdout.split()
    done = finish(open_study())
    assert done[0] == (run, float(value)) and len(done) == len(dict(done)) == 4
    assert [trial.state for trial in open_study().tried()] == ["complete"] * 4


def test_a_death_before_anything_was_drawn_changes_nothing_of_what_is_drawn(open_study: Open, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    whole = finish(open_study(tmp_path / "other"))
    study = open_study()
    finish(open_study(trials=1))
    study._study.ask()  # and nobody hears of it again
    finish(study)
    drawn = sorted(trial.values["train.lr"] for trial in open_study().tried())
    assert drawn == sorted(value for _, value in whole)


def test_an_interruption_leaves_its_trial_however_often(open_study: Open) -> None:
    study, runs = open_study(), set()
    for _ in range(8):
        claim = study.claim()
        assert claim is not None
        runs.add((claim.run, claim.values["train.lr"]))
        study.give_back(claim)
    assert len(runs) == 1 and finish(study)[0] in runs


def test_a_trial_that_kills_who_tries_it_is_given_up(open_study: Open) -> None:
    for _ in range(trials._MOST_ATTEMPTS):
        assert open_study().claim() is not None  # and nobody hears of it again
    done = finish(open_study())
    assert [run for run, _ in done] == ["trial-0001", "trial-0002", "trial-0003"]
    tried = open_study().tried()
    assert len(tried) == 4 and [trial.state for trial in tried].count("failed") == 1
    assert "5 processes died" in tried[0].reason


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """Be a process of another machine for a while."""

    @contextmanager
    def be() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(owners, "_machine", lambda: "another start of another machine")
            patch.setattr(owners.socket, "gethostname", lambda: "elsewhere")
            yield

    return be


def test_another_machine_is_at_work_as_long_as_it_gives_signs_of_life(
    open_study: Open, elsewhere: Callable[[], AbstractContextManager[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with elsewhere():
        far = open_study()
        claim = far.claim()
    assert claim is not None
    near = open_study()
    assert len(finish(near)) == 3 and near.others()[0]["host"] == "elsewhere"
    monkeypatch.setattr(signs_of_life, "GRACE_SECONDS", 0.0)
    far._beat(claim.trial.number, 7)
    assert near.claim() is None  # the count has changed since it was last looked at
    taken = near.claim()
    assert taken is not None and (taken.run, taken.values) == (claim.run, claim.values)


def test_an_owner_that_was_taken_for_dead_finds_its_trial_another_s_and_nothing_counts_twice(
    open_study: Open, elsewhere: Callable[[], AbstractContextManager[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with elsewhere():
        far = open_study(pruner="median")
        claim = far.claim()
    assert claim is not None and not far.is_lost(claim)
    monkeypatch.setattr(signs_of_life, "GRACE_SECONDS", 0.0)
    near = open_study()
    near.claim()  # looks for the first time
    assert len(finish(near)) == 4 - len(near._claims)
    for claimed in list(near._claims.values()):
        near.complete(claimed, value=0.5, seconds=1.0, epochs=2)
    far._beat(claim.trial.number, 1)
    assert far.is_lost(claim) and not far.report(claim, epoch=1, value=0.1)
    assert not far.complete(claim, value=99.0, seconds=1.0, epochs=2)
    tried = open_study().tried()
    assert [trial.state for trial in tried] == ["complete"] * 4 and 99.0 not in {trial.value for trial in tried}


def test_trials_of_processes_that_were_ended_on_purpose_have_not_killed_them(
    open_study: Open, elsewhere: Callable[[], AbstractContextManager[None]]
) -> None:
    for _ in range(trials._MOST_ATTEMPTS + 1):
        with elsewhere():
            assert open_study().claim() is not None
            (owner,) = [owners.this_process()]
        open_study().give_back_of([owner])
    assert len(finish(open_study())) == 4


def test_signs_of_life_are_given_while_a_trial_goes_on(open_study: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs_of_life, "BEAT_SECONDS", 0.01)
    study, onlooker = open_study(), open_study()

    def beats() -> int:
        return max((trial.user_attrs.get("beats", 0) for trial in onlooker._frozen()), default=0)

    claim = study.claim()
    assert claim is not None
    deadline = time.monotonic() + 60
    while beats() < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    study.complete(claim, value=1.0, seconds=1.0, epochs=1)


def test_trials_of_another_sweep_are_refused(open_study: Open) -> None:
    open_study().require_same({"settings": {"train": {"lr": 1}}})
    open_study().require_same({"settings": {"train": {"lr": 1}}})
    with pytest.raises(OutputExistsError, match=r"settings\.train\.lr: 1 there, 2 now"):
        open_study().require_same({"settings": {"train": {"lr": 2}}})


def test_half_a_line_is_dropped_and_damage_is_named(open_study: Open, tmp_path: Path) -> None:
    finish(open_study(trials=2))
    path = tmp_path / JOURNAL
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "wor')
    assert len(finish(open_study())) == 2
    path.write_bytes(b"{not json}\n" + whole)
    with pytest.raises(StoreError, match="damaged"):
        open_study()


def test_a_trial_that_is_behind_is_ended(open_study: Open) -> None:
    study = open_study(pruner="median", trials=8)
    for place in range(8):
        claim = study.claim()
        assert claim is not None
        ended = [study.report(claim, epoch=epoch, value=float(place < 6) + epoch / 10) for epoch in (1, 2, 3)]
        if any(ended):
            study.prune(claim)
        else:
            study.complete(claim, value=1.0, seconds=0.1, epochs=3)
    states = [trial.state for trial in study.tried()]
    assert states == ["complete"] * 6 + ["pruned"] * 2
    assert json.loads(json.dumps(study.tried()[-1].course)) == {"1": 0.1, "2": 0.2, "3": 0.3}
