"""One tiny data set, one extracted store and one trained run for all workers, and the command line to try on them.

What is slow to import, torch and transformers above all, is imported by the fixture that uses it: the process that
hands the tests out to the workers reads this file first, and needs none of it.
"""

import contextlib
import csv
import gc
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from weldcache.cli.main import run
from weldcache.tests.json_shapes import check_shape

# How long an example takes says something of the machine alone; the same commit is tried on the same examples.
settings.register_profile("any machine", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Decoding in the main process: a decode worker spends seconds on imports and milliseconds on a tiny weld.
_SETTINGS = "\nextract:\n  device: cpu\n  workers: 0\ntrain:\n  device: cpu\n  epochs: 3\n"


def pytest_configure() -> None:
    gc.disable()  # until the first test: of what collecting the tests imports, nothing could go


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker begins a long one when the others are about to end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit code, and what it printed, with runs of white space made one space."""

    code: int
    out: str
    err: str
    raw_out: str


def linked_copy(project: Path, folder: Path) -> Path:
    """`folder`, with the files at the top of a project copied and all below linked."""

    def copy_or_link(source: str, target: str) -> None:
        if Path(source).parent == project:
            shutil.copy2(source, target)
        else:
            os.link(source, target)

    return Path(shutil.copytree(project, folder, copy_function=copy_or_link))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """A second thread gains nothing on models this small and, on a busy machine, costs minutes; children too."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.freeze()  # what is imported by now stays, and need not be looked through again and again
    gc.enable()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> Iterator[None]:
    """A process has one fork server, which keeps the modules that it was started with: started by a test that needs few
    of them, it would let each decode process of later ones import the rest, for seconds. Whoever starts it, it has all;
    most runs of tests start none."""
    set_preload = forkserver.set_forkserver_preload
    kinds = ("film", "frames", "photographs", "pixels", "series", "sound", "sound_statistics")
    everything = [
        "weldcache.extract.pool.decode_process",
        "weldcache.extract.backbones.audio_spectrogram",
        "weldcache.extract.sources.welds.synth.pipeline",
        *(f"weldcache.extract.features.{kind}" for kind in kinds),
    ]

    def preload_all(modules: list[str]) -> None:
        set_preload([*modules, *everything])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forkserver, "set_forkserver_preload", preload_all)
        yield


@pytest.fixture(scope="session")
def weldcache() -> Callable[..., Outcome]:
    """Run `weldcache` with some arguments in `folder`, within this process; `extract` without its `forecast`, for which
    it would measure for about as long as it takes for so few samples. What --json prints is as the page on it says."""

    def call(*arguments: str, folder: Path, forecast: bool = False) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            patch.setattr(sys, "argv", ["weldcache", *arguments])
            if arguments[:1] == ("extract",) and not forecast:
                patch.setattr("weldcache.extract.prepare._WORTH_MEASURING", sys.maxsize)
            code = run(arguments)
        texts = out.getvalue(), err.getvalue()
        if "--json" in arguments and texts[0]:
            check_shape(arguments, texts[0])
        return Outcome(code, *(" ".join(text.split()) for text in texts), raw_out=texts[0])

    return call


@dataclass(frozen=True)
class Service:
    """A mock of S3 in this process.

    Attributes:
        url: of its one bucket.
        secret: the key that everybody here has in the environment, to be found nowhere else.
        checks_keys: called with whether it looks at who asks; it knows nobody.
    """

    url: str
    secret: str
    checks_keys: Callable[[bool], None]


@pytest.fixture(scope="session")
def s3_service() -> Iterator[tuple[Service, dict[str, str]]]:
    """The mock, and the environment in which it is found."""
    secret = "Nobody/May/Ever/Write/This/Down/0123456789"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INITIAL_NO_AUTH_ACTION_COUNT", "1000000000")
        import logging

        import requests
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer(port=0, verbose=False)
        server.start()
        endpoint = "http://{}:{}".format(*server.get_host_and_port())

        def checks_keys(looks: bool) -> None:
            requests.post(f"{endpoint}/moto-api/reset-auth", data="0" if looks else "1000000000", timeout=10)

        requests.put(f"{endpoint}/team", timeout=10)
        yield (
            Service("s3://team", secret, checks_keys),
            {
                "AWS_ACCESS_KEY_ID": "tester",
                "AWS_SECRET_ACCESS_KEY": secret,
                "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": endpoint,
            },
        )
        server.stop()


