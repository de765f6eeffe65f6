"""What does it save to find farthest points and neighbours once, and not at every step?

One training step of PointNet++, forward and backward, on 8 clouds of 1024 points with 128 and 32 centres of 32
neighbours each, as the preset modelnet has it (width 64), and with the width of its demo. Cached: centres and
neighbours come with the batch. Every step: they are found in torch first, as implementations of PointNet++ do, for the
whole batch at once. Both find the same neighbourhoods.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from harness import measure_in_turns, ratio_of_medians, report
from torch import Tensor

from weldcache.extract.decode.cloud_geometry import farthest_points, in_unit_sphere, neighbours_within
from weldcache.train.nn.point_sets import PointNetPlusPlus, chosen

CACHED, EVERY_STEP, GEOMETRY = "neighbourhoods cached", "found every step", "finding them alone"
BATCH, POINTS = 8, 1024
WIDTHS = (64, 16)
CENTRES, RADII, NEIGHBOURS = (128, 32), (0.25, 0.5), (32, 32)


def farthest(points: Tensor, num: int) -> Tensor:
    """Numbers of farthest points of each cloud, beginning with the farthest from the mean."""
    clouds = torch.arange(len(points))
    last = (points - points.mean(dim=1, keepdim=True)).square().sum(dim=2).argmax(dim=1)
    nearest = torch.full(points.shape[:2], torch.inf)
    order = []
    for _ in range(num):
        order.append(last)
        nearest = torch.minimum(nearest, (points - points[clouds, last].unsqueeze(1)).square().sum(dim=2))
        last = nearest.argmax(dim=1)
    return torch.stack(order, dim=1)


def within(points: Tensor, centres: Tensor, *, radius: float, num: int) -> Tensor:
    """Numbers of the nearest points of each centre within a radius, the nearest again where there are fewer."""
    found = torch.cdist(centres, points).topk(num, largest=False)
    return torch.where(found.values < radius, found.indices, found.indices[..., :1])


def find(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The order of farthest points, and the neighbours of both levels."""
    order = farthest(points, CENTRES[0])
    centres = chosen(points, order)
    first = within(points, centres, radius=RADII[0], num=NEIGHBOURS[0])
    second = within(centres, centres[:, : CENTRES[1]], radius=RADII[1], num=NEIGHBOURS[1])
    return order, first, second


def found_once(clouds: np.ndarray) -> Sequence[Tensor]:
    """The same by stage one's functions, cloud by cloud."""
    rows = []
    for cloud in clouds:
        order = farthest_points(cloud, CENTRES[0])
        centres = cloud[order]
        first = neighbours_within(cloud, centres, radius=RADII[0], num=NEIGHBOURS[0])
        rows.append(
            (order, first, neighbours_within(centres, centres[: CENTRES[1]], radius=RADII[1], num=NEIGHBOURS[1]))
        )
    return [torch.from_numpy(np.stack(arrays)).int() for arrays in zip(*rows, strict=True)]


def main() -> None:
    """Measure and print."""
    rng = np.random.default_rng(0)
    clouds = np.stack(
        [in_unit_sphere(rng.normal(size=(POINTS, 3)) * rng.uniform(0.2, 1, size=3)) for _ in range(BATCH)]
    )
    points, cached = torch.from_numpy(clouds).float(), found_once(clouds)
    for one, other in zip(cached, find(points), strict=True):
        assert (one == other).float().mean() > 0.999, "the two sides find other neighbourhoods"
    networks = {width: PointNetPlusPlus(width) for width in WIDTHS}

    def step(width: int, neighbourhoods: Sequence[Tensor]) -> None:
        networks[width].zero_grad()
        networks[width](points, *neighbourhoods).sum().backward()

    def find_and_step(width: int) -> None:
        step(width, find(points))

    sides: dict[str, Callable[[], object]] = {GEOMETRY: lambda: find(points)}
    for width in WIDTHS:
        sides |= {
            f"width {width}, {CACHED}": partial(step, width, cached),
            f"width {width}, {EVERY_STEP}": partial(find_and_step, width),
        }
    seconds = measure_in_turns(sides, num_rounds=9)
    report(
        "cached_geometry",
        seconds=seconds,
        ratios={
            f"width_{width}": ratio_of_medians(
                seconds, slow=f"width {width}, {EVERY_STEP}", fast=f"width {width}, {CACHED}"
            )
            for width in WIDTHS
        },
        targets={},
    )


if __name__ == "__main__":
    main()
