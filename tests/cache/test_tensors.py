"""A cast to a storage type loses no value in silence."""

import numpy as np
import pytest
import torch

from weldcache.cache.arrays import ArraySpec
from weldcache.cache.tensors import to_storage
from weldcache.errors import PrecisionError

TOKENS = ArraySpec("tokens", (4, 6), ("time", "dim"), "float16")
OWNERS = ["day/001, video", "day/002, video", "day/003, video"]


def tokens() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(3, 4, 6)).astype(np.float32))


def test_float16_is_numpys() -> None:
    np.testing.assert_array_equal(to_storage(tokens(), TOKENS, owners=OWNERS), tokens().numpy().astype(np.float16))


@pytest.mark.parametrize("sign", [1, -1])
def test_overflow_names_weld_array_and_mend(sign: int) -> None:
    values = tokens()
    values[1, 2, 3] = sign * 70_000
    with pytest.raises(PrecisionError, match=r"day/002, video, array tokens: .*70000.*65504.*cache.dtype=bfloat16"):
        to_storage(values, TOKENS, owners=OWNERS)


def test_the_largest_value_that_fits_is_stored() -> None:
    values = tokens()
    values[0, 0, 0] = 65_504
    assert to_storage(values, TOKENS, owners=OWNERS)[0, 0, 0] == 65_504


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_values_that_are_not_finite_are_refused(value: float, dtype: str) -> None:
    values = tokens()
    values[2, 0, 0] = value
    with pytest.raises(PrecisionError, match="day/003, video, array tokens: the features hold NaN or infinity"):
        to_storage(values, ArraySpec("tokens", (4, 6), ("time", "dim"), dtype), owners=OWNERS)  # type: ignore[arg-type]


def test_nan_is_a_value_where_the_array_says_so() -> None:
    never = torch.full((1, 2), torch.nan, dtype=torch.float64)
    spec = ArraySpec("arc_on", (2,), ("bound",), "float64", allows_nan=True)
    assert np.isnan(to_storage(never, spec, owners=["day/001"])).all()


def test_bfloat16_is_kept_as_the_bits_that_torch_rounds_to() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(scale=1e4, size=(1, 4096)).astype(np.float32))
    bits = to_storage(values, ArraySpec("a", (4096,), ("dim",), "bfloat16"), owners=["day/001"])
    assert bits.dtype == np.uint16
    assert torch.equal(torch.from_numpy(bits).view(torch.bfloat16), values.bfloat16())


def test_another_shape_is_a_fault_of_the_program() -> None:
    with pytest.raises(ValueError, match=r"tokens: shape \(3, 4, 6\), the store expects"):
        to_storage(tokens(), TOKENS, owners=OWNERS[:2])
