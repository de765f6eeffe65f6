"""What kernels for the CPU are made of: how they are compiled, how threads share rows, and functions for their loops.

A kernel's innermost loop runs over channels, which are contiguous. The compiler turns it into vector instructions if
all that it calls is inlined, if nothing in it can raise, and if it can see that what it writes is not what it reads
next: so kernels keep what they work on in arrays of their own, whose rows have a width known when they are compiled.
They give up the interpreter's lock, so that threads run.

Importing this module costs the import of numba; kernels are compiled at their first call and kept on disk.
"""

import contextlib
import inspect
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar, cast

import numba
import numpy as np
import torch
from numpy.typing import NDArray

LOG2_E = np.float32(1.4426950408889634)
LN_2 = np.float32(0.6931471805599453)

_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)  # a plain 1.0 would widen a kernel to double precision
_LOWEST_EXPONENT = np.float32(-126)  # 2**-126 is the smallest normal number; the CPU is slow with smaller ones
_ROUNDING = np.float32(1.5 * 2**23 + 127)  # added, it leaves a whole number plus the bias of exponents in the low bits

_ROOT_HALF_BITS = np.int32(0x3F3504F3)

_Function = TypeVar("_Function", bound=Callable[..., object])
Array = NDArray[np.float32]


def compiled(function: _Function) -> _Function:
    """Compile a kernel at its first call; sums may be reordered, but NaN and infinity stay what they are."""
    dispatcher = numba.njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})(_plain(function))
    # Where no folder for compiled code can be written, each process compiles for itself.
    with contextlib.suppress(RuntimeError):
        dispatcher.enable_caching()
    return cast(_Function, dispatcher)


def compiled_part(function: _Function) -> _Function:
    """Compile part of a kernel into the kernel, where the widths of its arrays are known."""
    options = {"contract", "reassoc", "nsz"}
    return cast(_Function, numba.njit(error_model="numpy", inline="always", fastmath=options)(_plain(function)))


def inlined(function: _Function) -> _Function:
    """Compile a function of single numbers into the loop that calls it, with its sums in the order written."""
    options = {"contract", "nsz"}
    return cast(_Function, numba.njit(error_model="numpy", forceinline=True, fastmath=options)(_plain(function)))


def _plain(function: _Function) -> _Function:
    """Shape checks wrap every function while tests run."""
    return cast(_Function, inspect.unwrap(function))


@inlined
def power_of_two(exponent: np.float32) -> np.float32:
    """`2 ** exponent` below 2 ** 127, to 1e-7 of its value; polynomial of `exp2f` in S. Moshier's Cephes library.

    Written out because a call of the mathematics library would keep the loop around it from being vectorised.
    """
    if exponent < _LOWEST_EXPONENT:  # not max(), which would turn NaN into a number
        exponent = _LOWEST_EXPONENT
    rounded = np.float32(exponent + _ROUNDING)
    rest = exponent - (rounded - _ROUNDING)
    power = np.float32(1.535336188319500e-4)
    power = power * rest + np.float32(1.339887440266574e-3)
    power = power * rest + np.float32(9.618437357674640e-3)
    power = power * rest + np.float32(5.550332471162809e-2)
    power = power * rest + np.float32(2.402264791363012e-1)
    power = power * rest + np.float32(6.931472028550421e-1)
    power = power * rest + _ONE
    scale: np.float32 = np.int32(rounded.view(np.int32) << np.int32(23)).view(np.float32)
    result: np.float32 = np.float32(power * scale)
    return result


@inlined
def logarithm_of_two(value: np.float32) -> np.float32:
    """Base-2 logarithm of a positive, normal number, to 1e-7 of what the number is above or below a power of two."""
    bits = np.float32(value).view(np.int32)
    exponent = np.int32(np.int32(bits - _ROOT_HALF_BITS) >> np.int32(23))
    excess = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32) - _ONE  # from √½ - 1 to √2 - 1
    series = np.float32(-0.145811513)  # fitted there, to 2e-7 of the logarithm
    series = series * excess + np.float32(0.234042302)
    series = series * excess + np.float32(-0.248876885)
    series = series * excess + np.float32(0.287098706)
    series = series * excess + np.float32(-0.360239625)
    series = series * excess + np.float32(0.480923235)
    series = series * excess + np.float32(-0.721352816)
    series = series * excess + np.float32(1.4426949)
    result: np.float32 = np.float32(series * excess + np.float32(exponent))
    return result


@inlined
def sigmoid(value: np.float32) -> np.float32:
    """`1 / (1 + exp(-value))`, to 1e-7 of it down to -80, below which it stays tiny instead of vanishing."""
    small = power_of_two(np.float32(-abs(value) * LOG2_E))
    result: np.float32 = np.float32((_ONE if value >= _ZERO else small) / (_ONE + small))
    return result


@inlined
def softplus(value: np.float32) -> np.float32:
    """`log(1 + exp(value))`, positive also where that is tiny; the logarithm is twice an inverse hyperbolic tangent."""
    small = power_of_two(np.float32(-abs(value) * LOG2_E))
    ratio = np.float32(small / (_TWO + small))  # from 0 to 1/3
    square = ratio * ratio
    series = np.float32(0.14006244)  # fitted there, to 5e-9 of the logarithm
    series = series * square + np.float32(0.14000858)
    series = series * square + np.float32(0.20010766)
    series = series * square + np.float32(0.33333208)
    series = series * square + _ONE
    result: np.float32 = np.float32(_TWO * ratio * series + (value if value > _ZERO else _ZERO))
    return result


def share_out_rows(work: Callable[[int, int], None], *, num_rows: int) -> None:
    """Call `work(first, last)` for consecutive parts of the rows, as many at a time as torch has threads.

    Plain threads: no second OpenMP with its own ideas about forks and numbers of cores stands next to torch's, and
    `torch.set_num_threads` rules here as well. A row is computed by one thread, so that results are the same to the bit
    whatever the number of threads.
    """
    num_threads = max(1, min(torch.get_num_threads(), num_rows))
    (first, last), *others = pairwise(num_rows * part // num_threads for part in range(num_threads + 1))
    helpers = [_thread_pool(os.getpid(), num_threads).submit(work, *span) for span in others]
    work(first, last)
    for helper in helpers:
        helper.result()


@lru_cache(maxsize=1)
def _thread_pool(process_id: int, num_threads: int) -> ThreadPoolExecutor:
    """One pool for the process; a forked child, which inherits no threads, comes with another id and gets its own."""
    return ThreadPoolExecutor(num_threads - 1, thread_name_prefix=f"weldcache-kernels-{process_id}")
