"""Worker processes behind a fork server: one thread each, and no life after the main process."""

import multiprocessing
import os
import signal
import threading

import cv2


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
