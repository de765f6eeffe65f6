"""What do the coreset and the nearest neighbours of a bank of patches cost, in time and memory?

Three sides of each, on the same vectors, which lie in clusters as patches do:

- ours: `greedy_coreset`, which compares random projections of 128 numbers by products, and `NearestNeighbours`, which
  searches the bank in blocks and takes the distances of what it finds from the differences;
- plain: the textbook loop, by the differences of whole vectors from the last one chosen, and all distances at once;
- anomalib's algorithm (2.x), written from its description: vectors projected sparsely to as many numbers as Johnson
  and Lindenstrauss ask for at an error of 0.9, the norms of differences from the last one chosen; and all distances at
  once, by products. Not the library itself: its backbones, data modules and trainer have no part in this.

Where faiss is installed, its exact search (IndexFlatL2) is a fourth side of the neighbours.

Time is of all sides in turns in one process. Memory is the most that a process of its own held beyond what it held
before it began, as the kernel keeps count of it (Linux).
"""

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from harness import measure_in_turns, report
from torch import Tensor

from weldcache.train.nn.coreset import greedy_coreset
from weldcache.train.nn.nearest_neighbours import NearestNeighbours

NUM_NEIGHBOURS = 9
ERROR = 0.9  # of distances, that anomalib lets a projection make
TARGETS = {
    "coreset_plain_over_ours": 2.0,
    "coreset_anomalib_over_ours": 2.0,
    "coreset_memory_anomalib_over_ours": 1.0,
    "neighbours_plain_over_ours": 0.8,
    "neighbours_memory_plain_over_ours": 2.0,
    "furthest_ours_over_plain": 1.1,  # how far the furthest candidate is from the coreset; at most
}


