"""Which rank a process is, by what starts it."""

from pathlib import Path

import pytest
import torch

from weldcache.errors import SettingsError
from weldcache.extract.engines.engine import Engine, Place, place_of
from weldcache.extract.engines.spans import cut_spans
from weldcache.extract.pipeline import extract
from weldcache.settings import load_settings

ARRAY = {
    "SLURM_ARRAY_TASK_ID": "14",
    "SLURM_ARRAY_TASK_MIN": "10",
    "SLURM_ARRAY_TASK_MAX": "16",
    "SLURM_ARRAY_TASK_STEP": "2",
    "SLURM_ARRAY_TASK_COUNT": "4",
}


@pytest.mark.parametrize(
    ("environment", "workers", "place"),
    [
        ({"RANK": "1", "WORLD_SIZE": "4"}, None, Place(1, 4)),
        ({"RANK": "1"}, 3, Place(1, 3)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}, 8, Place(5, 8, 1, 4)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1"}, None, Place(3, 4, 1)),
        (ARRAY | {"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, None, Place(2, 4)),
        (ARRAY | {"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, None, Place(5, 8)),
        ({"JOB_COMPLETION_INDEX": "0"}, 2, Place(0, 2)),
        ({"RANK": "0", "WORLD_SIZE": "2"} | ARRAY, None, Place(0, 2)),  # torchrun within a task of an array
    ],
)
def test_ranks_are_those_of_what_started_them(environment: dict[str, str], workers: int | None, place: Place) -> None:
    assert place_of(environment, workers=workers) == place


@pytest.mark.parametrize(
    ("environment", "workers", "named"),
    [
        ({}, None, "WORLD_SIZE"),
        ({"JOB_COMPLETION_INDEX": "0"}, None, "--workers"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, 3, "--workers 3"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, None, "Rank 2 of 2"),
        ({"RANK": "one", "WORLD_SIZE": "2"}, None, "RANK"),
        (ARRAY | {"SLURM_ARRAY_TASK_COUNT": "3"}, None, "without gaps"),
    ],
)
def test_a_rank_that_is_not_known_is_not_guessed(environment: dict[str, str], workers: int | None, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        place_of(environment, workers=workers)


def test_an_engine_refuses_what_it_does_not_read() -> None:
    with pytest.raises(SettingsError, match="--address"):
        Engine("local", address="auto")
    with pytest.raises(SettingsError, match="--gpus"):
        Engine("rank", gpus=1)
    with pytest.raises(SettingsError, match="--workers 0"):
        Engine("local", workers=0)
    for name in ("local", "ray"):
        with pytest.raises(SettingsError, match="--gpus 2 and --workers 1"):
            Engine(name, workers=1, gpus=2)


@pytest.mark.parametrize("engine", [Engine(gpus=1), Engine(workers=1, gpus=1), Engine(workers=3, gpus=2)])
def test_gpus_that_are_not_there_are_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SettingsError, match=f"--gpus {engine.gpus}, and this machine has 0"):
        extract(load_settings(folder=tmp_path), engine=engine)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("num_groups", [0, 1, 7, 100, 1001])
@pytest.mark.parametrize("world", [1, 2, 3, 16])
def test_ranks_have_every_group_once(num_groups: int, world: int) -> None:
    spans = cut_spans(num_groups, workers=world)
    held = [group for rank in range(world) for span in spans[rank::world] for group in range(span.first, span.last)]
    assert sorted(held) == list(range(num_groups))
