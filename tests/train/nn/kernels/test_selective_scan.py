"""The selective scan: each path against the recurrence written out in double precision."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numba
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from weldcache.train.nn.kernels.cpu_kernels import compiled
from weldcache.train.nn.kernels.selective_scan import (
    linear_recurrence,
    selective_scan,
    selective_scan_cuda,
    selective_scan_torch,
)

NAMES = (
    "inputs",
    "step_logits",
    "state_decay",
    "input_weights",
    "output_weights",
    "skip_weights",
    "gate_logits",
)


def make_arguments(
    batch: int, time: int, channels: int, states: int, *, seed: int = 0, largest_step: float = 0.5
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return {
        "inputs": normal(batch, time, channels),
        "step_logits": as_logits(torch.rand(batch, time, channels, generator=generator) * largest_step + 1e-6),
        "state_decay": -torch.exp(normal(channels, states)),
        "input_weights": normal(batch, time, states),
        "output_weights": normal(batch, time, states),
        "skip_weights": normal(channels),
        "gate_logits": 3 * normal(batch, time, channels),
    }


def as_logits(step_sizes: Tensor) -> Tensor:
    """The inverse of softplus."""
    return step_sizes + torch.log(-torch.expm1(-step_sizes))


def with_gradients(arguments: dict[str, Tensor], *, dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: tensor.detach().to(dtype, copy=True).requires_grad_() for name, tensor in arguments.items()}


def scan_step_by_step(arguments: dict[str, Tensor]) -> Tensor:
    x, logits, decay, b, c, d, z = (arguments[name] for name in NAMES)
    step = torch.log(1 + torch.exp(logits))
    state = x.new_zeros(x.shape[0], x.shape[2], decay.shape[1])
    outputs = []
    for time in range(x.shape[1]):
        delta = step[:, time, :, None]
        state = torch.exp(delta * decay) * state + delta * b[:, time, None, :] * x[:, time, :, None]
        output = (state * c[:, time, None, :]).sum(dim=-1) + d * x[:, time]
        outputs.append(output * z[:, time] * torch.sigmoid(z[:, time]))
    return torch.stack(outputs, dim=1)


def gradients_of(outputs: Tensor, arguments: dict[str, Tensor]) -> dict[str, Tensor]:
    weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(9)).to(outputs.dtype)
    gradients = torch.autograd.grad((outputs * weights).sum(), list(arguments.values()), materialize_grads=True)
    return dict(zip(NAMES, gradients, strict=True))


shapes = st.tuples(st.integers(1, 3), st.integers(1, 50), st.integers(1, 37), st.integers(1, 17))
wide_shapes = st.tuples(st.just(2), st.integers(1, 20), st.sampled_from([127, 128, 129, 300]), st.integers(1, 3))


@given(shape=shapes, seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_torch_path_is_the_recurrence(shape: tuple[int, int, int, int], seed: int) -> None:
    arguments = with_gradients(make_arguments(*shape, seed=seed), dtype=torch.float64)
    outputs, expected = selective_scan(**arguments), scan_step_by_step(arguments)
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)
    expected_gradients = gradients_of(expected, arguments)
    for name, gradient in gradients_of(outputs, arguments).items():
        torch.testing.assert_close(gradient, expected_gradients[name], rtol=1e-10, atol=1e-10)


@given(shape=shapes | wide_shapes, seed=st.integers(0, 1000), largest_step=st.sampled_from([0.01, 0.5, 20.0]))
@settings(max_examples=50)
def test_cpu_kernel_is_the_torch_path(shape: tuple[int, int, int, int], seed: int, largest_step: float) -> None:
    """Below, at and above the interval at which states are kept, and the number of channels that go together."""
    arguments = make_arguments(*shape, seed=seed, largest_step=largest_step)
    single, double = with_gradients(arguments, dtype=torch.float32), with_gradients(arguments, dtype=torch.float64)
    outputs, expected = selective_scan(**single), selective_scan_torch(**double)
    assert outputs.dtype == torch.float32
    assert_close_in_single_precision(outputs, expected)
    expected_gradients = gradients_of(expected, double)
    for name, gradient in gradients_of(outputs, single).items():
        assert_close_in_single_precision(gradient, expected_gradients[name])


def assert_close_in_single_precision(result: Tensor, expected: Tensor) -> None:
    assert result.shape == expected.shape
    # Rounding adds up over 300 steps; 4.3e-6 of the largest value has been seen.
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=1e-5 * max(1.0, expected.abs().max().item()))


def test_gradients_of_the_torch_path_are_those_of_its_values() -> None:
    arguments = with_gradients(make_arguments(2, 5, 3, 2), dtype=torch.float64)

    def scan(*tensors: Tensor) -> Tensor:
        return selective_scan(tensors[0], **dict(zip(NAMES[1:], tensors[1:], strict=True)))

    assert torch.autograd.gradcheck(scan, tuple(arguments.values()))
    assert torch.autograd.gradgradcheck(scan, tuple(arguments.values()))


def test_recurrence_of_ones_counts() -> None:
    ones = torch.ones(1, 6, 1)
    assert linear_recurrence(ones, drive=ones).flatten().tolist() == [1, 2, 3, 4, 5, 6]
    assert linear_recurrence(0.5 * ones, drive=ones)[0, :3].flatten().tolist() == [1, 1.5, 1.75]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decay_that_underflows_forgets_and_stays_finite(dtype: torch.dtype) -> None:
    arguments = make_arguments(1, 40, 3, 2)
    arguments["state_decay"] = torch.full((3, 2), -1e6)
    arguments["step_logits"] = torch.ones(1, 40, 3)
    tensors = with_gradients(arguments, dtype=dtype)
    outputs = selective_scan(**tensors)
    x, b, c = tensors["inputs"], tensors["input_weights"], tensors["output_weights"]
    step = torch.nn.functional.softplus(torch.tensor(1.0))
    memoryless = step * x * (b * c).sum(dim=-1, keepdim=True) + tensors["skip_weights"] * x
    expected = memoryless * torch.nn.functional.silu(tensors["gate_logits"])
    torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-5, check_dtype=False)
    assert all(gradient.isfinite().all() for gradient in gradients_of(outputs, tensors).values())


@pytest.mark.parametrize("name", NAMES)
def test_nan_is_not_hidden(name: str) -> None:
    arguments = make_arguments(1, 20, 2, 2)
    arguments[name].flatten()[0] = torch.nan
    assert selective_scan(**arguments).isnan().any()


def test_inputs_that_are_not_contiguous() -> None:
    arguments = with_gradients(make_arguments(2, 19, 6, 4), dtype=torch.float32)
    strided = {name: torch.stack((tensor, tensor), dim=-1)[..., 0] for name, tensor in arguments.items()}
    assert torch.equal(selective_scan(**strided), selective_scan(**arguments))
    expected = gradients_of(selective_scan(**arguments), arguments)
    for name, gradient in gradients_of(selective_scan(**strided), arguments).items():
        assert torch.equal(gradient, expected[name])


def test_same_bits_for_any_number_of_threads() -> None:
    arguments = with_gradients(make_arguments(5, 40, 70, 16), dtype=torch.float32)
    threads = torch.get_num_threads()
    results = []
    try:
        for num_threads in (1, 2, 3, 8, 1):
            torch.set_num_threads(num_threads)
            outputs = selective_scan(**arguments)
            results.append([outputs, *gradients_of(outputs, arguments).values()])
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(torch.equal(tensor, first) for tensor, first in zip(result, results[0], strict=True))


def test_callers_in_several_threads_do_not_disturb_one_another() -> None:
    batches = [make_arguments(4, 64, 32, 8, seed=seed) for seed in range(8)]
    expected = [selective_scan(**batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda batch: selective_scan(**batch), batches))
    assert all(torch.equal(result, wanted) for result, wanted in zip(results, expected, strict=True))


def test_half_precision_is_computed_in_single() -> None:
    arguments = {name: tensor.bfloat16() for name, tensor in make_arguments(2, 30, 8, 4).items()}
    outputs = selective_scan(**arguments)
    expected = selective_scan(**{name: tensor.float() for name, tensor in arguments.items()})
    assert outputs.dtype == torch.bfloat16
    assert torch.equal(outputs, expected.bfloat16())


def test_autocast_does_not_lower_the_precision_of_the_torch_path() -> None:
    arguments = make_arguments(2, 30, 8, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = selective_scan_torch(**arguments)
    assert torch.equal(outputs, selective_scan_torch(**arguments))


def test_mamba_ssm_gets_its_own_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a stand-in with the documented interface: (batch, channels, time) and (batch, states, time)."""

    def selective_scan_fn(
        u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, *, z: Tensor, delta_softplus: bool
    ) -> Tensor:
        assert delta_softplus
        arguments = (u.mT, delta.mT, A, B.mT, C.mT, D, z.mT)
        return scan_step_by_step(dict(zip(NAMES, arguments, strict=True))).mT

    interface = ModuleType("mamba_ssm.ops.selective_scan_interface")
    interface.selective_scan_fn = selective_scan_fn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    arguments = make_arguments(2, 11, 6, 4)
    torch.testing.assert_close(selective_scan_cuda(**arguments), scan_step_by_step(arguments))


