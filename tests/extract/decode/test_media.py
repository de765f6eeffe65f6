"""Memory that runs out is never taken for damage, wherever in a decoder it does."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

# Decodes each file in a process of its own, again and again with ever more memory above what the process has, and
# prints the file and what came of it each time.
_DECODE = """
import os, resource, sys
from pathlib import Path
import cv2
from weldcache.errors import DecodeError
from weldcache.extract.decode.image import decode_photographs
from weldcache.extract.decode.video import decode_video
cv2.setNumThreads(1)
page, unlimited = os.sysconf("SC_PAGESIZE"), resource.RLIM_INFINITY

def try_all(path):
    for megabytes in (2, 8, 16, 24, 32, 48, 64, 96, 128, 1024):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * page
        resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, unlimited))
        try:
            decode_video(path, num_frames=2) if path.suffix == ".avi" else decode_photographs([path], num_views=1)
            outcome = "decoded"
        except MemoryError:
            outcome = "short"
        except DecodeError as error:
            outcome = f"damaged: {error}"
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (unlimited, unlimited))
        print(path.name, outcome, sep=":", flush=True)

for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try_all(Path(name))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, name
"""
_KINDS = ("jpg", "progressive.jpg", "png", "avi")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space")
def test_short_memory_is_no_damage(tmp_path: Path) -> None:
    """Of all kinds of files, whose processes share their imports."""
    paths = {kind: tmp_path / f"weld_1.{kind}" for kind in _KINDS}
    small = np.random.default_rng(0).integers(0, 255, (100, 150, 3), dtype=np.uint8)
    picture = cv2.resize(small, (2400, 1600))
    for kind, path in paths.items():
        if kind == "avi":
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FMP4"), 30, (2400, 1600))
            for _ in range(2):
                writer.write(picture)
            writer.release()
        else:
            cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1] if "progressive" in kind else [])
    command = [sys.executable, "-c", _DECODE, *map(str, paths.values())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [line.split(":", 1) for line in done.stdout.splitlines()]
    for path in paths.values():
        outcomes = [outcome for name, outcome in told if name == path.name]
        assert set(outcomes) == {"short", "decoded"}, path.name
        assert outcomes[-1] == "decoded", path.name
