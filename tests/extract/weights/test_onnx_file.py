"""ONNX files: arrays bit for bit, the products that use them, and an error for whatever is no such file."""

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weldcache.errors import BackboneError
from weldcache.extract.weights import conversion
from weldcache.extract.weights.catalogue import ENTRIES
from weldcache.extract.weights.conversion import converted
from weldcache.extract.weights.onnx_file import read_onnx
from weldcache.extract.weights.protobuf import fields, numbers_in
from weldcache.tests.extract.weights.wire import field, onnx_array, onnx_file, onnx_product, varint

ENTRY = ENTRIES["dinov2-small"]

A = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_arrays_and_products() -> None:
    ints = np.array([2**40, -1])
    found = read_onnx(
        onnx_file(
            onnx_product("/layer/MatMul", "input", "onnx::MatMul_7"),
            onnx_product("/layer/Add", "onnx::MatMul_7", operation="Add"),
            onnx_array("onnx::MatMul_7", A),
            onnx_array("ints", ints, data_type=7),
            onnx_array("scalar", np.float32(2.5).reshape(())),
        )
    )
    assert found.arrays.keys() == {"onnx::MatMul_7", "ints", "scalar"}
    np.testing.assert_array_equal(found.arrays["onnx::MatMul_7"], A)
    np.testing.assert_array_equal(found.arrays["ints"], ints)
    assert float(found.arrays["scalar"]) == 2.5
    assert found.products == {"onnx::MatMul_7": "/layer/MatMul"}


def test_packed_shapes_are_read() -> None:
    packed = field(1, varint(2) + varint(3)) + field(2, 1) + field(8, "a") + field(9, A.tobytes())
    np.testing.assert_array_equal(read_onnx(onnx_file(field(5, packed))).arrays["a"], A)
    assert numbers_in(5) == [5]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 graphs"),
        (onnx_file() + onnx_file(), "2 graphs"),
        (onnx_file(onnx_array("a", A, dims=[2, 4])), "do not fit"),
        (onnx_file(onnx_array("a", A, dims=[1 << 62, 1 << 62, 1 << 62])), "do not fit"),
        (onnx_file(onnx_array("a", A, dims=[1] * 60)), "do not fit"),
        (onnx_file(onnx_array("a", A, data_type=8)), "data type 8"),
        (onnx_file(onnx_array("a", A, more=field(13, b"/etc/passwd"))), "another file"),
        (onnx_file(onnx_array("a", A, more=field(14, 1))), "another file"),
        (onnx_file(onnx_array("a", A), onnx_array("a", A)), "twice"),
        (onnx_file(onnx_array("a", A))[:-40], "claims"),
        (field(7, 5), "a number stands"),
        (onnx_file(field(5, field(2, b"\x01"))), "bytes stand"),
        (varint(7 << 3 | 2) + varint(1 << 62), "claims 4,611,686,018,427,387,904 bytes"),
        (varint(7 << 3 | 3), "wire type 3"),
        (b"\x00\x00", "number 0"),
        (b"\x38" + b"\xff" * 30, "does not end"),
        (b"\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "does not end"),
        (onnx_file(field(5, field(8, b"\xff\xfe"))), "utf-8"),
    ],
)
def test_what_is_no_such_file_is_an_error(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_onnx(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_an_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert all(number > 0 for number, _ in fields(memoryview(data)))


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_is_read_or_an_error(position: int, byte: int) -> None:
    whole = bytearray(onnx_file(onnx_product("/a/MatMul", "x", "a"), onnx_array("a", A)))
    whole[position % len(whole)] = byte
    with contextlib.suppress(ValueError):
        assert all(array.nbytes <= len(whole) for array in read_onnx(bytes(whole)).arrays.values())


def test_the_backbone_is_taken_out_of_the_file_of_dinov2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products are turned, positions joined, and what is not the backbone's is left out."""
    monkeypatch.setattr(conversion, "_DINOV2_POSITIONS", ((1, 1, 2), (1, 9, 2)))
    query, bias = np.float32([[1, 2], [3, 4]]), np.float32([5, 6])
    first, rest = np.float32([[[7, 8]]]), np.arange(18, dtype=np.float32).reshape(1, 9, 2)
    data = onnx_file(
        onnx_product("/backbone/encoder/layer.10/attention/attention/query/MatMul", "x", "onnx::MatMul_1"),
        onnx_product("/decoder/MatMul", "x", "onnx::MatMul_2"),
        onnx_array("onnx::MatMul_1", query),
        onnx_array("onnx::MatMul_2", query),
        onnx_array("onnx::Concat_3", first),
        onnx_array("onnx::Reshape_4", rest),
        onnx_array("backbone.encoder.layer.10.attention.attention.query.bias", bias),
        onnx_array("decoder.bias", bias),
    )
    found = converted({"model.onnx": data}, convert=ENTRY.convert, name=ENTRY.name)
    layer = "encoder.layer.10.attention.attention.query"
    assert found.keys() == {f"{layer}.weight", f"{layer}.bias", "embeddings.position_embeddings"}
    assert torch.equal(found[f"{layer}.weight"], torch.tensor([[1.0, 3.0], [2.0, 4.0]]))
    assert torch.equal(found["embeddings.position_embeddings"][0, :2], torch.tensor([[7.0, 8.0], [0.0, 1.0]]))
    with pytest.raises(BackboneError, match="dinov2-small: its file is not what it should be"):
        converted(
            {"model.onnx": onnx_file(onnx_array("decoder.bias", bias))},
            convert=ENTRY.convert,
            name=ENTRY.name,
        )
