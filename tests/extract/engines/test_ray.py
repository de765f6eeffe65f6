"""Actors of a Ray cluster that share an extraction, on machines of which one is lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from weldcache.errors import NotFoundError, SettingsError, WeldcacheError
from weldcache.extract.engines import member, ray_cluster
from weldcache.extract.engines.engine import Engine, Place
from weldcache.extract.engines.marks import read_marks
from weldcache.extract.engines.member import Member, Order, placed_order
from weldcache.extract.engines.ray_actors import RayCrew
from weldcache.extract.engines.ray_cluster import Share, num_gpus, passed_on, share_of
from weldcache.progress import say
from weldcache.settings import load_settings
from weldcache.tests.children import Children, Machines, alive, differing, wait_for
from weldcache.tests.extract.engines.conftest import MORTAL

pytestmark = pytest.mark.distributed
ORDER = Order({}, "all", False, False, "/", "ray", 1, "identity", False)


@pytest.fixture
def machines(with_mortal: dict[str, str]) -> Iterator[Machines]:
    machines = Machines(with_mortal)
    yield machines
    machines.close()


def workers(store: Path) -> list[int]:
    """The processes that are at work."""
    return alive([state.pid for state in read_marks(store)])


@pytest.mark.slow  # each actor imports everything anew
def test_actors_make_what_one_process_makes_though_a_worker_and_a_machine_are_lost(
    project: Path, machines: Machines, with_mortal: dict[str, str], children: Children
) -> None:
    """First a machine goes with what it is at, then the process of the worker that is left; both are replaced."""
    store = project / "features.zarr"
    options = [*MORTAL, "--set", "extract.batch_size=2", "--set", "features.mortal.seconds=0.4"]
    command = [sys.executable, "-m", "weldcache", *options, "--engine", "ray", "--address", machines.address]
    with subprocess.Popen(command, cwd=project, env=with_mortal, stderr=subprocess.PIPE, text=True) as ran:
        wait_for(lambda: sum(bool(state.finished) for state in read_marks(store)) == 2)
        machines.lose_one()
        done = sum(len(state.finished) for state in read_marks(store))
        wait_for(lambda: sum(len(state.finished) for state in read_marks(store)) > done)
        wait_for(lambda: len(workers(store)) == 1)  # those of a machine end when they notice
        os.kill(workers(store)[0], signal.SIGKILL)
        assert ran.stderr is not None
        said = ran.stderr.read()
    assert ran.returncode == 0, said
    assert said.count("Another one goes on") >= 2, said
    assert children.wait(children.start(*options, "--cache", "by_one.zarr", folder=project)) == 0
    assert not differing(store, project / "by_one.zarr")


def test_without_ray_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"-e '\.\[ray\]'"):
        RayCrew(ORDER, Engine("ray"))


def test_workers_elsewhere_get_what_they_need_and_no_secret() -> None:
    given = {"WELDCACHE_WEIGHTS": "/w", "HF_HOME": "/h", "HF_TOKEN": "s", "AWS_SECRET_ACCESS_KEY": "s", "EDITOR": "vi"}
    given["HF_ENDPOINT"] = "https://user:word@mirror.plant/hub"
    assert passed_on(given) == {"WELDCACHE_WEIGHTS": "/w", "HF_HOME": "/h"}


ONE = [{"CPU": 16, "GPU": 2}]
UNEVEN = [{"CPU": 16}, {"CPU": 8, "GPU": 4}, {"CPU": 12, "GPU": 1}]


@pytest.mark.parametrize(
    ("machines", "workers", "gpus", "share"),
    [
        (ONE, 2, 2, Share(8, 1.0)),
        (ONE, 1, 2, Share(16, 1.0)),
        (ONE, 3, 2, Share(5, 0.5)),  # and not 2/3, of which no GPU has room for two
        (ONE, 12, 2, Share(1, 0.1666)),
        (ONE, 4, 0, Share(4, 0.0)),
        (UNEVEN, 5, 5, Share(2, 1.0)),
        (UNEVEN, 4, 0, Share(4, 0.0)),
        ([{}, {"CPU": 8}], 2, 0, Share(4, 0.0)),  # the first hands out work alone
        ([{"GPU": 1}], 1, 1, Share(1, 1.0)),
    ],
)
def test_workers_get_shares_for_which_there_is_room(
    machines: list[dict[str, float]], workers: int, gpus: int, share: Share
) -> None:
    assert share_of(machines, workers=workers, gpus=gpus) == share


def test_more_gpus_than_the_cluster_has_are_refused() -> None:
    assert num_gpus(UNEVEN, asked=None) == 5
    with pytest.raises(SettingsError, match="--gpus 6"):
        num_gpus(UNEVEN, asked=6)


@pytest.mark.parametrize("quiet", [False, True])
def test_workers_are_as_quiet_as_who_ordered_them(
    quiet: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ask(*_: Any, **__: Any) -> None:
        say("the data set is listed")
        raise WeldcacheError

    monkeypatch.setattr(member, "_require_same_folder", lambda order: None)
    monkeypatch.setattr(member, "ask", ask)
    with pytest.raises(WeldcacheError):
        Member(replace(ORDER, quiet=quiet), number=0, place=Place(0, 1, cores=1), threads=torch.get_num_threads())
    assert ("listed" in capsys.readouterr().err) is not quiet


def test_a_machine_that_does_not_see_the_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    order = replace(ORDER, settings=load_settings(folder=tmp_path).model_dump(mode="json"), folder=str(tmp_path))
    with pytest.raises(NotFoundError, match="does not see"):  # nobody has placed the order there
        Member(order, number=0, place=Place(0, 1), threads=1)
    # Another extraction that is begun meanwhile takes the place of none.
    with placed_order(order), placed_order(replace(order, identity="another")):
        with pytest.raises(NotFoundError, match="does not see"):
            Member(replace(order, identity="a third"), number=0, place=Place(0, 1), threads=1)
        with pytest.raises(NotFoundError, match=r"data\.root"):  # it has come as far as to miss the data set
            Member(order, number=0, place=Place(0, 1), threads=torch.get_num_threads())
    with pytest.raises(NotFoundError, match="nowhere"):
        Member(replace(order, folder="/nowhere"), number=0, place=Place(0, 1), threads=1)
