"""A pytest plugin: what a function of weldcache says of its arrays is checked by beartype whenever a test calls it.

jaxtyping's own plugin wraps every function, whether it says anything of an array or not, which doubles what the suite
costs; the types of all others are mypy's. Here only what names a shape is wrapped: functions, methods and dataclasses,
and of a function's calls in one test only the first ten are checked, or as many as Hypothesis tries examples: what a
loop calls more often took up to a quarter of a test's time, and said the same each time.
"""

import ast
import marshal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from functools import cache, wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import cache_from_source, source_hash
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from beartype import beartype
from jaxtyping import AbstractArray, jaxtyped

_PACKAGE = "weldcache"
_LEFT_ALONE = (f"{_PACKAGE}.tests", f"{_PACKAGE}.testing")  # tests: pytest has its own way of reading those
_DECORATOR = "_with_its_shapes_checked"
_CHECKED_CALLS = 10  # of a function in each test
_EXAMPLES = 100  # of a test by Hypothesis, each of which has shapes of its own
_left = defaultdict[Callable[..., Any], int](lambda: _CHECKED_CALLS)  # calls that are still to be checked in this test


def pytest_runtest_setup(item: pytest.Item) -> None:
    _left.clear()
    by_hypothesis = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    _left.default_factory = lambda: _EXAMPLES if by_hypothesis else _CHECKED_CALLS


def with_its_shapes_checked(thing: Any) -> Any:
    """The function or class, checked at run time if an annotation of its own holds the shape of an array."""
    annotations = vars(thing).get("__annotations__", {}) if isinstance(thing, type) else thing.__annotations__
    if not any(map(_has_shape, annotations.values())):
        return thing
    if not isinstance(thing, type):
        return _checked(thing)
    if is_dataclass(thing):
        thing.__init__ = _checked(thing.__init__)  # type: ignore[method-assign]
    return thing


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    @cache
    def strict() -> Callable[..., Any]:
        """Made at the first call: most of what a test imports it never calls."""
        return jaxtyped(function, typechecker=beartype)

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if not _left[function]:
            return function(*arguments, **named)
        _left[function] -= 1
        return strict()(*arguments, **named)

    return call


def _has_shape(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
        return True
    return any(map(_has_shape, _arguments(annotation)))


def _arguments(annotation: Any) -> Sequence[Any]:
    """What stands in the brackets of a type; a Callable's own arguments are a list among them."""
    inner = get_args(annotation)
    return [part for each in inner for part in (each if isinstance(each, list) else [each])]


def _definitions(holder: ast.AST) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Functions and classes at any depth; they stand among statements, so no expression need be looked through."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(holder, field, ())
        for statement in inner if isinstance(inner, list) else ():
            if isinstance(statement, ast.FunctionDef | ast.ClassDef):
                yield statement
            yield from _definitions(statement)


def _decorate(node: ast.FunctionDef | ast.ClassDef) -> None:
    """Put the decorator where jaxtyping's stands: under all others of a function, above all others of a class."""
    place = len(node.decorator_list) if isinstance(node, ast.FunctionDef) else 0
    node.decorator_list.insert(place, ast.copy_location(ast.Name(_DECORATOR, ast.Load()), node))


class _CheckingLoader(SourceFileLoader):
    def get_code(self, fullname: str) -> Any:
        """Bytecode of its own, beside that of users, which checks nothing; for this source and this plugin alone."""
        source, cached = self.get_data(self.path), cache_from_source(self.path, optimization="shapes")
        key = source_hash(source + Path(__file__).read_bytes())
        with suppress(OSError):
            known = self.get_data(cached)
            if known.startswith(key):
                return marshal.loads(known[len(key) :])
        tree = ast.parse(source)
        for definition in list(_definitions(tree)):
            _decorate(definition)
        code = compile(tree, self.path, "exec", dont_inherit=True)
        if not sys.dont_write_bytecode:
            self.set_data(cached, key + marshal.dumps(code))
        return code

    def exec_module(self, module: ModuleType) -> None:
        vars(module)[_DECORATOR] = with_its_shapes_checked
        super().exec_module(module)


class _CheckingFinder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not fullname.startswith(f"{_PACKAGE}.") or fullname.startswith(_LEFT_ALONE):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _CheckingLoader(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, _CheckingFinder())
