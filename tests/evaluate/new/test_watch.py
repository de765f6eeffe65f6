"""A folder that new samples come to is scored as it fills, and each sample once."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache import api
from weldcache.errors import SettingsError
from weldcache.evaluate.new.lines import Tally
from weldcache.evaluate.new.watch import Arrivals, WatchState, watch_folder
from weldcache.extract.sources.source import Sample
from weldcache.tests.evaluate.new.conftest import Run


class Looks:
    """Between two looks into a folder something arrives, and after all arrivals somebody presses Ctrl-C."""

    def __init__(self, *arrivals: Callable[[], object]) -> None:
        self._arrivals = iter(arrivals)

    def __call__(self, seconds: float) -> None:
        arrival = next(self._arrivals, None)
        if arrival is None:
            raise KeyboardInterrupt
        arrival()


def _nothing() -> None:
    return


def test_a_watched_folder_is_scored_as_it_fills_and_each_sample_once(parts: Path, tmp_path: Path) -> None:
    run = api.load_run("pictures", settings=api.load_settings(folder=parts))
    good, other = sorted((parts / "pictures/test").rglob("*.png"))[:2]
    folder, state = tmp_path / "inbox", tmp_path / "state.jsonl"
    folder.mkdir()

    def watched(*arrivals: Callable[[], object]) -> tuple[list[str], Tally]:
        told: list[str] = []
        tally = watch_folder(
            run,
            folder,
            settings=run.settings,
            emit=lambda scored: told.append(scored.sample.key),
            state=WatchState(state, run=run),
            every=1.0,
            patience=2.0,
            sleep=Looks(*arrivals),
        )
        return told, tally

    def half() -> None:
        (folder / "a.png").write_bytes(good.read_bytes()[:50])

    def whole() -> None:
        (folder / "a.png").write_bytes(good.read_bytes())

    told, tally = watched(half, whole, _nothing, lambda: shutil.copy(other, folder / "b.png"), _nothing, _nothing)
    assert told == ["a.png", "b.png"] and (tally.num_scored, tally.num_failed) == (2, 0)
    with state.open("a") as file:
        file.write('{"key": "cut sh')  # by a kill
    assert watched(_nothing, _nothing)[0] == []
    assert watched(lambda: shutil.copy(good, folder / "c.png"), _nothing)[0] == ["c.png"]
    assert watched(lambda: shutil.copy(good, folder / "b.png"), _nothing)[0] == ["b.png"]  # other contents
    other_run = api.load_run("looks", settings=api.load_settings(folder=parts))
    assert len(WatchState(state, run=other_run)) == 0
    state.write_text("[]")
    with pytest.raises(SettingsError, match="state"):
        WatchState(state, run=run)


def test_what_lacks_something_is_waited_for(tmp_path: Path, parts: Path) -> None:
    run = api.load_run("joined", settings=api.load_settings(folder=parts))
    (tmp_path / "film").touch()
    (tmp_path / "sound").touch()
    film, sound = (tmp_path / "film",), (tmp_path / "sound",)
    whole, half, view, none = (
        Sample(key=key, split="test", group=key, files=files)
        for key, files in (
            ("whole", {"film": film * 2, "sound": sound}),
            ("half", {"film": film * 2}),
            ("view", {"film": film, "sound": sound}),
            ("none", {}),
        )
    )
    streams = {"film": 2, "sound": 1}
    arrivals = Arrivals(WatchState(tmp_path / "state", run=run), looks=3)
    ready = [[sample.key for _, sample in arrivals.ready([whole, half, view, none], streams=streams)] for _ in "1234"]
    assert ready == [[], ["whole"], ["whole"], ["whole", "half", "view"]]


def test_a_watched_folder_is_the_same_however_it_is_called(
    tmp_path: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = api.load_run("joined", settings=api.load_settings(folder=parts))
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox/film").touch()
    (tmp_path / "link").symlink_to("inbox")
    monkeypatch.chdir(tmp_path)
    ready = []
    for folder in (Path("inbox"), tmp_path / "inbox", Path("inbox/../inbox"), Path("link")):
        state = WatchState(tmp_path / "state", run=run)
        sample = Sample(key="a", split="test", group="a", files={"film": (folder / "film",)})
        arrivals = Arrivals(state, looks=1)
        for stamp, arrived in [
            *arrivals.ready([sample], streams={"film": 1}),
            *arrivals.ready([sample], streams={"film": 1}),
        ]:
            state.add(arrived.key, stamp)
            ready.append(folder)
    assert ready == [Path("inbox")]


def test_a_table_that_is_not_there_yet_is_waited_for(
    weldcache: Run, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def come() -> None:
        (tmp_path / "table.csv").write_text("key,photo,s1,s2,s3\na,,1,2,3\n")

    command = ["score", str(tmp_path), "--run", "numbers", "--watch"]
    monkeypatch.setattr("weldcache.evaluate.new.score.sleep", Looks(_nothing))
    outcome = weldcache(*command, folder=parts)
    assert outcome.code == 0 and outcome.err.count("waited for") == 1 and outcome.raw_out == ""
    monkeypatch.setattr("weldcache.evaluate.new.score.sleep", Looks(_nothing, come, _nothing, _nothing))
    outcome = weldcache(*command, folder=parts)
    assert outcome.code == 0 and "1 part scored" in outcome.err and "\na," in outcome.raw_out


def test_the_command_that_watches_goes_on_with_its_file(
    weldcache: Run, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, inbox, out = next((parts / "pictures/test").rglob("*.png")), tmp_path / "inbox", tmp_path / "scores.csv"
    inbox.mkdir()
    command = ["score", str(inbox), "--run", "pictures", "--watch", "--out", str(out)]
    for name in ("a.png", "b.png"):
        shutil.copy(picture, inbox / name)
        monkeypatch.setattr("weldcache.evaluate.new.score.sleep", Looks(_nothing, _nothing))
        outcome = weldcache(*command, folder=parts)
        assert outcome.code == 0 and "1 picture scored" in outcome.err, outcome.err
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == ["a.png", "b.png"] and rows[0]["score"]
    assert rows[0]["p_value"] and "adjusted_p_value" not in rows[0]  # of which nobody knows how many will come
    assert weldcache(*command, str(inbox), folder=parts).code == 2
