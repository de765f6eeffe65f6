"""Threads that wait for a service together: many for requests, few for whole objects, each of which is in memory."""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

_NUM_REQUESTS = 32  # under way together
_NUM_OBJECTS = 8  # in memory together

_Item = TypeVar("_Item")


def in_requests(work: Callable[[_Item], None], items: Sequence[_Item]) -> None:
    """Call `work`, which waits for a service and calls nothing of this kind, on every item, many at a time; the first
    error stops the others, and is raised when none is at work any more."""
    if len(items) == 1:
        work(items[0])
    else:
        _work(_request_threads(), work, items)


def with_objects(work: Callable[[_Item], None], items: Sequence[_Item]) -> None:
    """As `in_requests`, for work that holds an object of a bucket, and may ask `in_requests` for parts of others."""
    with ThreadPoolExecutor(_NUM_OBJECTS, thread_name_prefix="weldcache-objects") as pool:
        _work(pool, work, items)


def _work(pool: ThreadPoolExecutor, work: Callable[[_Item], None], items: Sequence[_Item]) -> None:
    pending = [pool.submit(work, item) for item in items]
    try:
        for future in pending:
            future.result()
    finally:
        for future in pending:
            future.cancel()
        wait(pending)


@functools.cache
def _request_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=_NUM_REQUESTS, thread_name_prefix="weldcache-requests")
