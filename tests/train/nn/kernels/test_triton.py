"""The kernels for CUDA, where Triton is installed: run by its interpreter, and compiled without a GPU.

In processes of their own, because Triton reads its settings when a kernel is declared.
"""

import os
import subprocess
import sys

import pytest

from weldcache.train.nn.kernels.shared import is_installed

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not is_installed("triton"), reason="Triton is not installed")]


def run_python(code: str, *, interpret: bool) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1" if interpret else "0"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300, env=environment)


def test_scan_computes_what_the_torch_path_computes() -> None:
    """Lengths around the interval at which states are kept, channels around a block, an odd number of states."""
    run_python(
        """
import torch
from weldcache.train.nn.kernels.selective_scan import selective_scan_torch
from weldcache.train.nn.kernels.selective_scan_triton import differentiate, scan

generator = torch.Generator().manual_seed(0)
def normal(*shape):
    return torch.randn(shape, generator=generator)
for batch, time, channels, states in [(2, 37, 45, 16), (1, 16, 5, 3), (2, 2, 33, 1)]:
    arguments = [
        normal(batch, time, channels), normal(batch, time, channels) - 3, -normal(channels, states).exp(),
        normal(batch, time, states), normal(batch, time, states), normal(channels), normal(batch, time, channels),
    ]
    weights = normal(batch, time, channels)
    double = [argument.double().requires_grad_() for argument in arguments]
    expected = selective_scan_torch(*double)
    outputs, ungated, checkpoints = scan(arguments)
    gradients = differentiate(arguments, ungated=ungated, checkpoints=checkpoints, output_gradient=weights)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), double)
    for result, wanted in zip((outputs, *gradients), (expected, *expected_gradients), strict=True):
        scale = max(1.0, wanted.abs().max().item())
        torch.testing.assert_close(result.double(), wanted, rtol=0, atol=3e-6 * scale)
""",
        interpret=True,
    )


def test_power_mean_is_that_of_the_cpu() -> None:
    run_python(
        """
import torch
from weldcache.train.nn.pooling import token_power_mean
from weldcache.train.nn.kernels.token_pooling_triton import token_power_mean_triton

generator = torch.Generator().manual_seed(0)
for dtype in (torch.float16, torch.bfloat16, torch.float32):
    for exponent in (1.0, 3.3, 200.0):
        tokens = (20 * torch.randn((2, 3, 45, 70), generator=generator)).to(dtype)
        tokens[0, 0, :, 3] = -1
        for result, wanted in zip(
            token_power_mean_triton(tokens, torch.tensor(exponent)), token_power_mean(tokens, torch.tensor(exponent))
        ):
            torch.testing.assert_close(result, wanted, rtol=1e-5, atol=1e-5)
broken = torch.ones(1, 6, 5)
broken[0, 2, 1], broken[0, 3, 2] = torch.nan, torch.inf
assert token_power_mean_triton(broken, torch.tensor(3.0))[0].isfinite().tolist() == [[True, False, False, True, True]]
""",
        interpret=True,
    )


def test_kernels_compile_for_a_gpu() -> None:
    """Which the interpreter does not tell: it runs what the compiler refuses."""
    run_python(
        """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from weldcache.train.nn.kernels import selective_scan_triton, token_pooling_triton

SIZES = {"INTERVAL": 16, "CHANNELS": 32, "STATES": 16, "TOKENS": 32}
def compile_kernel(kernel, arrays="*fp32", **types):
    sizes = {name: SIZES[name] for name in kernel.arg_names if name in SIZES}
    signature = {name: "i32" if name.startswith("num_") else arrays for name in kernel.arg_names} | types
    source = ASTSource(fn=kernel, signature=signature | dict.fromkeys(sizes, "constexpr"), constexprs=sizes)
    assert triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]
compile_kernel(selective_scan_triton._scan_kernel)
compile_kernel(selective_scan_triton._differentiate_kernel)
for dtype in ("*fp16", "*bf16", "*fp32"):
    compile_kernel(token_pooling_triton._power_mean_kernel, tokens=dtype)
""",
        interpret=False,
    )
