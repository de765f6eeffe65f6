"""Worker processes behind a fork server: one thread each, and no life after the main process.

The fork server imports this module before anything else, for its effect (at the end of the file), so it imports nothing
that takes time itself.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from types import FrameType

_PARENT = "WELDCACHE_FORK_SERVER_OF"  # environment: the process whose fork server is being started
_LOOK_SECONDS = 0.5  # between two looks at whether that process is still there


def worker_context(*, preload: Sequence[str]) -> ForkServerContext:
    """What starts worker processes: a fork server, running, which has imported the modules named in `preload`.

    Children of the main process itself would share its threads' locks. The server has one thread, and its children
    share what it has imported: they start in milliseconds instead of seconds. A server that runs already keeps the
    modules it has; another module is then imported by each worker.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *preload])
    # OpenMP, OpenBLAS and PyTorch read their number of threads when they are loaded, which is before any code of ours
    # runs in a worker.
    with _environment({"OMP_NUM_THREADS": "1", _PARENT: str(os.getpid())}):
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
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_main_process, daemon=True).start()


def _end_with_main_process() -> None:
    main_process = multiprocessing.parent_process()
    assert main_process is not None, "not a worker process"
    main_process.join()
    os._exit(1)


def _end_if_orphaned(_: int, __: FrameType | None) -> None:
    if str(os.getppid()) != os.environ[_PARENT]:
        os._exit(1)


# Until it has imported all that its children share, which takes seconds and on a busy machine tens of them, a fork
# server listens to nobody, and would go on after its parent was killed. A thread that watches must not be there when it
# forks; a timer is not handed on to its children. In any other process nothing happens here.
if os.environ.get(_PARENT) == str(os.getppid()):
    signal.signal(signal.SIGALRM, _end_if_orphaned)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)
