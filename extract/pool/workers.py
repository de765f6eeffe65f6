"""Worker processes behind a fork server: one thread each, and no life after the main process."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

import cv2

from . import orphan


def worker_context(*, preload: Sequence[str]) -> ForkServerContext:
    """What starts worker processes: a fork server, running, which has imported the modules named in `preload`.

    Children of the main process itself would share its threads' locks. The server has one thread, and its children
    share what it has imported: they start in milliseconds instead of seconds. A server that runs already keeps the
    modules it has; another module is then imported by each worker.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([orphan.__name__, *preload])
    # OpenMP, OpenBLAS and PyTorch read their number of threads when they are loaded, which is before any code of ours
    # runs in a worker.
    with _environment({"OMP_NUM_THREADS": "1", orphan.PARENT: str(os.getpid())}):
        forkserver.ensure_running()
    return context


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def start_worker() -> None:
    """Call first in a worker process.

    The processes are the parallelism: threads of each would fight over the cores. Ctrl-C is for the main process,
    which ends its workers: one that is interrupted in the middle of a file would call it unreadable. And whoever kills
    the main process must not have to hunt for its workers: their parent is the fork server, which lives as long as any
    worker does, so each watches the main process itself.
    """
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_main_process, daemon=True).start()


def _end_with_main_process() -> None:
    main_process = multiprocessing.parent_process()
    assert main_process is not None, "not a worker process"
    main_process.join()
    os._exit(1)
