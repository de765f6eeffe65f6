"""Films that tell the index of each frame, and ways to let their headers lie and to damage their frames."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def write_film(tmp_path: Path) -> Callable[..., Path]:
    """An FMP4 AVI, as the real ones: eight bars, dark or bright, are the bits of each frame's index."""

    def write(num_frames: int, *, fps: float = 30, size: tuple[int, int] = (64, 48), name: str = "weld.avi") -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FMP4"), fps, size)
        assert writer.isOpened()
        for index in range(num_frames):
            bars = np.unpackbits(np.uint8(index)) * np.uint8(200) + np.uint8(20)
            row = np.repeat(bars, size[0] // 8)
            writer.write(np.broadcast_to(row[None, :, None], (size[1], size[0], 3)).copy())
        writer.release()
        return path

    return write


@pytest.fixture
def write_lit_film(tmp_path: Path) -> Callable[..., Path]:
    """A grey FMP4 AVI with the camera's noise on it, whose frames have the means in `levels`."""

    def write(levels: np.ndarray, *, fps: float = 30, size: tuple[int, int] = (96, 64), noise: float = 3.0) -> Path:
        path = tmp_path / "lit.avi"
        generator = np.random.default_rng(len(levels))
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FMP4"), fps, size)
        assert writer.isOpened()
        for level in levels:
            grey = np.clip(generator.normal(level, noise, size=size[::-1]), 0, 255).astype(np.uint8)
            writer.write(cv2.merge((grey, grey, grey)))
        writer.release()
        return path

    return write


@pytest.fixture
def announce() -> Callable[..., None]:
    """Overwrite the number of frames that an AVI's two headers announce."""

    def overwrite(path: Path, *, num_frames: int) -> None:
        content = bytearray(path.read_bytes())
        count = num_frames.to_bytes(4, "little")
        # RIFF: after a chunk's name and size, dwTotalFrames is at 16 in avih and dwLength at 32 in strh.
        for chunk, offset in ((b"avih", 16), (b"strh", 32)):
            at = content.index(chunk) + 8 + offset
            content[at : at + 4] = count
        path.write_bytes(content)

    return overwrite


@pytest.fixture
def change_frames() -> Callable[..., None]:
    """Give an AVI other frames: `change` is told index and bytes of each, and tells its new bytes."""

    def overwrite(path: Path, change: Callable[[int, bytes], bytes]) -> None:
        content = path.read_bytes()
        start = content.index(b"movi") - 8  # the list's name and size come before
        frames, index = b"movi", b""
        for number, frame in enumerate(_frames(content, at=start + 12)):
            changed = change(number, frame)
            index += b"00dc" + struct.pack("<III", 16, len(frames), len(changed))
            frames += b"00dc" + struct.pack("<I", len(changed)) + changed + b"\0" * (len(changed) % 2)
        body = content[8:start] + _chunk(b"LIST", frames) + _chunk(b"idx1", index)
        path.write_bytes(_chunk(b"RIFF", body))

    return overwrite


def _frames(content: bytes, *, at: int) -> Iterator[bytes]:
    while content[at : at + 4] == b"00dc":
        (size,) = struct.unpack_from("<I", content, at + 4)
        yield content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content
