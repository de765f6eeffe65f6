"""How much slower is a store in a bucket than one in a folder, and what does packing rows into large objects buy?

    python benchmarks/object_store.py
    python benchmarks/object_store.py --small

A mock of S3 runs in a process of its own on this machine, once as it is and once with 30 ms added to every request, as
a real service takes for its first byte. The store has one array, whose rows share objects of 16 MB. Measured are:

- `batch`: 32 random rows, as streamed training reads them; from a bucket that is a request a row;
- `load`: all rows in order, as resident training reads them; from a bucket in requests of 8 MB. `by_row` reads the same
  rows by a request each, as from a store that lies in the bucket unpacked, 32 at a time;
- `upload` and `download`: `weldcache mirror` either way, beside a copy of the folder (`cp -r`, not synced).

The mock is written in Python: a request costs it about 10 ms of processor, one after the other. So it is itself what
limits many small requests, more than the added time does, and its bandwidth is no service's.
"""

import argparse
import os
import shutil
import socket
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from harness import measure_in_turns, ratio_of_medians, report
from numpy.typing import NDArray

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.buckets.mirror import mirror
from weldcache.cache.chunks import RowChunks
from weldcache.cache.index import index_with
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.configs.place import BucketUrl

BATCH = 32
DELAY = 0.03  # seconds
ARRAY = "film/tokens"
SIDES = {"bucket": 0.0, "bucket_30ms": DELAY}
TARGETS: dict[str, float] = {}  # what a mock's speed says of a service is too little to aim at


@dataclass(frozen=True)
class Size:
    """How much is read and written, and how often."""

    num_rows: int
    row_shape: tuple[int, ...]
    rounds: int


FULL = Size(num_rows=256, row_shape=(128, 768), rounds=5)
SMALL = Size(num_rows=64, row_shape=(8, 16), rounds=2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="some kilobytes, to see that it runs")
    parser.add_argument("--folder", type=Path, help="the disk to measure on; default is that of temporary files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="object_store-", dir=arguments.folder) as folder:
        seconds, ratios = measure(Path(folder), size=SMALL if arguments.small else FULL)
    report("object_store", seconds=seconds, ratios=ratios, targets=TARGETS)


def measure(folder: Path, *, size: Size) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of every side of the questions, and the ratios of buckets to the folder."""
    store = make_store(folder / "features.zarr", size=size)
    every_row = np.arange(size.num_rows)
    generator = np.random.default_rng(1)
    batches: dict[str, Callable[[], object]] = {}
    loads: dict[str, Callable[[], object]] = {}
    copies: dict[str, Callable[[], object]] = {}

    def add(name: str, held: FeatureStore) -> None:
        batches[f"batch {name}"] = lambda: held.read(ARRAY, generator.permutation(size.num_rows)[:BATCH])
        loads[f"load {name}"] = lambda: held.read(ARRAY, every_row)

    add("folder", store)
    copies["copy folder"] = lambda: shutil.copytree(store.folder, folder / uuid.uuid4().hex)
    with served(0.0) as plain, served(DELAY) as slow, ThreadPoolExecutor(32) as pool:
        for name, endpoint in (("bucket", plain), ("bucket_30ms", slow)):
            os.environ["AWS_ENDPOINT_URL"] = endpoint  # taken when a bucket is opened
            url = BucketUrl("s3", "team", name)
            mirror(store.folder, url)
            held = FeatureStore.open(url)
            np.testing.assert_array_equal(held.read(ARRAY, every_row), store.read(ARRAY, every_row))
            add(name, held)
            loads[f"load {name}_by_row"] = partial(read_by_row, held.chunks(ARRAY), every_row, pool)
            copies[f"upload {name}"] = partial(carry, endpoint, store.folder, None)
            copies[f"download {name}"] = partial(carry, endpoint, url, folder)
        runs = {**measure_in_turns(batches, num_rounds=size.rounds), **measure_in_turns(loads, num_rounds=size.rounds)}
        runs |= measure_in_turns(copies, num_rounds=max(2, size.rounds // 2))
    ratios = {}
    for name in SIDES:
        for question, base in (("batch", "batch folder"), ("load", "load folder"), ("upload", "copy folder")):
            ratios[f"{question}_{name}_over_folder"] = ratio_of_medians(runs, slow=f"{question} {name}", fast=base)
        ratios[f"download_{name}_over_folder"] = ratio_of_medians(runs, slow=f"download {name}", fast="copy folder")
    packed, by_row = "load bucket_30ms", "load bucket_30ms_by_row"
    return runs, ratios | {"load_by_row_over_packed_30ms": ratio_of_medians(runs, slow=by_row, fast=packed)}


def read_by_row(chunks: RowChunks, rows: NDArray[np.int64], pool: ThreadPoolExecutor) -> None:
    """Read rows by a request each."""
    list(pool.map(lambda row: chunks.read([row]), rows.tolist()))


def carry(endpoint: str, source: Path | BucketUrl, into: Path | None) -> None:
    """Mirror through one of the services, to a new name in the folder `into`, or in the bucket."""
    os.environ["AWS_ENDPOINT_URL"] = endpoint
    name = uuid.uuid4().hex
    mirror(source, BucketUrl("s3", "team", name) if into is None else into / name)


def make_store(path: Path, *, size: Size) -> FeatureStore:
    """A store of random numbers, all rows complete."""
    keys = [f"{row:06d}" for row in range(size.num_rows)]
    parts = ["train"] * len(keys)
    index = index_with(keys=keys, parts=parts, groups=keys, targets={}, attributes={})
    store = FeatureStore.create(path, index=index)
    spec = ArraySpec("tokens", size.row_shape, ("time", "dim"), "float16")
    store.add_feature_set(FeatureSetSpec("film", [spec], {}))
    values = np.random.default_rng(0).standard_normal((len(keys), *size.row_shape), dtype=np.float32)
    writer, nothing = StoreWriter(store), [()] * len(keys)
    features = {"tokens": values.astype(np.float16)}
    writer.write("film", range(len(keys)), features, sources=nothing, notes=[""] * len(keys))
    return FeatureStore.open(path)


@contextmanager
def served(delay: float) -> Iterator[str]:
    """A mock of S3 with one bucket in a process of its own; its URL."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "mark", "AWS_REGION": "us-east-1"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = get_context("spawn").Process(target=serve, args=(port, delay), daemon=True)
    process.start()
    endpoint = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(urllib.request.Request(f"{endpoint}/team", method="PUT"), timeout=10).close()
                break
            except OSError:
                time.sleep(0.1)
        yield endpoint
    finally:
        process.terminate()
        process.join()


def serve(port: int, delay: float) -> None:
    """Answer as S3 would, each request `delay` seconds later."""
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    service = DomainDispatcherApplication(create_backend_app)

    def later(environment: Any, start: Any) -> Any:
        time.sleep(delay)
        return service(environment, start)

    run_simple("127.0.0.1", port, later, threaded=True)


if __name__ == "__main__":
    main()
