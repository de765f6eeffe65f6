"""A file is whole or absent, whatever interrupts its writing."""

import errno
import fcntl
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from weldcache.atomic import (
    fsync_tree,
    is_locked,
    locked_folder,
    new_folder,
    replaced_file,
    write_bytes,
    write_json,
    write_text,
)
from weldcache.errors import BusyError, OutputExistsError


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


LONGEST = 255  # bytes of a name that common file systems take


@pytest.mark.parametrize("name", ["x" * (LONGEST - 5) + ".json", "ü" * 120 + ".json", "." + "x" * (LONGEST - 1)])
def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "text")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_link_is_followed_also_where_its_target_is_not_made_yet(tmp_path: Path) -> None:
    scratch, link = tmp_path / "scratch", tmp_path / "note.txt"
    link.symlink_to(scratch / "deep" / "note.txt")
    write_text(link, "one")
    write_text(link, "two")
    assert link.is_symlink() and (scratch / "deep" / "note.txt").read_text() == "two"
    folder = tmp_path / "store"
    folder.symlink_to(scratch / "store")
    with new_folder(folder) as temporary:
        (temporary / "a").touch()
    assert folder.is_symlink() and (scratch / "store" / "a").exists()


def test_the_rights_are_those_of_any_new_file_whatever_the_writer_does(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with replaced_file(tmp_path / "secret") as temporary:
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT, 0o600))
    assert (tmp_path / "secret").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("refusal", [OSError(28, "No space"), RuntimeError("I/O error: no space (os error 28)")])
def test_what_a_disk_refuses_names_the_path(tmp_path: Path, refusal: Exception) -> None:
    path = tmp_path / "a" / "report.json"
    with pytest.raises(OSError) as told, replaced_file(path):
        raise refusal
    assert (told.value.errno, told.value.filename) == (28, str(path))
    assert list(path.parent.iterdir()) == []


def test_a_vague_failure_on_a_full_disk_is_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weldcache.errors._NEARLY_FULL", 1 << 62)
    with pytest.raises(OSError) as told, replaced_file(tmp_path / "x.flac"):
        raise RuntimeError("System error.")
    assert told.value.errno == 28


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "first"
    with pytest.raises(KeyError), new_folder(path) as temporary:
        (temporary / "half").touch()
        raise KeyError
    assert list(path.parent.iterdir()) == []
    with new_folder(path) as temporary:
        (temporary / "whole").touch()
        assert not path.exists()
    assert [entry.name for entry in path.parent.iterdir()] == ["first"]


def test_an_empty_folder_is_taken_and_any_other_thing_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir()
    with new_folder(path) as temporary:
        (temporary / "a").touch()
    for taken in (path, path / "a"):
        with pytest.raises(OutputExistsError), new_folder(taken):
            pass
    assert [entry.name for entry in path.iterdir()] == ["a"]


def test_who_comes_second_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(OutputExistsError), new_folder(path):
        path.mkdir()
        (path / "of somebody else").touch()
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_what_a_kill_left_is_removed_and_named_and_what_lives_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from weldcache.atomic import new_folder\n"
        "with new_folder(Path(sys.argv[1])) as temporary:\n"
        "    (temporary / 'half').touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "features.zarr"
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False).returncode == -9
    (left,) = tmp_path.iterdir()
    with new_folder(path):
        assert not left.exists() and left.name in capsys.readouterr().err
        (living,) = tmp_path.iterdir()
        with new_folder(path.with_name("features.h5")):
            assert living.exists()


def test_nothing_of_the_users_is_taken_for_what_a_kill_left(tmp_path: Path) -> None:
    names = (".features.kept.tmp.zarr", ".features.0123abcd.tmpl", ".features.01234567.zarr")
    for name in names:
        (tmp_path / name).mkdir()
    with new_folder(tmp_path / "features.zarr"):
        pass
    assert {entry.name for entry in tmp_path.iterdir()} == {*names, "features.zarr"}


def test_a_drive_without_locks_is_found_out_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(_: int, __: int) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr("weldcache.atomic.flock", flock)
    path = tmp_path / "kept" / "above" / "store"
    (tmp_path / "kept").mkdir()
    with pytest.raises(BusyError, match=re.escape(f"The drive of {path} ")), new_folder(path):
        pass
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "kept"]


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    with locked_folder(tmp_path), pytest.raises(BusyError, match="another process is writing"), locked_folder(tmp_path):
        pass
    with locked_folder(tmp_path):
        pass


def test_a_lock_on_a_file_that_may_only_be_read_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "writers.lock"
    path.touch()
    opened = Path.open

    def as_another_user(path: Path, mode: str) -> Any:
        if "+" in mode:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", as_another_user)
    assert not is_locked(path)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert is_locked(path)


def test_the_lock_ends_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked_folder(tmp_path):
        raise KeyError
    with locked_folder(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_drive_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(_: int, __: int) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr("weldcache.atomic.flock", flock)
    with pytest.raises(BusyError, match="does not lock") as told, locked_folder(tmp_path):
        pass
    assert str(tmp_path) in str(told.value)
