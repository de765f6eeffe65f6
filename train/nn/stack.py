"""Several modules of one shape as one: their parameters side by side, and one pass through all of them at once.

Each keeps its own numbers: what it draws comes from its own generators, in the order in which it would alone, and its
probabilities of dropout are its own, too. Whatever draws otherwise is refused, so that no two share their chance.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

# The probabilities by which the template's dropouts are told apart.
_FIRST_MARK, _BETWEEN_MARKS = 0.25, 1e-9


class Numbers(nn.Module):
    """Settings that a module multiplies by or compares with, in which stacked modules may differ; not saved."""

    def __init__(self, values: Mapping[str, float]) -> None:
        super().__init__()
        for name, value in values.items():
            self.register_buffer(_plain(name), torch.tensor(value), persistent=False)

    def __getitem__(self, name: str) -> Float[Tensor, ""]:
        number: Tensor = getattr(self, _plain(name))
        return number


def _plain(name: str) -> str:
    return name.replace(".", "_")


@dataclass(frozen=True)
class Chance:
    """What a module draws from: `given` where it is handed a generator, and `own` where it is not, as in dropout."""

    given: torch.Generator
    own: torch.Generator


AxisOrders = Sequence[tuple[int, ...]]
"""For each draw of dropout in a pass its axes, the slowest in memory first."""


class Stack:
    """Modules of one shape, (stacked, ...) each of their tensors.

    Attributes:
        flat: all parameters, in the modules' order.
        buffers: by name.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._template = copy.deepcopy(modules[0])
        self._shapes = {name: parameter.shape for name, parameter in self._template.named_parameters()}
        self._takes = {name: parameter.requires_grad for name, parameter in self._template.named_parameters()}
        self.flat = torch.stack([flattened(module.parameters()) for module in modules])
        buffers = [dict(module.named_buffers()) for module in modules]
        self.buffers = {name: torch.stack([each[name] for each in buffers]) for name in buffers[0]}
        self._dropouts = _marked(self._template, modules)

    @property
    def sizes(self) -> list[int]:
        """How many numbers each parameter has, in their order."""
        return [shape.numel() for shape in self._shapes.values()]

    def leaves(self, flat: Float[Tensor, "stacked parameters"]) -> dict[str, Tensor]:
        """Parameters by name, in the memory of `flat`; those that a module trains take a gradient."""
        return {
            name: part.view(len(part), *shape).requires_grad_(self._takes[name])
            for part, (name, shape) in zip(
                torch.split(flat.detach(), self.sizes, dim=1), self._shapes.items(), strict=True
            )
        }

    def flattened(self, found: Mapping[str, Tensor | None]) -> Float[Tensor, "stacked parameters"]:
        """Gradients by name, in the order of `flat`; zeros where there are none."""
        count = len(self.flat)
        given = [(found.get(name), shape.numel()) for name, shape in self._shapes.items()]
        return torch.cat(
            [self.flat.new_zeros(count, size) if each is None else each.reshape(count, size) for each, size in given],
            dim=1,
        )

    def spread_out(self, found: Mapping[str, Tensor | None]) -> Float[Tensor, " parameters"]:
        """1 for the numbers of parameters that have a gradient, 0 for the others."""
        parts = [
            self.flat.new_full((size,), found.get(name) is not None)
            for name, size in zip(self._shapes, self.sizes, strict=True)
        ]
        return torch.cat(parts)

    def watch(self, run: Callable[..., Any], *inputs: Mapping[str, Tensor]) -> AxisOrders:
        """How what one module alone drops out lies in memory, which is the order in which it is drawn."""
        watched = _Watched()
        with torch.random.fork_rng(), watched:
            run(self._template.train(), *inputs)
        return watched.orders

    @contextmanager
    def drawing(self, chances: Sequence[Chance], orders: AxisOrders) -> Iterator[torch.Generator]:
        """Within the block, which is one pass, each module draws from its own chance, in the orders that `watch` saw;
        the generator that is yielded stands for the given ones."""
        with _DrawsOfEach(chances, self._dropouts, orders):
            yield torch.Generator(self.flat.device)

    def __call__(
        self,
        run: Callable[..., Any],
        leaves: Mapping[str, Tensor],
        *inputs: Mapping[str, Tensor],
        shared: bool,
        training: bool,
    ) -> Any:
        """`run(module, *inputs)` of all modules, which returns mappings of tensors; inputs are `shared` or stacked."""
        module = _Run(self._template.train(training), run)

        def one(parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], *inputs: Mapping[str, Tensor]) -> Any:
            state = {f"module.{name}": tensor for part in (parameters, buffers) for name, tensor in part.items()}
            return functional_call(module, state, inputs)

        in_dims = (0, 0, *(None if shared else 0 for _ in inputs))
        with _plain_attention():
            # What is drawn without training comes from a seed of the recipe's own, and is the same of each module.
            randomness = "different" if training else "same"
            return vmap(one, in_dims=in_dims, randomness=randomness)(dict(leaves), self.buffers, *inputs)


