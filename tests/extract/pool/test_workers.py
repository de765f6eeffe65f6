"""Worker processes: one thread each, whatever the main process has, and no life after it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

_ASK = """
import os, torch
from concurrent.futures import ProcessPoolExecutor
from weldcache.extract.pool.workers import start_worker, worker_context
context = worker_context(preload=["torch", "no_such_module"])
with ProcessPoolExecutor(1, mp_context=context, initializer=start_worker) as pool:
    print(os.environ["OMP_NUM_THREADS"], pool.submit(torch.get_num_threads).result())
"""


@pytest.mark.slow
def test_workers_have_one_thread_and_the_main_process_keeps_its_own() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    answer = subprocess.run([sys.executable, "-c", _ASK], env=environment, capture_output=True, text=True, check=True)
    assert (answer.stdout, answer.stderr) == ("3 1\n", "")


_START = """
from weldcache.extract.pool.workers import worker_context
worker_context(preload=["slow_to_import"])
input()
"""
_GENEROUS = 60.0  # seconds until a test gives up waiting; nothing here takes a tenth of it


@pytest.mark.slow
def test_a_fork_server_that_imports_ends_with_its_parent(tmp_path: Path) -> None:
    mark = tmp_path / "imported_by"
    slow = f"import os, pathlib, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(600)\n"
    (tmp_path / "slow_to_import.py").write_text(slow)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with subprocess.Popen([sys.executable, "-c", _START], env=environment, stdin=subprocess.PIPE) as parent:
        deadline = time.monotonic() + _GENEROUS
        while not (mark.exists() and mark.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        server = psutil.Process(int(mark.read_text()))
        parent.kill()
    assert server.wait(timeout=_GENEROUS) is None  # not a child of ours, so there is no exit status
