"""Cache frozen foundation-model features of any samples once; train and evaluate on them in seconds."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import api

# Not its functions: `extract`, `train` and `evaluate` are packages here, and would take the functions' places as soon
# as anything imports them.
__all__ = ["api"]


def __getattr__(name: str) -> Any:
    """`weldcache.api`, imported when it is first asked for: torch alone takes seconds."""
    if name == "api":
        from importlib import import_module

        return import_module(".api", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
