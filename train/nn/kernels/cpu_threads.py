"""Rows of a batch shared out among threads, for kernels that let threads run by giving up the interpreter's lock.

Plain threads: no second OpenMP with its own ideas about forks and numbers of cores stands next to torch's, and
`torch.set_num_threads` rules here as well. A row is computed by one thread, so that results are the same to the bit
whatever the number of threads.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import torch


def share_out_rows(work: Callable[[int, int], None], *, num_rows: int) -> None:
    """Call `work(first, last)` for consecutive parts of the rows, as many at a time as torch has threads."""
    num_threads = max(1, min(torch.get_num_threads(), num_rows))
    (first, last), *others = pairwise(num_rows * part // num_threads for part in range(num_threads + 1))
    helpers = [_thread_pool(os.getpid(), num_threads).submit(work, *span) for span in others]
    work(first, last)
    for helper in helpers:
        helper.result()


@lru_cache(maxsize=1)
def _thread_pool(process_id: int, num_threads: int) -> ThreadPoolExecutor:
    """One pool for the process; a forked child, which inherits no threads, comes with another id and gets its own."""
    return ThreadPoolExecutor(num_threads - 1, thread_name_prefix=f"weldcache-kernels-{process_id}")