class _Run(nn.Module):
    """Lets `functional_call` put parameters into the module while something else than its `forward` runs."""

    def __init__(self, module: nn.Module, run: Callable[..., Any]) -> None:
        super().__init__()
        self.module = module
        self._run = run

    def forward(self, *inputs: Mapping[str, Tensor]) -> Any:
        return self._run(self.module, *inputs)


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Within the block attention is put together from products and a softmax: vmap has no rule for fused ones."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def flattened(tensors: Iterable[Tensor]) -> Float[Tensor, " numbers"]:
    """All numbers of some tensors in one row."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def _marked(template: nn.Module, modules: Sequence[nn.Module]) -> dict[float, tuple[float, ...]]:
    """Give each dropout of the template a probability of its own, by which its draws are known; and what that stands
    for: the probabilities of the modules, in their order."""
    found: dict[float, tuple[float, ...]] = {}
    for mine, *theirs in zip(template.modules(), *(module.modules() for module in modules), strict=True):
        for name in ("p", "dropout"):
            value = getattr(mine, name, None)
            if isinstance(value, float) and value > 0:
                mark = _FIRST_MARK + _BETWEEN_MARKS * len(found)
                setattr(mine, name, mark)
                found[mark] = tuple(getattr(each, name) for each in theirs)
    return found


class _Watched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes for each draw of dropout the order of its axes in memory, the slowest first."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.orders: list[tuple[int, ...]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _DROPOUTS:
            strides = args[0].stride()
            self.orders.append(tuple(sorted(range(len(strides)), key=lambda axis: -strides[axis])))
        return func(*args, **(kwargs or {}))


class _DrawsOfEach(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Draws of stacked modules, each from its own generators; below vmap, where the first axis is that of the stack."""

    def __init__(
        self,
        chances: Sequence[Chance],
        dropouts: Mapping[float, tuple[float, ...]],
        orders: AxisOrders,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._chances = chances
        self._kept = {1 - mark: (mark, probabilities) for mark, probabilities in dropouts.items()}
        self._orders = iter(orders)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        if func in _DROPOUTS and len(args) == 2 and args[1] in self._kept:
            out = args[0] if func is torch.ops.aten.bernoulli_.float else torch.empty_like(args[0])
            mark, probabilities = self._kept[args[1]]
            order = next(self._orders)
            for part, chance, probability in zip(out.unbind(), self._chances, probabilities, strict=True):
                drawn = part.new_empty([part.shape[axis] for axis in order])
                drawn.bernoulli_(1 - probability, generator=chance.own)
                # What follows divides by 1 - mark.
                torch.mul(drawn, (1 - mark) / (1 - probability), out=part.permute(order))
            return out
        if func in _FACTORIES and kwargs.get("generator") is not None and args[0][0] == len(self._chances):
            told = {name: value for name, value in kwargs.items() if name != "generator"}
            return torch.stack([func(args[0][1:], generator=chance.given, **told) for chance in self._chances])
        raise NotImplementedError(f"stacked modules cannot draw by {func}")


_DROPOUTS = (torch.ops.aten.bernoulli_.float, torch.ops.aten.bernoulli.p)
_FACTORIES = (torch.ops.aten.rand.generator, torch.ops.aten.randn.generator)
