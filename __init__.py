"""Cache frozen foundation-model features of any samples once; train and evaluate on them in seconds."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import api

# Not its functions: `extract`, `train` and `evaluate` are packages here, and would take the functions' places as soon
# as anything imports them.
__all__ = ["api"]


def __getattr__(name: str) -> Any:
    """`weldcache.api`, imported when it is first asked for, as torch alone takes seconds; and the installed version."""
    if name == "api":
        from importlib import import_module

        return import_module(".api", __name__)
    if name == "__version__":
        from importlib.metadata import version

        return version("weldcache")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
