"""Memory that runs out is never taken for damage, wherever in a decoder it does."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

# Decodes again and again with ever more memory above what the process has, and prints what came of it each time.
_DECODE = """
import os, resource, sys
from pathlib import Path
import cv2
from weldcache.errors import DecodeError
from weldcache.tests.toy import read_picture
from weldcache.extract.decode.video import decode_video
cv2.setNumThreads(1)
path = Path(sys.argv[1])
decode = (lambda: decode_video(path, num_frames=2)) if path.suffix == ".avi" else (lambda: read_picture(path))
page, unlimited = os.sysconf("SC_PAGESIZE"), resource.RLIM_INFINITY
for megabytes in (2, 8, 16, 24, 32, 48, 64, 96, 128, 1024):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * page
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, unlimited))
    try:
        decode()
        print("decoded")
    except MemoryError:
        print("short")
    except DecodeError as error:
        print("damaged", error)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (unlimited, unlimited))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space")
@pytest.mark.parametrize("kind", ["jpg", "progressive.jpg", "png", "avi"])
def test_short_memory_is_no_damage(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"weld_1.{kind}"
    small = np.random.default_rng(0).integers(0, 255, (100, 150, 3), dtype=np.uint8)
    picture = cv2.resize(small, (2400, 1600))
    if kind == "avi":
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FMP4"), 30, (2400, 1600))
        for _ in range(2):
            writer.write(picture)
        writer.release()
    else:
        cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1] if "progressive" in kind else [])
    done = subprocess.run([sys.executable, "-c", _DECODE, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = done.stdout.split("\n")[:-1]
    assert set(outcomes) == {"short", "decoded"}
    assert outcomes[-1] == "decoded"
