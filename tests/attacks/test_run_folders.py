"""A run's folder from a stranger, or edited.

Nothing outside it is read, written or removed, no edit goes unnoticed, and one bad run does not stop the commands that
read all of them.
"""

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from weldcache.documents import sealed
from weldcache.errors import SettingsError, TrainingError, WeldcacheError
from weldcache.findings import Check
from weldcache.train.runs.catalogue import list_runs
from weldcache.train.runs.checkpoint import read_checkpoint
from weldcache.train.runs.documents import sealed_manifest
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.names import find_run
from weldcache.train.runs.trained_run import load_run
from weldcache.train.runs.verification import verify_run, verify_runs

Run = Callable[..., Any]


@pytest.fixture
def project(judged: Path, linked_copy_of: Callable[[Path], Path]) -> Path:
    """A project with the run `first`, trained and evaluated, whose files alone are written into."""
    project = linked_copy_of(judged)
    shutil.rmtree(project / "runs")
    shutil.copytree(judged / "runs", project / "runs")
    return project


@pytest.fixture
def run(project: Path) -> RunFolder:
    return RunFolder(project / "runs/first")


@pytest.fixture
def forge(run: RunFolder) -> Callable[[str, dict[str, Any]], None]:
    """Change a document of the run, and seal it as it was sealed: there is no key."""

    def change(name: str, changes: dict[str, Any]) -> None:
        path = run.path / name
        path.write_text(json.dumps(sealed(json.loads(path.read_text()) | changes)))

    return change


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file of the user's, outside the project, that must stay as it is."""
    path = tmp_path / "thesis"
    path.write_text("years of work")
    return path


def faults_of(check: Check) -> list[str]:
    return [finding.evidence for finding in check.findings if finding.severity == "error"]


def digit_changed(path: Path, *, after: str) -> None:
    """Change the first digit that is not 0 or 9 after a text."""
    text = path.read_text()
    start = text.index(after) + len(after)
    place = next(place for place in range(start, len(text)) if text[place] in "12345678")
    path.write_text(text[:place] + str(int(text[place]) + 1) + text[place + 1 :])


def byte_changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


EDITS: dict[str, Callable[[Path], None]] = {
    "report.json": lambda path: digit_changed(path, after='"auroc"'),
    "report.html": lambda path: digit_changed(path, after="AUROC"),
    "scores_test.csv": lambda path: digit_changed(path, after="\n"),
    "state.json": lambda path: digit_changed(path, after='"val_auroc"'),
    "metrics.jsonl": lambda path: digit_changed(path, after="_effective_rank"),
    "manifest.json": lambda path: digit_changed(path, after='"counts"'),
    "config.yaml": lambda path: digit_changed(path, after="num_frames"),
    "best.safetensors": byte_changed,
    "last.safetensors": byte_changed,
}


def test_every_edit_is_found_and_names_its_file(run: RunFolder) -> None:
    folder = run.path.parent
    assert faults_of(verify_run(run, folder=folder)) == []
    for name, edit in EDITS.items():
        before = (run.path / name).read_bytes()
        edit(run.path / name)
        assert (run.path / name).read_bytes() != before
        assert any(name in fault for fault in faults_of(verify_run(run, folder=folder))), name
        (run.path / name).write_bytes(before)
    for name in ("scores_test.csv", "report.html", "config.yaml"):
        lost = (run.path / name).rename(folder / "lost")
        assert any(name in fault for fault in faults_of(verify_run(run, folder=folder))), name
        lost.rename(run.path / name)
    lines = run.metrics_path.read_text().splitlines(keepends=True)
    for kept in ([], lines[:-1], lines[1:], [lines[1], lines[0], *lines[2:]]):
        run.metrics_path.write_text("".join(kept))
        assert any("metrics.jsonl" in fault for fault in faults_of(verify_run(run, folder=folder))), kept
    run.metrics_path.write_text("".join(lines))
    assert [faults_of(check) for check in verify_runs(folder)] == [[]]


def test_files_of_another_run_are_not_taken_for_this_ones(weldcache: Run, run: RunFolder, project: Path) -> None:
    """A report and a log that are sound, and tell of a better run."""
    trained = weldcache("train", "--run", "second", "--set", "train.epochs=3", "--set", "train.seed=1", folder=project)
    assert trained.code == 0, trained.err
    second = RunFolder(project / "runs/second")
    for name in ("report.json", "state.json", "metrics.jsonl", "best.safetensors"):
        before = (second.path / name).read_bytes() if (second.path / name).exists() else None
        shutil.copy(run.path / name, second.path / name)
        faults = faults_of(verify_run(second, folder=project / "runs"))
        assert any(name in fault for fault in faults), name
        (second.path / name).unlink() if before is None else (second.path / name).write_bytes(before)


