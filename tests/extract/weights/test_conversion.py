"""Files of models, honest and hostile: tensors under the names of the family here, or an error that says why not."""

import io
import os
import pickle
from pathlib import Path

import pytest
import torch

from weldcache.errors import BackboneError
from weldcache.extract.backbones.efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig
from weldcache.extract.weights.catalogue import ENTRIES
from weldcache.extract.weights.conversion import converted, read_torch
from weldcache.tests.extract.weights.conftest import Tiny, torch_file

ENTRY = ENTRIES["efficientnet-lite0"]


class RunsCode:
    """What a hostile file would ask to be called when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [False, True])
def test_torch_files_of_both_forms_are_read(zipped: bool) -> None:
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(8.0)[::2]}
    buffer = io.BytesIO()
    torch.save(tensors, buffer, _use_new_zipfile_serialization=zipped)
    found = read_torch(buffer.getvalue())
    assert all(torch.equal(found[name], values) for name, values in tensors.items())


@pytest.mark.parametrize("zipped", [False, True])
def test_a_torch_file_runs_nothing(zipped: bool, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"a": RunsCode(tmp_path / "made")}, buffer, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="tensors alone"):
        read_torch(buffer.getvalue())
    with pytest.raises(ValueError, match="tensors alone"):
        read_torch(pickle.dumps(RunsCode(tmp_path / "made")))
    assert not (tmp_path / "made").exists()


def test_damaged_torch_files_are_errors() -> None:
    whole = torch_file({"a": torch.arange(1000.0)})
    for broken in (b"", whole[:50], whole[:-100], b"PK\x03\x04" + whole):
        with pytest.raises(ValueError, match="tensors alone"):
            read_torch(broken)
    with pytest.raises(ValueError, match="'b' in it is no tensor"):
        read_torch(torch_file({"a": torch.zeros(1), "b": 5}))  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="no tensors by name"):
        read_torch(torch_file([torch.zeros(1)]))  # type: ignore[arg-type]


def test_lite0_is_renamed_to_every_parameter_of_the_family() -> None:
    """The published names in their order, which is the order of the family's own."""
    with torch.device("meta"):
        mine = EfficientNetLite(EfficientNetLiteConfig()).state_dict()
    places = list(dict.fromkeys(tuple(name.split(".")[1:3]) for name in mine if name.startswith("blocks.")))
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    others = {
        "conv_pw": "_expand_conv",
        "bn1": "_bn0",
        "conv_dw": "_depthwise_conv",
        "bn2": "_bn1",
        "conv_pwl": "_project_conv",
        "bn3": "_bn2",
    }
    ends = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    published = {}
    for number, name in enumerate(mine):
        if name.startswith("blocks."):
            _, stage, index, part, rest = name.split(".")
            block = places.index((stage, index))
            published[f"_blocks.{block}.{(others if block else first)[part]}.{rest}"] = torch.tensor([float(number)])
        else:
            part, rest = name.split(".")
            published[f"{ends[part]}.{rest}"] = torch.tensor([float(number)])
    found = converted({"model.pth": torch_file(published)}, convert=ENTRY.convert, name=ENTRY.name)
    assert [(name, int(values)) for name, values in found.items()] == [(name, n) for n, name in enumerate(mine)]


@pytest.mark.parametrize("name", ["_blocks.16._bn0.bias", "_blocks.x._bn0.bias", "_head.bias", "_blocks.0", "blocks"])
def test_names_of_another_model_are_refused(tiny: Tiny, name: str) -> None:
    with pytest.raises(BackboneError, match="tiny: its file is not what it should be"):
        converted({"tiny.pth": torch_file({name: torch.zeros(1)})}, convert=tiny.entry.convert, name="tiny")
