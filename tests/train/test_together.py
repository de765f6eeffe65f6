"""Several trainings as one are what they are one by one, within the tolerance that docs/sweeps.md states."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from weldcache.errors import TrainingError
from weldcache.evaluate.sweeps.request import settings_of
from weldcache.settings import Settings, load_settings
from weldcache.tests.evaluate.trials import conftest as trials
from weldcache.train.display import ShownTraining
from weldcache.train.pipeline import train
from weldcache.train.runs.checkpoint import read_checkpoint
from weldcache.train.runs.folder import RunFolder
from weldcache.train.stacked import StackingError
from weldcache.train.together import Together, groups, train_together

toy_store_path = trials.toy_store_path
project = trials.project

# The tolerance that docs/sweeps.md states: relative, of losses and weights.
TOLERANCE = 1e-3

FILM = {"recipe.film": "off", "recipe.pooling": "max", "train.epochs": 5, "train.patience": 2}
EACH: Sequence[dict[str, Any]] = (
    {"train.lr": 1e-3, "train.seed": 0},
    {
        "train.lr": 3e-3,
        "train.weight_decay": 0.3,
        "recipe.dropout": 0.3,
        "recipe.feature_mask": 0.4,
        "train.seed": 5,
        "train.patience": 9,
    },
    {"train.lr": 1e-2, "recipe.loss.l1": 2.0, "recipe.loss.text": 0.7, "train.ema_decay": 0.5, "train.epochs": 3},
    {"train.betas": [0.8, 0.95], "train.gradient_clip": 0.05, "recipe.decoder_dropout": 0.5, "train.warmup_epochs": 2},
)


class _Silent:
    def advance(self, num_samples: int) -> None: ...

    def epoch_done(self, metrics: Mapping[str, Any], *, improved: bool) -> None: ...


@contextmanager
def silent(training: ShownTraining) -> Iterator[_Silent]:
    yield _Silent()


def settings_in(folder: Path, *values: Mapping[str, Any], recipe: str = "causal_film") -> list[Settings]:
    """Another recipe reads nothing of the film's."""
    base, film = load_settings(overrides=[f"runs.folder={folder}"]), recipe == "causal_film"
    told = [
        {key: value for key, value in {**FILM, **each}.items() if film or not key.startswith("recipe.")}
        for each in values
    ]
    return [settings_of(base, {**each, "recipe.name": recipe}, origin="here") for each in told]


def rows_of(run: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.metrics_path.read_text().splitlines()]


def _without_key_bias(name: str, tensor: Tensor) -> Tensor:
    """A softmax takes away what the keys' bias adds: its gradient is rounding alone, and AdamW makes steps of that."""
    if not name.endswith("in_proj_bias") or tensor.dim() == 0:
        return tensor
    query, _, value = tensor.chunk(3)
    return torch.cat([query, value])


def assert_same_run(together: RunFolder, alone: RunFolder) -> None:
    mine, theirs = rows_of(together), rows_of(alone)
    assert len(mine) == len(theirs)
    for one, other in zip(mine, theirs, strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"seconds", "samples_per_second", "checksum"}:
            assert one[name] == pytest.approx(other[name], rel=TOLERANCE, abs=1e-6), name
    for path in ("best_path", "last_path"):
        files = [read_checkpoint(getattr(run, path)) for run in (together, alone)]
        assert (
            files[0].tensors.keys() == files[1].tensors.keys() and files[0].record["epoch"] == files[1].record["epoch"]
        )
        for name, tensor in files[0].tensors.items():
            mine_, theirs_ = (_without_key_bias(name, each) for each in (tensor, files[1].tensors[name]))
            scale = float(theirs_.abs().max()) + 1e-12
            assert float((mine_ - theirs_).abs().max()) / scale < 10 * TOLERANCE, name
    mine_state, theirs_state = together.state(), alone.state()
    assert mine_state is not None and theirs_state is not None
    assert (mine_state["finished"], mine_state["stopped"]) == (True, theirs_state["stopped"])


def test_each_training_is_what_it_is_alone(project: Path, tmp_path: Path) -> None:
    """Runs and weights; losses and scores of every recipe that can be stacked are in the contract of recipes."""
    settings, alone = (settings_in(tmp_path / folder, *EACH) for folder in ("t", "a"))
    assert groups(settings) == [[0, 1, 2, 3]]
    for place, one in enumerate(alone):
        train(one, run_name=f"r{place}", overwrite=False, command="weldcache train", show=silent)
    outcomes = train_together(
        [Together(one, f"r{place}", silent) for place, one in enumerate(settings)], command="weldcache sweep", pool=None
    )
    assert outcomes == [None] * len(EACH)
    lengths = set()
    for place in range(len(EACH)):
        runs = RunFolder(tmp_path / "t" / f"r{place}"), RunFolder(tmp_path / "a" / f"r{place}")
        assert_same_run(*runs)
        lengths.add(len(rows_of(runs[0])))
    assert len(lengths) > 1, "none stopped before the others"


