"""`onnx:FILE`: a model as an ONNX file, run by onnxruntime on the CPU; its maps are the outputs that the file declares.

The file is one whole: numbers in other files, functions of its own and operations that ONNX does not define are
refused. It says nothing of how pictures are made ready for it, so the settings do.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...documents import Json
from ...errors import BackboneError, reason_of
from ...wording import with_extra, written_path
from ..weights.onnx_file import check_stands_alone
from .checkpoint import LOCAL_REVISION, hash_file
from .preprocessing import PixelPreprocessing
from .pretrained import Models
from .spec import BackboneSpec, Placement, checked_blocks
from .token_maps import ARRAYS, Asked, Outline, TokenMap, TokenMapBackbone, outline_of, token_map

_NUMBERS = ("tensor(float)", "tensor(float16)")


class OnnxSource:
    """`MapSource` of an ONNX file: in float32 on the CPU, whatever the others run in."""

    placement = Placement(device=torch.device("cpu"), dtype=torch.float32)

    def __init__(self, path: Path, *, runtime: Any) -> None:
        self.weights = hash_file(path)
        self._path = path
        self._runtime = runtime
        self._session: Any = None

    def load(self) -> None:
        if self._session is None:
            self._session = self._start(self._options())

    def maps(self, pictures: Float[Tensor, "pictures 3 size size"]) -> Mapping[str, TokenMap]:
        return {
            name: token_map(values, name=f"{self._path.name}: {name}", side=None)
            for name, values in self._outputs(pictures).items()
        }

    def outline(self, size: int) -> Outline:
        """Found by running it once: a file has no outline without its weights."""
        picture = torch.zeros((1, 3, size, size))
        return outline_of(self.maps(picture), flops=self._count_flops(picture))

    def _options(self) -> Any:
        options = self._runtime.SessionOptions()
        options.log_severity_level = 4  # what fails is told below
        options.intra_op_num_threads = torch.get_num_threads()
        return options

    def _start(self, options: Any) -> Any:
        self.weights.check_unchanged()
        try:
            session = self._runtime.InferenceSession(
                self._path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common class but this
            raise BackboneError(f"{self._path}: cannot be run by onnxruntime ({error}).") from error
        self.weights.check_unchanged()
        return session

    def _names(self) -> list[str]:
        """Outputs that may be maps: of three or four axes."""
        names = [
            output.name
            for output in self._session.get_outputs()
            if len(output.shape) in (3, 4) and output.type in _NUMBERS
        ]
        if not names:
            raise BackboneError(f"{self._path}: declares no output of 3 or 4 axes; export the model with its maps.")
        return names

    def _outputs(self, pictures: Tensor) -> dict[str, Tensor]:
        self.load()
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            raise BackboneError(f"{self._path}: takes other inputs than one of pictures in float32.")
        # A file that was exported for one picture is run for one at a time.
        single = inputs[0].shape[0] == 1
        parts = [picture[None] for picture in pictures] if single else [pictures]
        names = self._names()
        try:
            made = [self._session.run(names, {inputs[0].name: part.contiguous().numpy()}) for part in parts]
        except Exception as error:
            raise BackboneError(
                f"{self._path}: does not take pictures of the shape {list(parts[0].shape)} ({error}); state its size."
            ) from error
        return {
            name: torch.from_numpy(np.concatenate(values)).float()
            for name, values in zip(names, zip(*made, strict=True), strict=True)
        }

    def _count_flops(self, picture: Tensor) -> int:
        """What the matrix products and convolutions of one picture take, by the shapes that a run of them has."""
        with tempfile.TemporaryDirectory() as folder:
            options = self._options()
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "run")
            options.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
            session = self._start(options)
            session.run(None, {session.get_inputs()[0].name: picture.numpy()})
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return sum(_operations(event["args"]) for event in events if "output_type_shape" in event.get("args", {}))


def _operations(node: Mapping[str, Any]) -> int:
    """Floating-point operations of one run of a node, a multiply-add being two."""
    kind = node.get("op_name")
    if kind not in ("Conv", "MatMul", "Gemm"):
        return 0
    inputs, (output, *_) = _shapes(node["input_type_shape"]), _shapes(node["output_type_shape"])
    if kind == "Conv":
        return 2 * prod(output) * prod(inputs[1][1:])
    inner = inputs[0][-1] if kind == "MatMul" else prod(inputs[1]) // output[-1]
    return 2 * prod(output) * inner


def _shapes(told: Sequence[Mapping[str, Sequence[int]]]) -> list[tuple[int, ...]]:
    """Shapes of arrays, each of which is told by its type."""
    return [tuple(shape) for each in told for shape in each.values()]


def load_onnx(asked: Asked, *, models: Models) -> TokenMapBackbone:
    """The model in a file, described; raises BackboneError where it cannot be run or does not offer what is asked."""
    path = _checked(asked)
    if asked.size is None or asked.normalisation is None:
        raise BackboneError(
            f"{asked.setting} = onnx:{path.name}: a file of ONNX does not say what pixels it takes; state "
            f"{asked.key}.size, {asked.key}.mean and {asked.key}.std."
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise BackboneError(
            f"{asked.setting} = onnx:{path.name}: needs onnxruntime ({error}): {with_extra('onnx')}."
        ) from error
    source = models.once((OnnxSource, path.resolve()), lambda: OnnxSource(path, runtime=onnxruntime))
    pixels = PixelPreprocessing(asked.size, *asked.normalisation)
    outline = source.outline(pixels.size)
    blocks = checked_blocks(
        asked.blocks, num_blocks=len(outline.shapes), model=path.name, key=asked.key, names=outline.names
    )
    output: dict[str, Json] = {"blocks": [*outline.names], "onnxruntime": onnxruntime.__version__, **ARRAYS}
    spec = BackboneSpec(
        family="onnx",
        model=f"onnx:{path.name}",
        revision=LOCAL_REVISION,
        weights_sha256=source.weights.sha256,
        random_weights=False,
        arithmetic="float32",
        preprocessing=pixels.to_manifest(),
        output=output,
    )
    return TokenMapBackbone(source, outline=outline, blocks=blocks, pixels=pixels, spec=spec)


def _checked(asked: Asked) -> Path:
    """The file, which stands alone."""
    try:
        path = written_path(asked.name)
        check_stands_alone(path.read_bytes())
    except OSError as error:
        raise BackboneError(
            f"{asked.setting} = onnx:{asked.name}: cannot be read ({reason_of(error)}); name the model's file."
        ) from error
    except ValueError as error:
        raise BackboneError(
            f"{asked.setting} = onnx:{asked.name}: no ONNX file that is read here ({error}); export the model into "
            "one file, with the standard operations alone, as torch.onnx.export does with external_data=False."
        ) from error
    return path
