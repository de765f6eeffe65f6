"""Sweeps that several machines share: PostgreSQL, Ray, deaths of workers and drivers, and credentials that stay out."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from weldcache.errors import OutputExistsError, SettingsError, StudyUnreachableError
from weldcache.evaluate.sweeps import ray_workers, storage
from weldcache.evaluate.sweeps.request import SweepRequest, load_request
from weldcache.evaluate.sweeps.space import FloatRange
from weldcache.evaluate.sweeps.study import SweepStudy
from weldcache.extract.engines import ray_cluster
from weldcache.tests.children import Machines, alive
from weldcache.tests.evaluate.sweeps.conftest import LONG_SWEEP, owners_in, require_each_once, wait_for
from weldcache.tests.test_docs import ROOT, command_lines, section, words_of

pytestmark = pytest.mark.distributed

SECRET = "correct-horse-battery-staple"
# A process that takes itself for a machine, and others for dead after seconds instead of minutes.
_MACHINE = """
import sys
from weldcache import owners
from weldcache.evaluate.sweeps import signs_of_life
signs_of_life.BEAT_SECONDS, signs_of_life.GRACE_SECONDS, name = 0.2, 4.0, sys.argv[1]
owners._machine = lambda: name
from weldcache.cli.main import run
sys.exit(run(sys.argv[2:]))
"""


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """URL of a database on a PostgreSQL server that asks for `SECRET`."""
    if not (shutil.which("initdb") and shutil.which("postgres")):
        pytest.skip("PostgreSQL is not installed here")
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name  # it refuses to run as root
    with tempfile.TemporaryDirectory() as name, socket.socket() as found:
        folder = Path(name, "data")
        Path(name, "password").write_text(SECRET)
        for path in (name, f"{name}/password"):
            shutil.chown(path, user)
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
        initdb = ["initdb", "-D", str(folder), "-U", "welder", "--auth=scram-sha-256", "--no-sync"]
        options: Mapping[str, Any] = {"user": user, "cwd": name, "stdout": subprocess.DEVNULL}
        subprocess.run([*initdb, f"--pwfile={name}/password"], check=True, stderr=subprocess.DEVNULL, **options)
        found.close()
        command = ["postgres", "-D", str(folder), "-p", str(port), "-k", name, "-h", "127.0.0.1", "-F"]
        command += ["-c", "log_min_messages=log"]  # nobody reads on once it has started, and a full pipe would stop it
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options) as process:
            assert process.stderr is not None
            while "ready to accept connections" not in (line := process.stderr.readline()):
                assert line, "PostgreSQL has not started"
            yield f"postgresql://welder@127.0.0.1:{port}/postgres"
            process.send_signal(signal.SIGQUIT)
            process.communicate()


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)


def asked(url: str, *, trials: int = 4, name: str = "pace") -> SweepRequest:
    request = load_request(None, name=name, trials=trials, storage=url)
    space = {"train.lr": FloatRange(low=0.1, high=0.9)}
    return SweepRequest(**{**vars(request), "sampler": "random", "pruner": "none", "space": space})


def opened(folder: Path, request: SweepRequest) -> SweepStudy:
    return SweepStudy(folder, request, direction="max", warmup=0, epochs=10, seed=0)


def test_a_database_keeps_trials_as_a_journal_does(server: str, password: None, tmp_path: Path) -> None:
    drawn: dict[str, list[float]] = {}
    for url in (server, f"sqlite:///{tmp_path}/trials.db", None):
        folder = tmp_path / str(len(drawn))
        folder.mkdir()
        request = asked(url or server, name="kept")
        request = request if url else SweepRequest(**{**vars(request), "storage": None})
        one, other = opened(folder, request), opened(folder, request)
        claims = []
        for study in (one, other, one, other, one, other):
            other._claims = one._claims = one._claims | other._claims  # else each takes the other for a former self
            claims.append(study.claim())
        assert claims[4:] == [None, None]
        for study, claim in zip((one, other, one, other), claims, strict=False):
            assert claim is not None and study.complete(claim, value=claim.values["train.lr"], seconds=1.0, epochs=2)
        tried = opened(folder, request).tried()
        assert [trial.state for trial in tried] == ["complete"] * 4
        drawn[str(url)] = [trial.values["train.lr"] for trial in tried]
    first, *others = drawn.values()
    assert all(values == first for values in others)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://welder@host/sweeps?sslpassword={SECRET}",
        f"postgresql://welder@host/sweeps?sslmode=require&passfile={SECRET}",
        f"postgresql://welder@host/sweeps?options={SECRET}",
        f"postgresql://welder@host/sweeps?sslmode=#&password={SECRET}",
        f"sqlite:///trials.db?key={SECRET}",
    ],
)
def test_of_a_query_only_what_is_known_to_be_no_secret_is_taken(url: str) -> None:
    with pytest.raises(SettingsError, match="PGPASSWORD") as refused:
        storage.require_storage(url)
    assert SECRET not in str(refused.value)


def test_a_query_says_how_a_database_is_reached() -> None:
    storage.require_storage("postgresql:///sweeps?host=/run/postgresql&port=5433&sslmode=require")


def test_what_cannot_be_shared_is_refused_without_a_word_of_a_password(
    server: str, password: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in (server.replace("@", f":{SECRET}@"), f"{server}?password={SECRET}"):
        with pytest.raises(SettingsError, match="PGPASSWORD") as refused:
            storage.require_storage(url)
        assert SECRET not in str(refused.value)
    with pytest.raises(SettingsError, match="postgresql://"):
        storage.require_storage("mongodb://host/sweeps")
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    opened(tmp_path / "here", asked(server, name="folders"))
    opened(tmp_path / "here", asked(server, name="folders"))
    with pytest.raises(OutputExistsError, match=r"runs\.folder"):
        opened(tmp_path / "there", asked(server, name="folders"))
    monkeypatch.setenv("PGPASSWORD", "wrong")
    with pytest.raises(StudyUnreachableError, match="password authentication failed"):
        opened(tmp_path / "here", asked(server, name="folders"))
    monkeypatch.setattr(storage, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"-e '\.\[postgresql\]'"):
        storage.require_storage(server)


def test_a_database_that_no_longer_answers_ends_the_command_and_not_the_trial(
    server: str, password: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = opened(tmp_path, asked(server, name="away"))
    claim = study.claim()
    assert claim is not None
    monkeypatch.setenv("PGPASSWORD", "wrong")  # each call connects anew
    for call in (study.claim, study.tried, lambda: study.fail(claim, reason="?"), lambda: study.give_back(claim)):
        with pytest.raises(StudyUnreachableError, match="does not answer"):
            call()
    monkeypatch.setenv("PGPASSWORD", SECRET)
    again = opened(tmp_path, asked(server, name="away")).claim()
    assert again is not None and (again.run, again.values) == (claim.run, claim.values)


def test_the_commands_of_the_page_run_on_several_machines(
    server: str, password: None, project: Path, weldcache: Callable[..., Any]
) -> None:
    """Those that take a database; what places the processes is left out."""
    text = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    (project / "pace.yaml").write_text(LONG_SWEEP.replace("epochs: 60", "epochs: 1"))
    lines = [line for line in command_lines(section(text, "## Sweeps on several machines")) if "--engine" not in line]
    assert len(lines) == 3
    for number, line in enumerate(lines, start=1):
        (words,) = words_of(line.replace("postgresql://welder@db.plant/sweeps", server))
        arguments = words[words.index("weldcache") + 1 :]
        if "--jobs" in arguments:  # which are tried elsewhere
            place = arguments.index("--jobs")
            del arguments[place : place + 2]
        outcome = weldcache(*arguments, "--trials", str(number), folder=project)
        assert outcome.code == 0 and f"the best of {number}" in outcome.out, outcome.err


def test_a_journal_on_nfs_is_said_to_take_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(storage, "_file_system", lambda folder: "nfs4")
    opened(tmp_path, SweepRequest(**{**vars(asked("sqlite:///unused")), "storage": None}))
    assert "NFS" in capsys.readouterr().err


@contextmanager
def killed_at_the_end(command: list[str], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow  # processes that import everything anew
def test_a_machine_that_dies_costs_no_trial_and_no_credential_is_written(
    server: str, password: None, project: Path, child_environment: Mapping[str, str]
) -> None:
    (project / "far.yaml").write_text(f"storage: {server}\n{LONG_SWEEP}")
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**child_environment, "PYTHONPATH": paths, "PGPASSWORD": SECRET}
    options: Mapping[str, Any] = {"cwd": project, "env": environment}

    def command(machine: str) -> list[str]:
        return [sys.executable, "-c", _MACHINE, machine, "sweep", "far.yaml"]

    def num_owners() -> int:
        asked = "SELECT count(DISTINCT value_json) FROM trial_user_attributes WHERE key = 'owner'"
        time.sleep(0.1)
        with suppress(psycopg.errors.UndefinedTable), psycopg.connect(server) as connection:
            return int((connection.execute(asked).fetchone() or [0])[0])
        return 0  # it has not begun yet

    before = num_owners()
    with killed_at_the_end(command("first"), **options) as first:
        wait_for(lambda: num_owners() > before, first)
    with killed_at_the_end(command("second"), **options) as second:
        _, said = second.communicate()
    assert second.returncode == 0, said
    assert num_owners() == before + 2
    require_each_once(project / "runs/far/sweep.json")
    written = [path for path in project.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert not written and SECRET not in said


@pytest.mark.slow  # processes that import everything anew
def test_a_machine_of_ray_a_worker_and_then_its_driver_may_die(
    project: Path, child_environment: Mapping[str, str]
) -> None:
    (project / "cluster.yaml").write_text(LONG_SWEEP)
    paths = os.pathsep.join(path for path in sys.path if path)
    options: Mapping[str, Any] = {"cwd": project, "env": {**child_environment, "PYTHONPATH": paths}}
    command = [sys.executable, "-m", "weldcache", "sweep", "cluster.yaml"]
    journal = project / "runs/cluster/journal.log"
    machines = Machines(options["env"])
    on_ray = [*command, "--engine", "ray", "--address", machines.address, "--jobs", "2"]
    with closing(machines), killed_at_the_end(on_ray, **options) as driver:
        wait_for(lambda: len(owners_in(journal)) == 2, driver)
        machines.lose_one()
        assert driver.stderr is not None
        replaced = (line for line in driver.stderr if "another one takes its place" in line)
        assert next(replaced, None)
        wait_for(lambda: len(alive(owners_in(journal))) == 1, driver)
        os.kill(*alive(owners_in(journal)), signal.SIGKILL)
        assert next(replaced, None)
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    require_each_once(project / "runs/cluster/sweep.json")


def test_what_ray_is_asked_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="--engine ray"):
        ray_workers.cluster_of("local", address="auto", gpus=None)
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"-e '\.\[ray\]'"):
        ray_workers.cluster_of("ray", address=None, gpus=None)