def test_kernels_work_where_compiled_code_cannot_be_kept() -> None:
    """A function without a file has no folder for its compiled code either, as with a read-only installation."""
    namespace: dict[str, Callable[[float], float]] = {}
    exec(compile("def double(value): return 2 * value", "<nowhere>", "exec"), namespace)
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(namespace["double"])
    assert compiled(namespace["double"])(3.0) == 6.0


def run_python(code: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120, env=dict(os.environ))


@pytest.mark.slow
def test_numba_is_imported_at_the_first_scan_only_and_a_forked_child_scans_with_threads_of_its_own() -> None:
    run_python(
        "import os, sys, torch; from weldcache.train.recipes.causal_film.network import CausalFilm\n"
        "assert 'numba' not in sys.modules\n"
        "from weldcache.train.nn.mamba import Mamba; Mamba(4)(torch.ones(1, 3, 4)); assert 'numba' in sys.modules\n"
        "from weldcache.train.nn.kernels.selective_scan import selective_scan\n"
        "torch.set_num_threads(2)\n"
        "def scan():\n"
        "    x, weights = torch.ones(4, 20, 3), torch.ones(4, 20, 2)\n"
        "    return selective_scan(x, step_logits=x, state_decay=-torch.ones(3, 2), input_weights=weights,\n"
        "                          output_weights=weights, skip_weights=torch.ones(3), gate_logits=x).tolist()\n"
        "expected = scan()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if scan() == expected else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0"
    )
