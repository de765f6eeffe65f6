"""Checkpoints: round trips, and files that do not fit."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from weldcache.atomic import write_json, write_text
from weldcache.cache.store import FeatureStore
from weldcache.errors import FingerprintError, NotFoundError, TrainingError
from weldcache.settings import Settings, to_yaml
from weldcache.train import pipeline
from weldcache.train.nn.nearest_neighbours import NearestNeighbours
from weldcache.train.pipeline import train
from weldcache.train.randomness import Purpose, derived_seed
from weldcache.train.runs import checkpoint
from weldcache.train.runs.checkpoint import (
    Checkpoint,
    deciding_settings,
    load_module,
    module_tensors,
    read_checkpoint,
    read_run_checkpoint,
    write_checkpoint,
)
from weldcache.train.runs.documents import sealed_manifest, shareable
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.log import append_row
from weldcache.train.runs.names import named_run
from weldcache.train.runs.trained_run import load_run
from weldcache.train.state import OF_GRADIENT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "best.safetensors"


def test_tensors_and_record_come_back_exactly(path: Path, generator: torch.Generator) -> None:
    tensors = {
        "raw/weight": torch.randn(3, 4, generator=generator).T,  # not contiguous
        "raw/count": torch.tensor(7),
        "averaged/half": torch.randn(5, generator=generator).bfloat16(),
    }
    record = {"epoch": 3, "metrics": {"val_auroc": 0.1 + 0.2, "val_loss": None}, "seed": 2**64 - 1}
    write_checkpoint(path, Checkpoint(tensors, record, origin={"run": "mine"}))
    found = read_checkpoint(path)
    assert found.record == record and found.origin == {"run": "mine"}
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def _banks(rows: int, *, width: int = 4) -> nn.Module:
    """A module that holds a module whose buffer is sized by data."""
    inner = nn.Module()
    inner.register_buffer("bank", torch.arange(rows * width).reshape(rows, width).float())
    return nn.ModuleList([nn.Linear(2, 2), inner])


def test_a_vector_that_the_settings_do_without_stays_empty(path: Path) -> None:
    module = nn.Linear(2, 2)
    module.register_buffer("anchor", torch.empty(0))
    load_module(module, Checkpoint(module_tensors(module, prefix="raw"), {}), prefix="raw", path=path)
    assert module.get_buffer("anchor").shape == (0,)


def test_a_buffer_without_rows_takes_those_of_the_file(path: Path) -> None:
    fitted, new = _banks(5), _banks(0)
    load_module(new, Checkpoint(module_tensors(fitted, prefix="averaged"), {}), prefix="averaged", path=path)
    assert torch.equal(new.get_buffer("1.bank"), fitted.get_buffer("1.bank"))


@pytest.mark.parametrize(
    ("found", "expected", "message"),
    [
        (_banks(5), _banks(3), "1.bank has shape"),
        (_banks(5, width=7), _banks(0), "1.bank has shape"),
        (_banks(0), _banks(0), "1.bank has no rows"),
    ],
)
def test_other_buffers_do_not_fit(path: Path, found: nn.Module, expected: nn.Module, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        load_module(expected, Checkpoint(module_tensors(found, prefix="raw"), {}), prefix="raw", path=path)


def test_a_bank_that_lost_neighbours_does_not_fit(path: Path) -> None:
    fitted, new = (NearestNeighbours(4, num_neighbours=3, metric="l2") for _ in range(2))
    fitted.fill(torch.randn(3, 4))
    tensors = module_tensors(fitted, prefix="averaged")
    tensors["averaged/bank"] = tensors["averaged/bank"][:2]
    with pytest.raises(TrainingError, match=rf"{path}.* 3 neighbours .*bank has 2"):
        load_module(new, Checkpoint(tensors, {}), prefix="averaged", path=path)


def test_the_copy_of_a_module_is_deep() -> None:
    module = nn.Linear(2, 2)
    tensors = module_tensors(module, prefix="raw")
    nn.init.zeros_(module.weight)
    assert tensors["raw/weight"].abs().sum() > 0


def test_a_module_gets_the_weights_of_its_prefix(path: Path) -> None:
    first, second, fresh = nn.Linear(2, 3), nn.Linear(2, 3), nn.Linear(2, 3)
    both = module_tensors(first, prefix="raw") | module_tensors(second, prefix="averaged")
    load_module(fresh, Checkpoint(both, {}), prefix="averaged", path=path)
    assert torch.equal(fresh.weight, second.weight) and torch.equal(fresh.bias, second.bias)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Linear(2, 4), r"weight has shape \(4, 2\), the model's has \(3, 2\)"),
        (nn.Linear(2, 3, bias=False), "bias is missing"),
        (nn.Bilinear(2, 2, 3), "weight has shape"),
        (nn.Sequential(nn.Linear(2, 3)), "0.weight is unknown to the model"),
    ],
)
def test_weights_of_another_module_are_refused_and_nothing_is_loaded(
    path: Path, other: nn.Module, message: str
) -> None:
    module = nn.Linear(2, 3)
    before = module.weight.detach().clone()
    with pytest.raises(TrainingError, match=message):
        load_module(module, Checkpoint(module_tensors(other, prefix="raw"), {}), prefix="raw", path=path)
    assert torch.equal(module.weight, before)


def test_a_missing_file_names_the_command(path: Path) -> None:
    with pytest.raises(NotFoundError, match="weldcache train"):
        read_checkpoint(path)


def test_files_that_are_cut_short_are_refused(path: Path) -> None:
    write_checkpoint(path, Checkpoint({"raw/weight": torch.ones(100)}, {}))
    whole = path.read_bytes()
    for length in (0, 7, 8, 50, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(TrainingError, match="damaged"):
            read_checkpoint(path)
    path.write_bytes(whole + b"more")
    with pytest.raises(TrainingError, match="damaged"):
        read_checkpoint(path)


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_flipped_bit_goes_unnoticed(path: Path, position: float, bit: int) -> None:
    """In weights and in the record alike; elsewhere, such as in padding, it may change nothing."""
    tensors = {
        "raw/weight": torch.arange(20.0),
        "raw/count": torch.tensor(7),
        "averaged/half": torch.ones(3).bfloat16(),
    }
    record, origin = {"epoch": 3, "value": 0.5}, {"fingerprint": "0123"}
    write_checkpoint(path, Checkpoint(tensors, record, origin))
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        found = read_checkpoint(path)
    except TrainingError as error:
        assert "damaged" in str(error)
    else:
        assert (found.record, found.origin) == (record, origin)
        assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"weldcache": "{}", "crc32c": "00000000"},
        {"weldcache": "[1]", "crc32c": "00000000"},
        {"weldcache": '{"record": {}, "origin": {}}'},
        {"weldcache": '{"record": {}, "origin": {}}', "crc32c": "00000000"},
    ],
)
def test_foreign_files_are_refused(path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"weight": torch.ones(2)}, path, metadata=metadata)
    with pytest.raises(TrainingError, match="damaged"):
        read_checkpoint(path)


def test_a_pickle_is_never_opened(path: Path) -> None:
    """What torch.save writes would run code on loading."""
    torch.save({"raw/weight": torch.ones(2)}, path)
    with pytest.raises(TrainingError, match="damaged: its header"):
        read_checkpoint(path)


def test_a_crash_while_writing_leaves_the_last_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(path, Checkpoint({"raw/weight": torch.zeros(2)}, {"epoch": 1}))

    def full_disk(tensors: dict[str, torch.Tensor], file: Path, metadata: dict[str, str]) -> None:
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(path, Checkpoint({"raw/weight": torch.ones(2)}, {"epoch": 2}))
    assert read_checkpoint(path).record == {"epoch": 1}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


MakeSettings = Callable[..., Settings]
CPU = torch.device("cpu")


class Killed(BaseException):
    """Stands for a kill: nothing in the program catches it."""


@pytest.fixture(scope="module")
def finished(
    settings_for_runs_in: Callable[[Path], MakeSettings], tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    """A run that is trained. Not to be changed."""
    settings = settings_for_runs_in(tmp_path_factory.mktemp("finished"))(epochs=2, seed=3)
    return train(settings, run_name="first", overwrite=False, command="weldcache train").run


@pytest.fixture
def run(finished: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy that a test may change."""
    return RunFolder(Path(shutil.copytree(finished.path, tmp_path / "copied")))


