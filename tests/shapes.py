"""A pytest plugin: what a function of weldcache says of its arrays is checked by beartype whenever a test calls it.

jaxtyping's own plugin wraps every function, whether it says anything of an array or not, which doubles what the suite
costs; the types of all others are mypy's. Here only what names a shape is wrapped: functions, methods and dataclasses.
"""

import ast
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray, jaxtyped

_PACKAGE = "weldcache"
_LEFT_ALONE = (f"{_PACKAGE}.tests", f"{_PACKAGE}.testing")  # tests: pytest has its own way of reading those
_DECORATOR = "_with_its_shapes_checked"


def with_its_shapes_checked(thing: Any) -> Any:
    """The function or class, checked at run time if an annotation of its own holds the shape of an array."""
    annotations = vars(thing).get("__annotations__", {}) if isinstance(thing, type) else thing.__annotations__
    return jaxtyped(thing, typechecker=beartype) if any(map(_has_shape, annotations.values())) else thing


def _has_shape(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
        return True
    return any(map(_has_shape, _arguments(annotation)))


def _arguments(annotation: Any) -> Sequence[Any]:
    """What stands in the brackets of a type; a Callable's own arguments are a list among them."""
    inner = get_args(annotation)
    return [part for each in inner for part in (each if isinstance(each, list) else [each])]


class _Decorating(ast.NodeTransformer):
    """Puts the decorator where jaxtyping's does: under all others of a function, above all others of a class."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.decorator_list.append(ast.copy_location(ast.Name(_DECORATOR, ast.Load()), node))
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list.insert(0, ast.copy_location(ast.Name(_DECORATOR, ast.Load()), node))
        return self.generic_visit(node)


class _CheckingLoader(SourceFileLoader):
    def get_code(self, fullname: str) -> Any:
        """Compiled anew each time: the bytecode on the disk is that of users, without any check."""
        tree = _Decorating().visit(ast.parse(self.get_data(self.path)))
        return compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)

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
