"""The numbers in an ONNX file, and which operation uses each: no graph is run.

An exporter may give a parameter's name away, where it stores the transpose for a product; then the operation that uses
it tells which one it is. Numbers of the formats below are read, which lie in the file as raw bytes; no other is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from .protobuf import bytes_in, fields, number_in, numbers_in, text_in

# Fields of the messages in onnx.proto, and numbers of its data types.
_GRAPH, _FUNCTIONS = 7, 25
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15
_NODE_INPUT, _NODE_NAME, _NODE_OPERATION, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 3, 4, 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 9, 13, 14
_DTYPES = {1: "<f4", 6: "<i4", 7: "<i8", 10: "<f2", 11: "<f8"}

_MOST_AXES = 8
_DEEPEST = 20  # graphs within operations of graphs


@dataclass(frozen=True)
class OnnxFile:
    """The stored arrays by name, and the names of the matrix products that use one, by the array's."""

    arrays: Mapping[str, np.ndarray]
    products: Mapping[str, str]


def read_onnx(data: bytes) -> OnnxFile:
    """What an ONNX file holds.

    Raises:
        ValueError: if it is none, or holds numbers that are not read here.
    """
    graphs = [bytes_in(value) for number, value in fields(memoryview(data)) if number == _GRAPH]
    if len(graphs) != 1:
        raise ValueError(f"it holds {len(graphs)} graphs, and a model of ONNX one")
    arrays: dict[str, np.ndarray] = {}
    products: dict[str, str] = {}
    for number, value in fields(graphs[0]):
        if number == _INITIALIZER:
            name, array = _array(bytes_in(value))
            if name in arrays:
                raise ValueError(f"it holds {name!a} twice")
            arrays[name] = array
        elif number == _NODE:
            products |= _products(bytes_in(value))
    return OnnxFile(arrays, {name: product for name, product in products.items() if name in arrays})


def _products(node: memoryview) -> dict[str, str]:
    """What a node multiplies, if it is a matrix product: its name by those of its inputs."""
    inputs, name, operation = [], "", ""
    for number, value in fields(node):
        if number == _NODE_INPUT:
            inputs.append(text_in(value))
        elif number == _NODE_NAME:
            name = text_in(value)
        elif number == _NODE_OPERATION:
            operation = text_in(value)
    return dict.fromkeys(inputs, name) if operation == "MatMul" else {}


def _array(tensor: memoryview) -> tuple[str, np.ndarray]:
    dims: list[int] = []
    name, data_type, raw = "", 0, memoryview(b"")
    for number, value in fields(tensor):
        if number == _DIMS:
            dims += numbers_in(value)
        elif number == _DATA_TYPE:
            data_type = number_in(value)
        elif number == _TENSOR_NAME:
            name = text_in(value)
        elif number == _RAW_DATA:
            raw = bytes_in(value)
        elif number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
            raise ValueError(f"the numbers of {name!a} are in another file, which is not read")
    if data_type not in _DTYPES:
        raise ValueError(f"{name!a} is of data type {data_type}, which is not read")
    dtype = np.dtype(_DTYPES[data_type])
    if len(dims) > _MOST_AXES or prod(dims) * dtype.itemsize != len(raw):
        raise ValueError(f"{name!a} has the shape {dims[:_MOST_AXES]} and {len(raw):,} bytes, which do not fit")
    return name, np.frombuffer(raw, dtype).reshape(dims)


def check_stands_alone(data: bytes) -> None:
    """Raise ValueError unless a file holds one graph, all of its numbers, and the operations of ONNX alone."""
    graphs = []
    for number, value in fields(memoryview(data)):
        if number == _FUNCTIONS:
            raise ValueError("it has functions of its own")
        if number == _GRAPH:
            graphs.append(bytes_in(value))
    if len(graphs) != 1:
        raise ValueError(f"it holds {len(graphs)} graphs, and a model of ONNX one")
    _check_graph(graphs[0], depth=0)


def _check_graph(graph: memoryview, *, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError(f"its graphs lie more than {_DEEPEST} deep in each other")
    for number, value in fields(graph):
        if number == _INITIALIZER:
            _check_numbers(bytes_in(value))
        elif number == _SPARSE_INITIALIZER:
            raise ValueError("it has sparse numbers, which are not read")
        elif number == _NODE:
            _check_node(bytes_in(value), depth=depth)


def _check_node(node: memoryview, *, depth: int) -> None:
    for number, value in fields(node):
        if number == _NODE_DOMAIN and (domain := text_in(value)) not in ("", "ai.onnx"):
            raise ValueError(f"it has an operation of {domain!a}, which ONNX does not define")
        if number == _NODE_ATTRIBUTE:
            for inner, held in fields(bytes_in(value)):
                if inner in _ATTRIBUTE_TENSORS:
                    _check_numbers(bytes_in(held))
                elif inner in _ATTRIBUTE_GRAPHS:
                    _check_graph(bytes_in(held), depth=depth + 1)
                elif inner in _ATTRIBUTE_SPARSE:
                    raise ValueError("it has sparse numbers, which are not read")


def _check_numbers(tensor: memoryview) -> None:
    for number, value in fields(tensor):
        if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
            raise ValueError("some of its numbers are in another file, which is not read")