def test_the_commands_say_it(weldcache: Run, run: RunFolder, project: Path) -> None:
    assert weldcache("runs", "verify", folder=project).code == 0
    digit_changed(run.path / "report.json", after='"auroc"')
    verified = weldcache("runs", "verify", "first", folder=project)
    assert verified.code == 1 and "report.json does not match its checksum" in verified.out
    listed = weldcache("runs", "list", folder=project)
    assert listed.code == 0 and "damaged" in listed.out and "report.json does not match" in listed.out
    told = json.loads(weldcache("runs", "list", "--json", folder=project).raw_out)["runs"][0]
    assert told["test_auroc"] is None and told["status"] == "damaged"
    assert "first" in weldcache("verify", "--no-sources", folder=project).err
    digit_changed(run.metrics_path, after="_effective_rank")
    judged = weldcache("eval", "--run", "first", folder=project)
    assert judged.code == 1 and "metrics.jsonl, line 1" in judged.err
    run.config_path.unlink()
    lost = weldcache("eval", "--run", "first", folder=project)
    assert lost.code == 2 and "config.yaml" in lost.err and "fault of weldcache" not in lost.err


BOMBS = {
    "deep": "[" * 100_000,
    "deep object": '{"a":' * 5_000 + "1" + "}" * 5_000,
    "long number": '{"epoch": ' + "9" * 5_000 + "}",
    "infinity": '{"epoch": 1e999}',
    "a key twice": '{"epoch": 1, "epoch": 2}',
    "half a character": '{"recipe": "\\ud800"}',
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_one_bad_run_does_not_stop_the_list_of_all(run: RunFolder, bomb: str) -> None:
    folder = run.path.parent
    for name in ("manifest.json", "state.json", "metrics.jsonl", "report.json"):
        other = RunFolder(Path(shutil.copytree(run.path, folder / f"bad-{name}")))
        (other.path / name).write_text(BOMBS[bomb] + "\n")
    found = {entry.name: entry.status for entry in list_runs(folder, nested=True)}
    assert found.pop("first") == "finished" and set(found.values()) == {"damaged"} and len(found) == 4


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "metrics.jsonl", "config.yaml", "best.safetensors"])
def test_a_pipe_is_not_waited_for(run: RunFolder, name: str) -> None:
    (run.path / name).unlink()
    os.mkfifo(run.path / name)
    entries = list_runs(run.path.parent, nested=False)
    assert all(entry.status == "damaged" for entry in entries) or name == "best.safetensors"
    with pytest.raises((WeldcacheError, OSError)):
        load_run(run.path).best()


def test_nothing_is_written_through_a_link(weldcache: Run, run: RunFolder, project: Path, precious: Path) -> None:
    for name in ("report.html", "scores_test.csv", "metrics.jsonl"):
        kept = (run.path / name).rename(project / "kept")
        (run.path / name).symlink_to(precious)
        outcome = weldcache("eval", "--run", "first", folder=project)
        assert outcome.code == 1 and f"{name} is a link" in outcome.err
        (run.path / name).unlink()
        kept.rename(run.path / name)
    assert precious.read_text() == "years of work"


def test_a_folder_that_leads_to_itself_costs_itself_alone(weldcache: Run, run: RunFolder, project: Path) -> None:
    (project / "runs/loop").symlink_to("loop")
    (project / "runs/inner").mkdir()
    (project / "runs/inner/again").symlink_to(project / "runs")
    assert [entry.name for entry in list_runs(project / "runs", nested=False)] == ["first"]
    for command in (["runs", "list", "--all"], ["runs", "prune", "--all"], ["runs", "verify"]):
        assert weldcache(*command, folder=project).code == 0, command
    outcome = weldcache("train", "--run", "loop", folder=project)
    assert outcome.code == 2 and "leads to itself" in outcome.err


@pytest.mark.parametrize("name", ["../../thesis", "/etc/passwd", ".", "a/b"])
def test_names_of_files_do_not_lead_out(run: RunFolder, forge: Callable[..., None], precious: Path, name: str) -> None:
    forge("report.json", {"files": {name: "0" * 64}})
    (fault, *_) = faults_of(verify_run(run, folder=run.path.parent))
    assert "report.json is damaged" in fault