def forge(run: RunFolder, *, settings: Settings | None = None, **manifest: object) -> None:
    """Change what a run says of itself as somebody would who makes every checksum anew."""
    state, config = run.state(), run.config_path.read_text() if settings is None else to_yaml(settings)
    write_text(run.config_path, config)
    write_json(run.manifest_path, sealed_manifest({**run.manifest(), **manifest}, config=config))
    assert state is not None
    run.write(run.state_path, state)


def other_text(store: FeatureStore) -> None:
    store.add_constant("text/prompt", np.ones(24, np.float32), made_by={"backbone": {"model": "another"}})


def test_a_checkpoint_says_all_that_training_goes_by(finished: RunFolder) -> None:
    """Rates follow from the schedule and the step, random numbers from the seed and the epoch."""
    settings, manifest = finished.settings(), finished.manifest()
    last, best = read_checkpoint(finished.last_path), read_checkpoint(finished.best_path)
    assert last.origin == best.origin
    assert Settings.model_validate(last.origin["settings"]) == shareable(settings)
    assert last.origin["schedule"] == {
        "warmup_lr": settings.train.warmup_lr,
        "lr": settings.train.lr,
        "min_lr": settings.train.min_lr,
        "warmup_steps": 5,
        "total_steps": 10,
    }
    assert {name: last.origin[name] for name in ("run", "recipe", "cache", "fingerprint")} == {
        "run": "first",
        "recipe": "causal_film",
        "cache": manifest["cache"],
        "fingerprint": manifest["fingerprint"],
    }
    assert (last.record["epoch"], last.record["step"]) == (2, 10)
    assert last.record["seeds_of_next_epoch"] == {
        purpose.name.lower(): derived_seed(3, purpose, epoch=3)
        for purpose in (Purpose.ORDER, Purpose.LOSS, Purpose.DROPOUT)
    }