def test_who_breaks_or_is_given_up_leaves_the_others(project: Path, tmp_path: Path) -> None:
    huge = {"train.lr": 1e30, "train.gradient_clip": 1e30, "train.warmup_epochs": 0}
    settings = settings_in(
        tmp_path / "t",
        {"train.patience": 9},
        {**huge, "train.patience": 9},
        {"train.seed": 2, "train.patience": 9},
        recipe="video_ae",
    )

    class GivenUp(Exception):
        pass

    class Judge(_Silent):
        def epoch_done(self, metrics: Mapping[str, Any], *, improved: bool) -> None:
            if metrics["epoch"] == 2:
                raise GivenUp

    @contextmanager
    def impatient(name: str, **_: Any) -> Iterator[Judge]:
        yield Judge()

    shows = (silent, silent, impatient)
    outcomes = train_together(
        [Together(one, f"r{place}", show) for place, (one, show) in enumerate(zip(settings, shows, strict=True))],
        command="weldcache sweep",
        pool=None,
    )
    assert outcomes[0] is None and isinstance(outcomes[1], TrainingError) and isinstance(outcomes[2], GivenUp)
    runs = [RunFolder(tmp_path / "t" / f"r{place}") for place in range(3)]
    assert runs[0].finished and len(rows_of(runs[0])) == 5
    assert not runs[1].path.exists() and not runs[2].finished and len(rows_of(runs[2])) == 2
    (alone,) = settings_in(tmp_path / "a", {"train.patience": 9}, recipe="video_ae")
    train(alone, run_name="r0", overwrite=False, command="weldcache train", show=silent)
    assert_same_run(runs[0], RunFolder(tmp_path / "a/r0"))


def test_interrupted_trainings_go_on_together_from_where_each_was(project: Path, tmp_path: Path) -> None:
    often = {"train.checkpoint_seconds": 0, "train.patience": 9}
    both = [{**often, "train.seed": 0}, {**often, "train.seed": 3}]
    settings, whole = (
        settings_in(tmp_path / "t", *both, recipe="video_ae"),
        settings_in(tmp_path / "w", *both, recipe="video_ae"),
    )

    class Interrupted(_Silent):
        def epoch_done(self, metrics: Mapping[str, Any], *, improved: bool) -> None:
            if metrics["epoch"] == 3:
                raise KeyboardInterrupt

    @contextmanager
    def impatient(name: str, **_: Any) -> Iterator[Interrupted]:
        yield Interrupted()

    with pytest.raises(KeyboardInterrupt):  # the first has three epochs then, the second two
        train_together(
            [Together(one, f"r{place}", impatient) for place, one in enumerate(settings)], command="", pool=None
        )
    for each in (settings, whole):
        assert train_together(
            [Together(one, f"r{place}", silent) for place, one in enumerate(each)], command="", pool=None
        ) == [None, None]
    for place in range(2):
        assert_same_run(*(RunFolder(tmp_path / folder / f"r{place}") for folder in ("t", "w")))


def test_only_what_differs_in_numbers_goes_together(project: Path, tmp_path: Path) -> None:
    different: list[dict[str, Any]] = [
        {},
        {"train.lr": 0.1},
        {"recipe.dropout": 0.0},
        {"recipe.dropout": 0.4},
        {"recipe.gate": False},
        {"train.batch_size": 4},
        {"recipe.loss.target": "ema"},
        {"recipe.loss.target": "ema", "train.seed": 1},
    ]
    assert groups(settings_in(tmp_path, *different)) == [[0, 1, 3], [2], [4], [5], [6], [7]]


def test_modules_that_cannot_be_stacked_are_refused_and_leave_nothing(project: Path, tmp_path: Path) -> None:
    """torch.vmap has no rule for recurrent layers."""
    with_sensors = {"recipe.film": "shared"}
    settings = settings_in(tmp_path / "t", with_sensors, {**with_sensors, "train.seed": 1})
    assert groups(settings) == [[0, 1]]
    with pytest.raises(StackingError):
        train_together(
            [Together(one, f"r{place}", silent) for place, one in enumerate(settings)], command="", pool=None
        )
    assert list((tmp_path / "t").iterdir()) == []
