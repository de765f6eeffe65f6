"""The selective scan as two operators of torch, forward and backward, with a compiled kernel for each kind of device.

Operators, because torch.compile then takes the kernels as they are instead of looking into them. They are
differentiable once.
"""

from typing import Any

import torch
from torch import Tensor

_ARGUMENTS = (
    "Tensor inputs, Tensor step_logits, Tensor state_decay, Tensor input_weights, Tensor output_weights, "
    "Tensor skip_weights, Tensor gate_logits"
)
_NUM_ARGUMENTS = 7
_GRADIENTS = ", ".join(["Tensor"] * _NUM_ARGUMENTS)
CHECKPOINT_INTERVAL = 16  # steps from one state that is kept for the way back to the next


def selective_scan_fused(*arguments: Tensor) -> Tensor:
    """The recurrence of `selective_scan.selective_scan` in float32; its arguments, in their order."""
    outputs: Tensor = _scan(*arguments)[0]
    return outputs


@torch.library.custom_op(
    "weldcache::selective_scan",
    mutates_args=(),
    device_types="cpu",
    schema=f"({_ARGUMENTS}) -> (Tensor, Tensor, Tensor)",
)
def _scan(*arguments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from .selective_scan_cpu import scan  # here, because numba takes a while to import, and Triton may be absent

    return scan(arguments)


@_scan.register_kernel("cuda")
def _scan_on_cuda(*arguments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from .selective_scan_triton import scan

    return scan(arguments)


@torch.library.custom_op(
    "weldcache::selective_scan_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"({_ARGUMENTS}, Tensor ungated, Tensor checkpoints, Tensor output_gradient) -> ({_GRADIENTS})",
)
def _differentiate(*tensors: Tensor) -> tuple[Tensor, ...]:
    from .selective_scan_cpu import differentiate

    *arguments, ungated, checkpoints, output_gradient = tensors
    return differentiate(arguments, ungated=ungated, checkpoints=checkpoints, output_gradient=output_gradient)


@_differentiate.register_kernel("cuda")
def _differentiate_on_cuda(*tensors: Tensor) -> tuple[Tensor, ...]:
    from .selective_scan_triton import differentiate

    *arguments, ungated, checkpoints, output_gradient = tensors
    return differentiate(arguments, ungated=ungated, checkpoints=checkpoints, output_gradient=output_gradient)


@_scan.register_fake
def _describe_scan(*arguments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    inputs, state_decay = arguments[0], arguments[2]
    num_rows, num_steps, num_channels = inputs.shape
    num_checkpoints = -(-num_steps // CHECKPOINT_INTERVAL)
    checkpoints = inputs.new_empty((num_rows, num_checkpoints, state_decay.shape[1], num_channels))
    return inputs.new_empty(inputs.shape), inputs.new_empty(inputs.shape), checkpoints


@_differentiate.register_fake
def _describe_gradients(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in tensors[:_NUM_ARGUMENTS])


def _keep_for_backward(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output[1:])
    ctx.set_materialize_grads(False)  # or zeros are made for the two outputs that are kept for backward alone


def _backward(ctx: Any, output_gradient: Tensor, *unused: None) -> tuple[Tensor, ...]:
    gradients: tuple[Tensor, ...] = _differentiate(*ctx.saved_tensors, output_gradient)
    return gradients


_scan.register_autograd(_backward, setup_context=_keep_for_backward)