def test_weights_that_were_deleted_are_told_from_such_that_never_were(run: RunFolder) -> None:
    run.best_path.unlink()
    with pytest.raises(NotFoundError, match=r"the run is finished, and its weights were deleted.* --keep-weights"):
        load_run(run.path).best()
    run.write(run.state_path, {**(run.state() or {}), "finished": False})
    with pytest.raises(NotFoundError, match="There is no checkpoint"):
        load_run(run.path).best()


def test_a_renamed_run_is_still_itself(run: RunFolder) -> None:
    assert read_run_checkpoint(run.best_path, run=run).origin["run"] == "first"


def test_settings_that_decide_nothing_may_change(run: RunFolder) -> None:
    settings = run.settings()
    moved = settings.cache.model_copy(update={"path": Path("/elsewhere.zarr")})
    rarely = settings.train.model_copy(update={"checkpoint_seconds": 1.0, "loading": "streamed"})
    forge(run, settings=settings.model_copy(update={"cache": moved, "train": rarely}))
    read_run_checkpoint(run.best_path, run=run)


@pytest.mark.parametrize(
    ("section", "setting", "value", "said"),
    [
        ("train", "lr", 0.5, r"settings\.train\.lr: 0\.001 in the checkpoint, 0\.5 in the folder"),
        ("recipe", "d_model", 24, r"settings\.recipe\.d_model: 16 in the checkpoint, 24 in the folder"),
        ("train", "epochs", 9, r"schedule\.total_steps: 10 in the checkpoint, 45 in the folder"),
    ],
)
def test_edited_settings_are_refused(run: RunFolder, section: str, setting: str, value: object, said: str) -> None:
    settings = run.settings()
    changed = getattr(settings, section).model_copy(update={setting: value})
    forge(run, settings=settings.model_copy(update={section: changed}))
    with pytest.raises(FingerprintError, match=said):
        read_run_checkpoint(run.best_path, run=run)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("fingerprint", "0" * 64, r"fingerprint: [0-9a-f]+\.* in the checkpoint, 0+\.* in the folder"),
        ("samples", {"train": ["x"], "validation": ["y"]}, r"samples\.train: "),
        ("cache", {"features": {}, "constants": {}}, r"cache\.features\.\S+: .* in the checkpoint, \(absent\) in"),
        ("recipe", "late_fusion", "recipe: causal_film in the checkpoint, late_fusion in the folder"),
    ],
)
def test_an_edited_manifest_is_refused(run: RunFolder, name: str, value: object, said: str) -> None:
    forge(run, **{name: value})
    with pytest.raises(FingerprintError, match=said):
        read_run_checkpoint(run.best_path, run=run)


@pytest.mark.parametrize("file", ["config.yaml", "manifest.json"])
def test_what_was_edited_by_hand_is_refused_by_its_checksum(run: RunFolder, file: str) -> None:
    path = run.path / file
    text = path.read_text()
    path.write_text(
        text.replace("seed: 3", "seed: 4") if file == "config.yaml" else text.replace('"seed": 3', '"seed": 4')
    )
    assert path.read_text() != text
    with pytest.raises(TrainingError, match=rf"{file} (was edited|does not match)"):
        read_run_checkpoint(run.best_path, run=run)


