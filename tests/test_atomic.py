"""A file is whole or absent, whatever interrupts its writing."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from weldcache.atomic import fsync_tree, replaced_file, write_bytes, write_json, write_text


def test_the_new_text_replaces_the_old_and_nothing_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "note.txt"
    write_text(path, "old")
    write_text(path, "größer")
    assert path.read_text(encoding="utf-8") == "größer"
    assert [entry.name for entry in path.parent.iterdir()] == ["note.txt"]


def test_json_round_trips_and_nan_is_refused_with_the_old_file_kept(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(path, {"auroc": 0.5, "note": None})
    with pytest.raises(ValueError):
        write_json(path, {"auroc": float("nan")})
    assert json.loads(path.read_text()) == {"auroc": 0.5, "note": None}
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_a_failure_in_the_middle_keeps_the_old_file_and_clears_up(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replaced_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("stop")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_the_temporary_name_is_beside_hidden_and_of_the_same_kind(tmp_path: Path) -> None:
    with replaced_file(tmp_path / "best.safetensors") as temporary:
        assert (temporary.parent, temporary.suffix, temporary.name[0]) == (tmp_path, ".safetensors", ".")
        temporary.touch()


def test_bytes_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    seen: list[tuple[str, bool]] = []
    sync = os.fsync

    def record(descriptor: int) -> None:
        seen.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, path.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    write_bytes(path, b"data")
    (first, named_before), (second, named_after) = seen
    assert first.endswith(".tmp.bin") and not named_before
    assert second == tmp_path.name and named_after


def test_a_tree_is_synced_with_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a" / "b.txt", "b")
    seen = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    fsync_tree(tmp_path)
    assert {tmp_path, tmp_path / "a", tmp_path / "a" / "b.txt"} == set(seen)


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_text(path, "old")
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from weldcache.atomic import replaced_file\n"
        "with replaced_file(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert killed.returncode == -9
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"


def test_two_writers_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    texts = [letter * 50_000 for letter in "ab"]
    write_text(path, texts[0])
    seen: list[str] = []

    def write_often(text: str) -> None:
        for _ in range(30):
            write_text(path, text)
            seen.append(path.read_text())

    threads = [threading.Thread(target=write_often, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) <= set(texts)
    assert [entry.name for entry in tmp_path.iterdir()] == ["scores.csv"]