def patches(num: int, *, width: int, seed: int) -> Tensor:
    """Vectors around 200 centres, with directions in which all of them spread more."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.Generator().manual_seed(0)
    centres, directions = torch.randn(200, width, generator=shared), torch.randn(32, width, generator=shared)
    own = (
        0.3 * torch.randn(num, width, generator=generator) + torch.randn(num, 32, generator=generator) @ directions / 32
    )
    return centres[torch.randint(200, (num,), generator=generator)] + own


def plain_coreset(vectors: Tensor, size: int) -> list[int]:
    """The furthest from all before, by the differences of whole vectors."""
    chosen = [0]
    nearest = torch.full((len(vectors),), math.inf)
    for _ in range(size - 1):
        nearest = torch.minimum(nearest, (vectors - vectors[chosen[-1]]).square().sum(dim=1))
        chosen.append(int(nearest.argmax()))
    return chosen


def anomalib_coreset(vectors: Tensor, size: int) -> list[int]:
    """The same after a sparse projection, as k-center greedy does it."""
    num, width = vectors.shape
    projected = math.ceil(4 * math.log(num) / (ERROR**2 / 2 - ERROR**3 / 3))
    density, generator = 1 / math.sqrt(width), torch.Generator().manual_seed(0)
    drawn = torch.rand(projected, width, generator=generator)
    signs = torch.where(drawn < density / 2, 1.0, torch.where(drawn < density, -1.0, 0.0))
    features = vectors @ (signs / math.sqrt(density * projected)).T
    nearest, place, chosen = None, 0, []
    for _ in range(size):
        distances = torch.linalg.norm(features - features[place : place + 1], ord=2, dim=1, keepdim=True)
        nearest = distances if nearest is None else torch.minimum(nearest, distances)
        chosen.append(place)
        place = int(nearest.argmax())
        nearest[place] = 0
    return chosen


def ours_coreset(vectors: Tensor, size: int) -> list[int]:
    return greedy_coreset(vectors, size=size, generator=torch.Generator().manual_seed(0)).tolist()


def ours_neighbours(queries: Tensor, bank: Tensor) -> Tensor:
    search = NearestNeighbours(bank.shape[1], num_neighbours=NUM_NEIGHBOURS, metric="l2")
    search.fill(bank)
    return search.search(queries)[0]


def plain_neighbours(queries: Tensor, bank: Tensor) -> Tensor:
    """All distances at once."""
    return torch.cdist(queries, bank).topk(NUM_NEIGHBOURS, largest=False).values


def anomalib_neighbours(queries: Tensor, bank: Tensor) -> Tensor:
    """All distances at once, by products."""
    squares = queries.square().sum(dim=1, keepdim=True) - 2 * queries @ bank.T + bank.square().sum(dim=1)
    return squares.clamp(min=0).sqrt().topk(NUM_NEIGHBOURS, largest=False).values


def faiss_neighbours(queries: Tensor, bank: Tensor) -> Tensor:
    index = import_module("faiss").IndexFlatL2(bank.shape[1])
    index.add(bank.numpy())
    return torch.from_numpy(index.search(queries.numpy(), NUM_NEIGHBOURS)[0]).sqrt()


def sides_of(arguments: argparse.Namespace) -> Mapping[str, Callable[[], object]]:
    """What is measured, by name; the vectors are made before."""
    vectors = patches(arguments.candidates, width=arguments.width, seed=1)
    queries = patches(arguments.queries, width=arguments.width, seed=2)
    bank, size = vectors[: arguments.searched].clone(), arguments.bank
    sides: dict[str, Callable[[], object]] = {
        "coreset ours": lambda: ours_coreset(vectors, size),
        "coreset plain": lambda: plain_coreset(vectors, size),
        "coreset anomalib": lambda: anomalib_coreset(vectors, size),
        "neighbours ours": lambda: ours_neighbours(queries, bank),
        "neighbours plain": lambda: plain_neighbours(queries, bank),
        "neighbours anomalib": lambda: anomalib_neighbours(queries, bank),
    }
    if find_spec("faiss"):
        sides["neighbours faiss"] = lambda: faiss_neighbours(queries, bank)
    return sides


def held(what: str) -> int:
    """Bytes that this process holds now (VmRSS), or held at most (VmHWM)."""
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def tell_memory(arguments: argparse.Namespace) -> None:
    """Print what one side holds beyond what there was before."""
    side = sides_of(arguments)[arguments.memory_of]
    Path("/proc/self/clear_refs").write_text("5")  # the most that was held is counted anew
    before = held("VmRSS")
    side()
    print(json.dumps(held("VmHWM") - before))


def memory_of(name: str) -> int:
    """The same of a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", name]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=10_000, help="Vectors that a coreset is chosen from.")
    parser.add_argument("--bank", type=int, default=300, help="Vectors of the coreset.")
    parser.add_argument("--searched", type=int, default=10_000, help="Vectors of the bank that is searched.")
    parser.add_argument("--queries", type=int, default=2_000, help="Vectors that are searched for.")
    parser.add_argument("--width", type=int, default=384, help="Numbers of a vector.")
    parser.add_argument(
        "--rounds", type=int, default=3, help="Times that each side runs, after one that is not counted."
    )
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        tell_memory(arguments)
        return
    sides = sides_of(arguments)
    found = {name: side() for name, side in sides.items() if name.startswith("neighbours")}
    for name, distances in found.items():  # they answer the same question
        assert isinstance(distances, Tensor) and isinstance(found["neighbours plain"], Tensor)
        torch.testing.assert_close(distances, found["neighbours plain"], rtol=1e-3, atol=1e-2, msg=name)
    vectors = patches(arguments.candidates, width=arguments.width, seed=1)
    furthest = {}
    for name, choose in (("ours", ours_coreset), ("plain", plain_coreset), ("anomalib", anomalib_coreset)):
        chosen = vectors[choose(vectors, arguments.bank)]
        furthest[name] = max(float(torch.cdist(part, chosen).amin(dim=1).max()) for part in torch.split(vectors, 1000))
    seconds = measure_in_turns(sides, num_rounds=arguments.rounds, num_warm_ups=0)  # all have run once
    memory = {name: memory_of(name) for name in sides}
    for name, number in memory.items():
        print(f"{name:22} {number / 1e6:8.1f} MB beyond the vectors")
    print("furthest candidate from the coreset: " + ", ".join(f"{name} {far:.3f}" for name, far in furthest.items()))
    ratios = {"furthest_ours_over_plain": furthest["ours"] / furthest["plain"]}
    for name, runs in seconds.items():
        kind, side = name.split()
        if side != "ours":
            ours = statistics.median(seconds[f"{kind} ours"])
            ratios[f"{kind}_{side}_over_ours"] = statistics.median(runs) / ours
            ratios[f"{kind}_memory_{side}_over_ours"] = memory[name] / max(1, memory[f"{kind} ours"])
    report("banks", seconds=seconds, ratios=ratios, targets=TARGETS)


if __name__ == "__main__":
    main()
