"""Worker processes: one thread each, whatever the main process has."""

import os
import subprocess
import sys

_ASK = """
import os, torch
from concurrent.futures import ProcessPoolExecutor
from weldcache.extract.pool.workers import start_worker, worker_context
context = worker_context(preload=["torch", "no_such_module"])
with ProcessPoolExecutor(1, mp_context=context, initializer=start_worker) as pool:
    print(os.environ["OMP_NUM_THREADS"], pool.submit(torch.get_num_threads).result())
"""


def test_workers_have_one_thread_and_the_main_process_keeps_its_own() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    answer = subprocess.run([sys.executable, "-c", _ASK], env=environment, capture_output=True, text=True, check=True)
    assert (answer.stdout, answer.stderr) == ("3 1\n", "")
