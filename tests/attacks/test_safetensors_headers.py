"""Checkpoints and weights whose header declares what is not there, or is nested without end: refused in a sentence."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from weldcache.errors import BackboneError, TrainingError
from weldcache.extract.backbones.checkpoint import weight_files
from weldcache.train.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint

Header = dict[str, Any]


def written(header: Header | bytes, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def with_tensor(**entries: Any) -> Callable[[Header, bytes], bytes]:
    return lambda header, body: written({**header, "a": {**header["a"], **entries}}, body)


def with_text(text: str) -> Callable[[Header, bytes], bytes]:
    return lambda header, body: written({**header, "__metadata__": {**header["__metadata__"], "weldcache": text}}, body)


BOMBS: dict[str, Callable[[Header, bytes], bytes]] = {
    "a header of exabytes": lambda header, body: struct.pack("<Q", 2**63) + json.dumps(header).encode() + body,
    "a header behind the end": lambda header, body: struct.pack("<Q", 10**6) + json.dumps(header).encode() + body,
    "a deep header": lambda header, body: written(b'{"a":' * 50_000, body),
    "deep lists": lambda header, body: written(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", body),
    "a deep text in it": with_text("[" * 100_000),
    "a number of 5,000 digits in it": with_text('{"record": ' + "9" * 5_000 + ', "origin": {}}'),
    "a text that is a list": with_text("[]"),
    "a tensor of terabytes": with_tensor(shape=[10**12]),
    "a shape that overflows": with_tensor(shape=[2**40, 2**40]),
    "a shape below zero": with_tensor(shape=[-1]),
    "bytes behind the end": with_tensor(data_offsets=[0, 10**9]),
    "a type that holds objects": with_tensor(dtype="O"),
    "nothing": lambda header, body: b"",
    "seven bytes": lambda header, body: b"1234567",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_checkpoint_with_it_is_refused(tmp_path: Path, bomb: str) -> None:
    path = tmp_path / "last.safetensors"
    write_checkpoint(path, Checkpoint({"a": torch.ones(4)}, {"epoch": 1}, {}))
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    path.write_bytes(BOMBS[bomb](json.loads(data[8:start]), data[start:]))
    with pytest.raises(TrainingError, match=r"last\.safetensors is damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "deeper/x.safetensors"])
def test_a_model_names_no_weights_outside_its_folder(tmp_path: Path, name: str) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"encoder.weight": name}}))
    with pytest.raises(BackboneError, match="folder"):
        weight_files(tmp_path)