def test_a_manifest_that_is_none_is_refused(run: RunFolder) -> None:
    write_json(run.manifest_path, {"created": "2026-01-01"})
    with pytest.raises(TrainingError, match=r"manifest\.json is damaged \(recipe: Field required"):
        read_run_checkpoint(run.best_path, run=run)


def test_a_checkpoint_that_says_nothing_of_itself_is_refused(run: RunFolder) -> None:
    checkpoint = read_checkpoint(run.best_path)
    write_checkpoint(run.best_path, type(checkpoint)(checkpoint.tensors, checkpoint.record))
    with pytest.raises(TrainingError, match="run: Field required"):
        read_run_checkpoint(run.best_path, run=run)


def test_a_run_refuses_other_features_by_itself(run: RunFolder, toy_store: FeatureStore) -> None:
    trained = load_run(run.path)
    trained.require_same_features(toy_store)
    other_text(toy_store)
    with pytest.raises(
        FingerprintError, match=r"text/prompt\.made_by\.backbone\.model: toy in the run, another in the cache"
    ):
        trained.require_same_features(toy_store)


def test_a_model_is_not_loaded_for_other_features_even_if_the_manifest_says_so(
    run: RunFolder, toy_store: FeatureStore
) -> None:
    trained, before = load_run(run.path), run.manifest()
    trained.model("averaged", device=CPU)
    trained.require_same_features(toy_store)
    other_text(toy_store)
    used = [*before["cache"]["features"], *before["cache"]["constants"]]
    swapped = {"cache": toy_store.manifest_of(used), "fingerprint": toy_store.fingerprint_of(used)}
    forge(run, **swapped)
    with pytest.raises(FingerprintError, match="toy in the checkpoint, another in the folder"):
        load_run(run.path).model("averaged", device=CPU)
    forge(run, **before)
    with pytest.raises(FingerprintError, match="toy in the run, another in the cache"):
        load_run(run.path).require_same_features(toy_store)


def test_a_run_does_not_go_on_with_other_features_even_if_its_manifest_says_so(
    toy_settings: MakeSettings, toy_store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = toy_settings(store=toy_store.path)

    def killed(path: Path, row: dict[str, object]) -> None:
        append_row(path, row)
        if row["epoch"] == 2:
            raise Killed

    monkeypatch.setattr(pipeline, "append_row", killed)
    with pytest.raises(Killed):
        train(settings, run_name="cut", overwrite=False, command="")
    monkeypatch.undo()
    cut = named_run(settings.runs.folder, "cut")
    before = cut.manifest()
    other_text(toy_store)
    used = [*before["cache"]["features"], *before["cache"]["constants"]]
    swapped = {"cache": toy_store.manifest_of(used), "fingerprint": toy_store.fingerprint_of(used)}
    forge(cut, **swapped)
    with pytest.raises(
        FingerprintError, match=r"made_by\.backbone\.model: toy in the checkpoint, another in the folder"
    ):
        train(settings, run_name="cut", overwrite=False, command="")


def test_a_run_does_not_go_on_with_another_stream_of_random_numbers(toy_settings: MakeSettings, run: RunFolder) -> None:
    """As after a change of how seeds are derived: it would not end as if it had not been interrupted."""
    last = read_checkpoint(run.last_path)
    seeds = {**last.record["seeds_of_next_epoch"], "order": 1}
    write_checkpoint(
        run.last_path, type(last)(last.tensors, {**last.record, "seeds_of_next_epoch": seeds}, last.origin)
    )
    run.write(run.state_path, {**(run.state() or {}), "finished": False})
    with pytest.raises(TrainingError, match="draws other random numbers"):
        train(run.settings(), run_name=run.name, overwrite=False, command="")


def test_what_decides_is_told_by_section(toy_settings: MakeSettings) -> None:
    told = deciding_settings(toy_settings())
    assert told["train"]["lr"] == 1e-3 and told["recipe"]["d_model"] == 16 and "l1" in told["recipe"]["loss"]
    assert not {"checkpoint_seconds", "loading", "loggers"} & told["train"].keys()
    assert told["train"].keys() >= OF_GRADIENT
    fitted = deciding_settings(toy_settings(recipe="gaussian"))
    assert fitted["train"].keys() == told["train"].keys() - OF_GRADIENT and "precision" in fitted["train"]
