"""The selective scan on the CPU in single precision: the compiled kernels on tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .cpu_threads import share_out_rows
from .selective_scan_fused import CHECKPOINT_INTERVAL
from .selective_scan_kernels import ScanArrays, ScanGradients, ScanResults, differentiate_rows, scan_rows


def scan(arguments: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, and what `differentiate` starts from; arguments as in `ScanArrays`, but the decay channels first."""
    arrays = _as_arrays(arguments)
    num_rows, num_steps, num_channels = arrays.inputs.shape
    num_checkpoints = -(-num_steps // CHECKPOINT_INTERVAL)
    results = ScanResults(
        outputs=np.empty_like(arrays.inputs),
        ungated=np.empty_like(arrays.inputs),
        checkpoints=np.empty((num_rows, num_checkpoints, len(arrays.state_decay), num_channels), np.float32),
    )
    share_out_rows(lambda first, last: scan_rows(first, last, arrays, results), num_rows=num_rows)
    outputs, ungated, checkpoints = (torch.from_numpy(result) for result in results)
    return outputs, ungated, checkpoints


def differentiate(
    arguments: Sequence[Tensor], *, ungated: Tensor, checkpoints: Tensor, output_gradient: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of the arguments of `scan`, given that of its outputs; shared ones are summed in the order of rows."""
    arrays = _as_arrays(arguments)
    num_rows = len(arrays.inputs)
    incoming = output_gradient.contiguous().numpy()
    results = ScanResults(outputs=incoming, ungated=ungated.numpy(), checkpoints=checkpoints.numpy())
    gradients = ScanGradients(
        inputs=np.empty_like(arrays.inputs),
        step_logits=np.empty_like(arrays.inputs),
        state_decay=np.empty((num_rows, *arrays.state_decay.shape), np.float32),
        input_weights=np.empty_like(arrays.input_weights),
        output_weights=np.empty_like(arrays.output_weights),
        skip_weights=np.empty((num_rows, *arrays.skip_weights.shape), np.float32),
        gate_logits=np.empty_like(arrays.inputs),
    )
    share_out_rows(
        lambda first, last: differentiate_rows(first, last, arrays, results, incoming, gradients), num_rows=num_rows
    )
    summed = gradients._replace(
        state_decay=np.ascontiguousarray(gradients.state_decay.sum(axis=0).T),
        skip_weights=gradients.skip_weights.sum(axis=0),
    )
    return tuple(torch.from_numpy(gradient) for gradient in summed)


def _as_arrays(arguments: Sequence[Tensor]) -> ScanArrays:
    inputs, step_logits, state_decay, *others = arguments
    tensors = (inputs, step_logits, state_decay.T, *others)
    return ScanArrays(*(tensor.detach().contiguous().numpy() for tensor in tensors))
