"""The program as a whole: help, exit codes, and errors as sentences."""

import contextlib
import errno
import io
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.cli import main
from weldcache.errors import BadInputError, WeldcacheError

COMMANDS = ("synth", "extract", "info", "train", "eval", "config")
# Each help is asked for in one process; then nothing heavy may have been imported.
_ALL_HELP = """
import sys
from weldcache.cli.main import run
codes = [run([*command.split(), "--help"]) for command in sys.argv[1:]]
heavy = {"torch", "transformers", "numpy", "pandas", "zarr", "cv2", "yaml", "weldcache.settings"}
print(codes, sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""


def test_help_needs_nothing_heavy(child_environment: dict[str, str]) -> None:
    asked = ["", *COMMANDS, "config list", "config show", "config explain"]
    done = subprocess.run(
        [sys.executable, "-c", _ALL_HELP, *asked], capture_output=True, text=True, env=child_environment, check=True
    )
    assert done.stderr.strip() == f"{[0] * len(asked)} []"
    for command in COMMANDS:
        assert f"weldcache {command}" in done.stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], [*COMMANDS, "weldcache synth demo", "--debug"]),
        (["synth"], ["OUT", "--size", "tiny|small|full", "--seed", "--confounded", "--workers", "manifest.csv"]),
        (["extract"], ["--config", "--data", "--cache", "--split", "train|val|test|all", "--set", "interrupt it"]),
        (["info"], ["--cache", "--json", "fingerprint"]),
        (["train"], ["--config", "--cache", "--run", "--overwrite", "--set", "runs/<name>"]),
        (["eval"], ["--run", "--split", "--json", "report.html", "report.json", "scores_<split>.csv"]),
        (["config"], ["list", "show", "explain"]),
        (["config", "explain"], ["KEY", "train.lr"]),
    ],
)
def test_help_says_what_matters(
    weldcache: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], words: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    outcome = weldcache(*command, "--help", folder=tmp_path)
    assert outcome.code == 0 and outcome.err == ""
    assert [word for word in words if word not in outcome.out] == []


def test_without_a_command_the_help(weldcache: Callable[..., Any], tmp_path: Path) -> None:
    outcome = weldcache(folder=tmp_path)
    assert outcome.code == 2
    assert all(command in outcome.out for command in COMMANDS)
    assert outcome.err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["exctract"], "No such command 'exctract'"),
        (["extract", "--nope"], "No such option: --nope. See"),
        (["extract", "--split", "dev"], "'dev' is not one of 'train', 'val', 'test', 'all'"),
        (["eval", "--split", "train"], "'train' is not one of"),
        (["synth"], "Missing argument"),
        (["synth", "out", "--seed", "-1"], "Input should be greater than or equal to 0"),
        (["train", "--set"], "requires an argument"),
        (["config", "explain"], "Missing argument"),
    ],
)
def test_what_cannot_be_parsed_is_bad_input(
    weldcache: Callable[..., Any], tmp_path: Path, arguments: list[str], said: str
) -> None:
    outcome = weldcache(*arguments, folder=tmp_path)
    assert outcome.code == 2 and outcome.out == ""
    assert said in outcome.err and "Traceback" not in outcome.err
    assert list(tmp_path.iterdir()) == []


class Failing:
    """Stands in for a command that raises."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, *_: object, **__: object) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (WeldcacheError("The disk is full."), 1, "weldcache: The disk is full."),
        (BadInputError("No such run."), 2, "weldcache: No such run."),
        (KeyboardInterrupt(), 130, "Interrupted. What was complete is kept; run the same command again to go on."),
        (OSError(28, "No space left on device", "/runs/a"), 1, "weldcache: /runs/a: no space left on device."),
        (OSError(36, "File name too long", "/runs/" + 300 * "x"), 2, "file name too long."),
        (WeldcacheError("The class \x1b]0;title\x07"), 1, "weldcache: The class \\x1b]0;title\\x07"),
        (ZeroDivisionError("oops"), 1, "ZeroDivisionError: oops This is a fault of weldcache; --debug shows where."),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_errors_are_sentences_and_debug_shows_where(
    weldcache: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    said: str,
    debug: bool,
) -> None:
    monkeypatch.setattr("weldcache.settings.load_settings", Failing(error))
    outcome = weldcache("config", "show", *(["--debug"] if debug else []), folder=tmp_path)
    assert outcome.code == code and outcome.out == ""
    assert said in outcome.err
    assert ("Traceback" in outcome.err) == debug


def test_debug_works_before_the_command_too(weldcache: Callable[..., Any], tmp_path: Path) -> None:
    outcome = weldcache("--debug", "info", folder=tmp_path)
    assert outcome.code == 2 and "Traceback" in outcome.err and "There is no feature store" in outcome.err


def test_the_console_script_exits_with_the_code_whoever_presses_ctrl_c_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["weldcache", "exctract"])
    before, ended = signal.getsignal(signal.SIGINT), list[int]()
    monkeypatch.setattr("os._exit", ended.append)
    try:
        with pytest.raises(SystemExit) as stop:
            main.main()
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert stop.value.code == 2 and ended == [2]


class Unread(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_what_nobody_reads_to_its_end_ends_as_by_the_signal() -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(Unread()), contextlib.redirect_stderr(said):
        assert main.run(["config", "list", "--json"]) == 128 + signal.SIGPIPE
    assert said.getvalue() == ""


def test_a_pipe_that_closes_is_no_fault(child_environment: dict[str, str]) -> None:
    command = f"{sys.executable} -m weldcache -q config show | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=child_environment, check=False)
    assert done.stderr == ""