FORGED: dict[str, tuple[str, dict[str, Any]]] = {
    "counts are a list": ("manifest.json", {"counts": [1]}),
    "parameters are text": ("manifest.json", {"parameters": "many"}),
    "no samples": ("manifest.json", {"samples": {}}),
    "a number as a key": ("manifest.json", {"samples": {"train": [1], "validation": []}}),
    "a seed that is none": ("manifest.json", {"seed": "0"}),
    "a recipe that is a list": ("manifest.json", {"recipe": ["causal_film"]}),
    "a cache that is a list": ("manifest.json", {"cache": {"features": []}}),
    "caveats that are text": ("manifest.json", {"caveats": "abc"}),
    "a shape that is text": ("manifest.json", {"shapes": {"video/tokens": "64"}}),
    "a shape of fewer than none": ("manifest.json", {"shapes": {"video/tokens": [-1]}}),
    "a shape beyond any store's": ("manifest.json", {"shapes": {"video/tokens": [2**40]}}),
    "a shape of too many axes": ("manifest.json", {"shapes": {"video/tokens": [1] * 10}}),
    "a figure that is text": ("state.json", {"best": {"val_auroc": "0.9"}}),
    "figures by a name that acts": ("state.json", {"best": {"\x1b]0;x": 1.0}}),
    "a negative epoch": ("state.json", {"epoch": -1}),
    "an AUROC that is text": ("report.json", {"sections": {"headline": {"facts": {"auroc": {"value": "0.9"}}}}}),
    "more samples than a number holds": ("report.json", {"sections": {"headline": {"facts": {"num_normal": 10**400}}}}),
}


@pytest.mark.parametrize("kind", FORGED)
def test_values_of_other_types_are_damage_and_say_where(run: RunFolder, forge: Callable[..., None], kind: str) -> None:
    name, changes = FORGED[kind]
    forge(name, changes)
    (entry,) = list_runs(run.path.parent, nested=False)
    assert entry.status == "damaged" and f"{name} is damaged ({next(iter(changes))}" in entry.faults[0]


def test_a_header_that_claims_more_than_the_file_is_refused_before_room_is_made(run: RunFolder) -> None:
    for length in (2**63, 1 << 40, 0, run.best_path.stat().st_size):
        with run.best_path.open("r+b") as file:
            file.write(struct.pack("<Q", length))
        with pytest.raises(TrainingError, match="header"):
            read_checkpoint(run.best_path)


def names_that_act(entry: str) -> Iterator[str]:
    yield from (f"\x1b]0;title\x07{entry}", f"[/]{entry}[link=http://x]", f"\u202e{entry}", f"{entry}\r\n{entry}")


def test_names_neither_act_on_the_terminal_nor_are_markup(
    weldcache: Run, run: RunFolder, forge: Callable[..., None], project: Path
) -> None:
    for name in names_that_act("evil"):
        forge("manifest.json", {"recipe": name, "command": f"weldcache {name}", "created": name, "fingerprint": name})
        for path in (run.state_path, run.path / "report.json"):
            run.write(path, json.loads(path.read_text()))
        for command in (["list"], ["show", "first"], ["verify"], ["prune"]):
            outcome = weldcache("runs", *command, folder=project)
            printed = outcome.raw_out + outcome.err
            assert "fault of weldcache" not in printed and ("evil" in printed or command[0] in ("prune", "verify"))
            assert not {"\x1b", "\x07", "\u202e", "\r"} & set(printed), (command, name)


def test_a_strangers_command_is_not_for_copying(run: RunFolder, forge: Callable[..., None]) -> None:
    for command in ("rm -rf ~", "weldcache train; rm -rf ~", "weldcache train 'x", ""):
        forge("manifest.json", {"command": command})
        told = run.how_to_go_on()
        assert "rm -rf" not in told.replace("'train;' rm -rf", "")


@pytest.mark.parametrize("name", ["../thesis", "first/../../thesis", "/etc", "first/", "x" * 256, "é", "a\0b", "a\nb"])
def test_names_of_runs_do_not_lead_out(project: Path, name: str) -> None:
    with pytest.raises(WeldcacheError, match=r"A run's name|is a path"):
        find_run(project / "runs", name)


def test_settings_cannot_ask_for_any_amount_of_memory(run: RunFolder) -> None:
    config = run.config_path.read_text().replace("d_model: ", "d_model: 1000000000 # ")
    run.config_path.write_text(config)
    with pytest.raises(TrainingError, match="edited"):
        load_run(run.path)
    run.manifest_path.write_text(json.dumps(sealed_manifest(run.manifest(), config=config)))
    with pytest.raises(SettingsError, match="d_model"):
        load_run(run.path)
