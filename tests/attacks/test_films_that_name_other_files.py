"""Lists of other films, named like a film: FFmpeg would decode what they name, and the row's record would not know."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from weldcache.errors import DecodeError
from weldcache.extract.decode.video import decode_video

LISTS = {
    "concatenation": "ffconcat version 1.0\nfile {name}\n",
    "playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{name}\n#EXT-X-ENDLIST\n",
    "description": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=film\nc=IN IP4 127.0.0.1\nm=video 49170 RTP/AVP 26\n",
}


@pytest.fixture
def write_film(tmp_path: Path) -> Callable[[str], Path]:
    def write(name: str) -> Path:
        writer = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter.fourcc(*"FMP4"), 30, (64, 48))
        for level in range(20):
            writer.write(np.full((48, 64, 3), 10 * level, np.uint8))
        writer.release()
        return tmp_path / name

    return write


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_films_is_no_film(write_film: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    film = write_film("private.avi")
    assert decode_video(film, num_frames=2).times[-1] > 0
    (tmp_path / "weld.avi").write_text(LISTS[kind].format(name=film.name))
    with pytest.raises(DecodeError, match=r"weld\.avi: not a video"):
        decode_video(tmp_path / "weld.avi", num_frames=2)
