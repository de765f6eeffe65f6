"""Whether Triton, which comes with torch where torch comes for CUDA, can be imported."""

from functools import cache
from importlib.util import find_spec


@cache
def is_triton_installed() -> bool:
    """Without importing it, which takes a while."""
    return find_spec("triton") is not None
