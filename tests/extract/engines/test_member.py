"""What a worker records of a batch that cannot be done."""

from pathlib import Path

from weldcache.cache.records import Record
from weldcache.cache.status import Status
from weldcache.extract.engines.spans import given_up
from weldcache.extract.plan import Job
from weldcache.extract.sources.source import Sample


def test_what_has_no_file_is_not_said_to_be_missing_for_another_reason() -> None:
    sets = frozenset({"film", "sound", "trace"})
    whole = Sample("a", "train", "a", {stream: (Path(stream),) for stream in ("video", "audio", "sensor")})
    in_part = Sample(
        "b",
        "train",
        "b",
        {"video": (Path("video"),)},
        absent={"audio": "no b.wav", "sensor": "b.csv is a folder"},
        unreadable=frozenset({"sensor"}),
    )
    jobs = [Job(0, whole, sets, frozenset({"film"})), Job(1, in_part, sets, sets)]
    stream_of = {"film": "video", "sound": "audio", "trace": "sensor"}
    assert given_up(jobs, stream_of=stream_of, reason="it ended the worker") == [
        Record("film", 0, Status.MISSING, "it ended the worker"),
        Record("film", 1, Status.MISSING, "it ended the worker"),
        Record("sound", 1, Status.ABSENT, "no b.wav"),
        Record("trace", 1, Status.UNREADABLE, "b.csv is a folder"),
    ]
