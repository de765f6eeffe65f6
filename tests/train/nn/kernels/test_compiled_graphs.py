"""The kernels inside graphs that torch compiles: taken as they are, with their gradients.

In a process of its own, because torch cannot look through the shape checks that wrap every function in the tests.
"""

import os
import subprocess
import sys

import pytest

CODE = """
import torch
from weldcache.train.nn.pooling import GeM
from weldcache.train.nn.mamba import Mamba
from weldcache.train.nn.pooling import MeanPooling

torch.manual_seed(0)
def run(module, call, inputs):
    module.zero_grad()
    outputs = call(inputs)
    if outputs.requires_grad:
        outputs.square().sum().backward()
    return outputs.detach(), *(parameter.grad.clone() for parameter in module.parameters())
for module, inputs in [
    (Mamba(8), torch.randn(2, 21, 8)),
    (GeM(), torch.rand(2, 9, 5).half()),
    (MeanPooling(), torch.rand(2, 9, 5).bfloat16()),
]:
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for result, expected in zip(run(module, compiled, inputs), run(module, module, inputs), strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)
    exported = torch.export.export(module.eval(), (inputs,))
    assert "weldcache" not in exported.graph_module.code  # a program of torch's own operators runs anywhere
    torch.testing.assert_close(exported.module()(inputs), module(inputs), rtol=1e-5, atol=1e-6)

# What the operators tell torch of their results, shapes and strides, is true of them.
wide, states, channels = torch.randn(2, 21, 8), torch.randn(2, 21, 3), torch.randn(8)
scanned = (wide, wide, -torch.rand(8, 3), states, states, channels, wide)
for operator, arguments in [
    ("selective_scan", scanned),
    ("selective_scan_backward", (*scanned, wide, torch.randn(2, 2, 3, 8), wide)),
    ("causal_convolution", (wide, torch.randn(8, 4), channels)),
    ("causal_convolution_backward", (wide, torch.randn(8, 4), channels, wide)),
    ("token_mean", (wide.half(),)),
    ("token_power_mean", (wide.half(), torch.tensor(3.0))),
]:
    with torch.no_grad():
        torch.library.opcheck(getattr(torch.ops.weldcache, operator), arguments)
"""


@pytest.mark.slow
def test_compiled_and_exported_modules_compute_the_same() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True, timeout=300, env=dict(os.environ))