@pytest.fixture
def s3(s3_service: tuple[Service, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Service:
    """The mock of S3, which this process and its children find in their environment."""
    service, environment = s3_service
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return service


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Callable[..., Path]]:
    """Make a folder once for all workers of the session: whoever asks first makes it, the others wait for it.

    Nobody may change what is in such a folder, and at the end it is seen that nobody did.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "shared"
    shared.mkdir(exist_ok=True)
    asked: list[Path] = []

    def make(name: str, fill: Callable[[Path], None]) -> Path:
        """The folder `project` in the shared folder `name`, made by `fill`."""
        folder, stamps = shared / name / "project", shared / f"{name}.json"
        with FileLock(shared / f"{name}.lock"):
            if not stamps.exists():
                fill(folder)
                stamps.write_text(json.dumps(_stamps_of(folder)))
        asked.append(folder)
        return folder

    yield make
    for folder in asked:
        before, after = json.loads((shared / f"{folder.parent.name}.json").read_text()), _stamps_of(folder)
        changed = sorted(path for path in before if before[path] != after.get(path))
        assert not changed, f"a test changed {folder}, which all share: {changed[:5]}"


def _stamps_of(folder: Path) -> dict[str, list[int]]:
    """Bytes and the last change of each file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


@pytest.fixture(scope="session")
def synthetic(made_once: Callable[..., Path]) -> Path:
    """The tiny synthetic data set, 8 train, 15 val, 15 test welds, with its demo backbones. Not to be changed."""
    from weldcache.extract.backbones.random_backbone import demo_backbone_folder
    from weldcache.extract.sources.welds.synth.pipeline import generate
    from weldcache.extract.sources.welds.synth.plan import plan_for_size

    def fill(folder: Path) -> None:
        generate(folder, plan=plan_for_size("tiny"), workers=1, preset="demo-random")
        with (folder / "weldcache.yaml").open("a") as file:
            file.write(_SETTINGS)
        for family in ("vjepa2", "ast", "dinov3", "clip_text"):
            demo_backbone_folder(folder / "demo_backbones" / f"demo-{family}-seed0", family=family, seed=0)

    return made_once("synthetic", fill)


@pytest.fixture(scope="session")
def extracted(synthetic: Path, made_once: Callable[..., Path], weldcache: Callable[..., Outcome]) -> Path:
    """The data set with its store, features.zarr. Not to be changed."""

    def fill(folder: Path) -> None:
        linked_copy(synthetic, folder)
        outcome = weldcache("extract", folder=folder)
        assert outcome.code == 0, outcome.err

    return made_once("extracted", fill)


@pytest.fixture(scope="session")
def judged(extracted: Path, made_once: Callable[..., Path], weldcache: Callable[..., Outcome]) -> Path:
    """The data set with its store and one run, `first`, trained and evaluated. Not to be changed."""

    def fill(folder: Path) -> None:
        linked_copy(extracted, folder)
        for command in (["train", "--run", "first"], ["eval", "--run", "first"]):
            outcome = weldcache(*command, folder=folder)
            assert outcome.code == 0, outcome.err

    return made_once("judged", fill)


@pytest.fixture(scope="session")
def facts_of() -> Callable[[Path], dict[str, Any]]:
    """The facts of all sections of a report.json, by their names."""

    def read(path: Path) -> dict[str, Any]:
        sections = json.loads(path.read_text())["sections"].values()
        return {name: fact for section in sections for name, fact in section.get("facts", {}).items()}

    return read


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy of a project that a test may change."""

    def copy(project: Path) -> Path:
        return Path(shutil.copytree(project, tmp_path / "project"))

    return copy


@pytest.fixture
def runs_of(tmp_path: Path) -> Callable[[Path], Path]:
    """A project whose runs a test may change, on the data and the store of another, which it may not."""

    def lay_out(project: Path) -> Path:
        folder = tmp_path / "project"
        folder.mkdir()
        for path in project.iterdir():
            if path.name == "runs":
                shutil.copytree(path, folder / "runs")
            elif path.is_dir():
                (folder / path.name).symlink_to(path)
            else:
                shutil.copy(path, folder)
        return folder

    return lay_out


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without their pictures."""
    from weldcache.tests.toy import undraw

    undraw(monkeypatch)


@pytest.fixture
def linked_copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy of a project, ten times as quick, for tests that add, remove or replace files and never write into one.

    Only what lies at the top, such as the manifest, may be written into. A store replaces its files by itself.
    """

    def copy(project: Path) -> Path:
        return linked_copy(project, tmp_path / "project")

    return copy


@pytest.fixture(scope="session")
def manifest_rows() -> Callable[[Path], list[dict[str, str]]]:
    """The rows of a data set's manifest."""

    def rows(project: Path) -> list[dict[str, str]]:
        with (project / "manifest.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    return rows


@pytest.fixture(scope="session")
def write_rows() -> Callable[[Path, Sequence[dict[str, str]]], None]:
    """Replace the rows of a data set's manifest."""

    def write(project: Path, rows: Sequence[dict[str, str]]) -> None:
        with (project / "manifest.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    return write


@pytest.fixture(scope="session")
def weld_keys(manifest_rows: Callable[[Path], list[dict[str, str]]]) -> Callable[..., list[str]]:
    """Keys of a split's welds, or of its normal (`good`) or defective ones."""

    def keys(project: Path, split: str, *, good: bool | None = None) -> list[str]:
        return [
            row["SUBDIRS"]
            for row in manifest_rows(project)
            if row["SPLIT"].lower() == split and good in (None, row["CATEGORY"] == "good")
        ]

    return keys


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder with its bytes."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }

    return read


@pytest.fixture(scope="session")
def run_manifest() -> Callable[..., dict[str, Any]]:
    """What the manifest of a run holds at the least; keywords replace entries."""

    def make(**entries: object) -> dict[str, Any]:
        return {
            "recipe": "causal_film",
            "created": "2026-01-01T10:00:00+00:00",
            "command": "weldcache train",
            "seed": 0,
            "versions": {"python": "3.11"},
            "fingerprint": "f",
            "cache": {"features": {"video": {"made_by": {"model": "f"}}}},
            "backbones_are_random": False,
            "parameters": {"trainable": 7, "total": 9},
            "counts": {"train_normals": 1},
            "samples": {"train": ["t"], "validation": ["a", "b"]},
            **entries,
        }

    return make


@pytest.fixture(scope="session")
def child_environment() -> dict[str, str]:
    """Environment of a child process: wide lines, one thread, no colours."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture(scope="session")
def birds(made_once: Callable[..., Path], weldcache: Callable[..., Outcome]) -> Path:
    """156 tiny synthetic birds with their store, of shrunken pixels and of what oracles know. Not to be changed."""

    def fill(folder: Path) -> None:
        options = ["--field", "cub", "--size", "tiny", "--preset", "cub-pixels", "--workers", "1"]
        outcome = weldcache("synth", str(folder), *options, folder=folder.parent.parent)
        assert outcome.code == 0, outcome.err
        with (folder / "weldcache.yaml").open("a") as file:
            file.write(_SETTINGS.replace("epochs: 3", "epochs: 4") + "evaluate:\n  media: none\n")
        features = "extract.features=[image,oracle_attributes,oracle_class_attributes]"
        outcome = weldcache("extract", "--set", features, folder=folder)
        assert outcome.code == 0, outcome.err

    return made_once("birds", fill)
