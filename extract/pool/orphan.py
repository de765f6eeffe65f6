"""What the fork server imports before anything else, for its effect: it ends with its parent, also while it imports.

Until it has imported all that its children share, which takes seconds and on a busy machine tens of them, a fork server
listens to nobody, and would go on after its parent was killed. A thread that watches must not be there when it forks;
a timer is not handed on to its children. In any other process this module does nothing.
"""

import os
import signal
from types import FrameType

PARENT = "WELDCACHE_FORK_SERVER_OF"  # environment: the process whose fork server is being started
_INTERVAL = 0.5  # seconds


def _end_if_orphaned(_: int, __: FrameType | None) -> None:
    if str(os.getppid()) != os.environ[PARENT]:
        os._exit(1)


if os.environ.get(PARENT) == str(os.getppid()):
    signal.signal(signal.SIGALRM, _end_if_orphaned)
    signal.setitimer(signal.ITIMER_REAL, _INTERVAL, _INTERVAL)
