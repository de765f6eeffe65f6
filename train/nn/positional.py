"""Nearest neighbours among vectors of about the same place, in the most alike of normal maps."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

_VALUES_AT_ONCE = 2**24  # similarities in memory at a time: 64 MB of float32


class PositionalNeighbours(nn.Module):
    """1 - the largest cosine of each vector of a map with those within `radius` places in the `alike` most alike maps
    of a bank, and the mean of that over blocks.

    Attributes:
        whole: a vector of length 1 for each map of the bank, by which maps are alike.
        bank_0, ...: of each block its vectors of length 1, (place, map, width); 0 where there is padding.
    """

    whole: Tensor

    def __init__(
        self, widths: Sequence[int], *, whole_width: int, grid: tuple[int, int], radius: int, alike: int
    ) -> None:
        """`grid`: rows and columns of places; one row, where they are steps."""
        super().__init__()
        self._grid, self._radius, self._alike = grid, radius, alike
        self._names = [f"bank_{number}" for number in range(len(widths))]
        self.register_buffer("whole", torch.zeros(0, whole_width))
        for name, width in zip(self._names, widths, strict=True):
            self.register_buffer(name, torch.zeros(grid[0] * grid[1], 0, width))
        self.register_load_state_dict_post_hook(_require_as_many)  # type: ignore[no-untyped-call]

    @property
    def banks(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._names]

    def fill(self, blocks: Sequence[Float[Tensor, "maps places _"]], whole: Float[Tensor, "maps whole_width"]) -> None:
        """Compare with these maps from now on, whose padding is 0."""
        device = self.whole.device
        self.whole = nn.functional.normalize(whole.to(device), dim=-1)
        for name, block in zip(self._names, blocks, strict=True):
            setattr(self, name, nn.functional.normalize(block.to(device), dim=-1).transpose(0, 1).contiguous())

    def forward(
        self, blocks: Sequence[Float[Tensor, "maps places _"]], whole: Float[Tensor, "maps whole_width"]
    ) -> Float[Tensor, "maps places"]:
        """In float32 whatever the arithmetic of the rest."""
        at_once = max(1, _VALUES_AT_ONCE // (self._grid[0] * self._grid[1] * len(self.whole)))
        with torch.autocast(whole.device.type, enabled=False):
            found = []
            for start in range(0, len(whole), at_once):
                part = slice(start, start + at_once)
                alikeness = nn.functional.normalize(whole[part].float(), dim=-1) @ self.whole.T
                maps = alikeness.topk(min(self._alike, len(self.whole)), dim=1).indices
                pairs = zip(blocks, self.banks, strict=True)
                each = [
                    1 - self._largest(block[part], bank).gather(2, maps.expand(bank.shape[0], -1, -1)).amax(dim=2)
                    for block, bank in pairs
                ]
                found.append(torch.stack(each).mean(dim=0).T)
            return torch.cat(found)

    def _largest(
        self, block: Float[Tensor, "maps places width"], bank: Float[Tensor, "places bank width"]
    ) -> Float[Tensor, "places maps bank"]:
        """Of each place in each map the largest cosine with the vectors around it, in each map of the bank."""
        queries = nn.functional.normalize(block.float(), dim=-1).transpose(0, 1)
        rows, columns = self._grid
        row, column = (
            axis.flatten() for axis in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        )
        largest = torch.full((len(queries), queries.shape[1], bank.shape[1]), -1.0, device=block.device)
        for down in range(-min(self._radius, rows - 1), min(self._radius, rows - 1) + 1):
            for right in range(-min(self._radius, columns - 1), min(self._radius, columns - 1) + 1):
                inside = (row + down >= 0) & (row + down < rows) & (column + right >= 0) & (column + right < columns)
                here = inside.nonzero().squeeze(1).to(block.device)
                cosines = torch.bmm(queries[here], bank[here + down * columns + right].transpose(1, 2))
                largest[here] = torch.maximum(largest[here], cosines)
        return largest


def _require_as_many(module: nn.Module, keys: object) -> None:
    assert isinstance(module, PositionalNeighbours)
    for bank in module.banks:
        if bank.shape[1] != len(module.whole):
            raise ValueError(
                f"a bank of it has {bank.shape[1]:,} maps, and there are {len(module.whole):,} to look among"
            )
