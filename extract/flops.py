"""Counting the floating-point operations of a call, a multiply-add being two.

What is counted is matrix products, convolutions and attention; element-wise work is not, as is usual. On the meta
device a call costs neither memory nor arithmetic, so a full-size model is counted in about a second on any machine.
"""

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

import torch
from torch.utils.flop_counter import FlopCounterMode

Parameters = ParamSpec("Parameters")


def count_flops(function: Callable[Parameters, object], *args: Parameters.args, **kwargs: Parameters.kwargs) -> int:
    """FLOPs of `function(*args, **kwargs)`, which is run once, on whatever device its tensors are."""
    with FlopCounterMode(display=False, custom_mapping=dict(_FORMULAS)) as counter:
        function(*args, **kwargs)
    return int(counter.get_total_flops())


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    batch, heads, num_queries, width = query
    return 2 * batch * heads * num_queries * key[-2] * (width + value[-1])  # scores, then their sum of values


# PyTorch's own table knows the attention kernels of CUDA, and counts the CPU's as nothing.
_FORMULAS: Mapping[Any, Callable[..., int]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops
}
