"""Checkpoints of TensorFlow: arrays bit for bit across blocks, and an error for whatever is none."""

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weldcache.errors import BackboneError
from weldcache.extract.weights.catalogue import ENTRIES
from weldcache.extract.weights.conversion import converted
from weldcache.extract.weights.tensorflow_checkpoint import read_checkpoint
from weldcache.tests.extract.weights.wire import checkpoint_entry, field, sorted_table, table_block

YAMNET = ENTRIES["yamnet"]

A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.array([7, 8], dtype=np.int64)
HEADER = (b"", field(1, 1) + field(3, field(1, 1)))
DATA = A.tobytes() + B.tobytes() + b"text"
ENTRY = checkpoint_entry([2, 3], 0, 24)


def one(entry: bytes, *, header: tuple[bytes, bytes] = HEADER) -> bytes:
    return sorted_table(table_block([header, (b"a", entry)]))


def test_arrays_of_several_blocks() -> None:
    index = sorted_table(
        table_block([HEADER, (b"model/a/.ATTRIBUTES/VARIABLE_VALUE", ENTRY)]),
        table_block(
            [
                (b"model/b/.ATTRIBUTES/VARIABLE_VALUE", checkpoint_entry([2], 24, 16, data_type=9)),
                (b"model/graph", checkpoint_entry([], 40, 4, data_type=7)),
            ]
        ),
    )
    found = read_checkpoint(index, DATA)
    assert found.keys() == {"model/a", "model/b"}  # a text is no array
    np.testing.assert_array_equal(found["model/a"], A)
    np.testing.assert_array_equal(found["model/b"], B)


@pytest.mark.parametrize(
    ("index", "why"),
    [
        (b"", "no sorted string table"),
        (bytes(100), "no sorted string table"),
        (one(ENTRY)[:-48] + bytes(40) + bytes.fromhex("57fb808b247547db"), "not within"),
        (sorted_table(table_block([HEADER], kind=1)), "compressed"),
        (one(checkpoint_entry([2, 4], 0, 24)), "has the shape"),
        (one(checkpoint_entry([2, 3], 40, 24)), "has the shape"),
        (one(checkpoint_entry([1 << 60, 1 << 60], 0, 24)), "has the shape"),
        (one(checkpoint_entry([2, 3], 0, 24, shard=1)), "several files"),
        (one(checkpoint_entry([2, 3], 0, 24, more=field(7, b""))), "slices"),
        (one(ENTRY, header=(b"", field(1, 2))), "several files"),
        (one(ENTRY, header=(b"", field(1, 1) + field(2, 1))), "highest byte"),
        (one(field(1, b"x")), "bytes stand"),
    ],
)
def test_what_is_no_such_index_is_an_error(index: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_checkpoint(index, DATA)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_is_read_or_an_error(position: int, byte: int) -> None:
    index = bytearray(one(ENTRY))
    index[position % len(index)] = byte
    with contextlib.suppress(ValueError):
        assert all(array.nbytes <= len(DATA) for array in read_checkpoint(bytes(index), DATA).values())


@given(st.binary(max_size=300))
def test_any_bytes_before_a_footer_are_read_or_an_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        read_checkpoint(data + bytes.fromhex("57fb808b247547db"), DATA)


def test_the_layers_of_yamnet_are_named_and_turned() -> None:
    """Kernels have their channels first, norms a scale of 1, and what was counted in training is left out."""
    names = {
        "layer_with_weights-0/kernel": [3, 3, 1, 2],
        "layer_with_weights-1/beta": [2],
        "layer_with_weights-2/depthwise_kernel": [3, 3, 2, 1],
        "layer_with_weights-53/moving_variance": [2],
        "layer_with_weights-54/kernel": [2, 4],
    }
    data, entries = b"", [HEADER, (b"keras_api/metrics", checkpoint_entry([], 0, 4))]
    arrays = {}
    for name, shape in names.items():
        arrays[name] = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        key = f"layer-1/layer/_func/_yamnet/{name}/.ATTRIBUTES/VARIABLE_VALUE".encode()
        entries.append((key, checkpoint_entry(shape, len(data), arrays[name].nbytes)))
        data += arrays[name].tobytes()
    found = converted(
        {"index": sorted_table(table_block(entries)), "data": data}, convert=YAMNET.convert, name=YAMNET.name
    )
    assert found.keys() == {
        "layers.0.convolution.weight",
        "layers.0.norm.bias",
        "layers.0.norm.weight",
        "layers.1.depthwise.weight",
        "layers.13.pointwise_norm.running_var",
        "layers.13.pointwise_norm.weight",
        "classifier.weight",
    }
    assert found["layers.0.convolution.weight"].shape == (2, 1, 3, 3)
    assert found["layers.1.depthwise.weight"].shape == (2, 1, 3, 3)
    expected = arrays["layer_with_weights-2/depthwise_kernel"][1, 2, 1, 0]
    assert float(found["layers.1.depthwise.weight"][1, 0, 1, 2]) == expected
    assert torch.equal(found["layers.13.pointwise_norm.weight"], torch.ones(2))
    assert torch.equal(found["classifier.weight"], torch.tensor(arrays["layer_with_weights-54/kernel"].T))
    with pytest.raises(BackboneError, match="yamnet: its file is not what it should be"):
        converted({"index": b"", "data": data}, convert=YAMNET.convert, name=YAMNET.name)
