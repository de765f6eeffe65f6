"""What samples look like in a report: every stream of a real store, and what is said where files are gone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from weldcache.cache.arrays import ArraySpec
from weldcache.cache.status import SourceFile
from weldcache.cache.store import FeatureStore
from weldcache.evaluate.exhibits import Circle, Picture, Traces
from weldcache.evaluate.sample_media import SampleMedia, sample_book
from weldcache.extract.features.settings import CloudSettings
from weldcache.settings import load_settings


@pytest.fixture(scope="module")
def media(extracted: Path) -> SampleMedia:
    store = FeatureStore.open(extracted / "features.zarr")
    features = load_settings(None, folder=extracted).features
    normals = np.flatnonzero((store.index.parts == "train") & (store.index.labels == 0))
    return SampleMedia(store, extracted, features, np.arange(len(store.index)), normals)


def test_a_panel_shows_every_stream(media: SampleMedia) -> None:
    panel = media.panel(0)
    assert list(panel.media) == ["image", "video", "audio", "sensor"] and not panel.notes
    pictures = [each for stream in ("image", "video", "audio") for each in panel.media[stream]]
    for picture in pictures:
        assert isinstance(picture, Picture)
        decoded = cv2.imdecode(np.frombuffer(picture.content, dtype=np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None and decoded.shape == (picture.height, picture.width, 3)
        assert max(decoded.shape) <= 1000 and picture.description
    (traces,) = panel.media["sensor"]
    assert isinstance(traces, Traces) and traces.seconds > 0 and len(traces.traces) == 6
    for trace in traces.traces:
        assert trace.low is not None and trace.high is not None and (trace.low <= trace.high).all()
        assert trace.values.shape == trace.low.shape == trace.high.shape


def test_most_normals_lie_within_their_own_band(media: SampleMedia) -> None:
    inside = []
    for row in media.normals:
        (traces,) = media.panel(int(row)).media["sensor"]
        assert isinstance(traces, Traces)
        for trace in traces.traces:
            assert trace.low is not None and trace.high is not None
            inside.append(((trace.low <= trace.values) & (trace.values <= trace.high)).mean())
    assert np.mean(inside) > 0.7


def test_what_is_gone_is_said_and_fails_nothing(media: SampleMedia, tmp_path: Path) -> None:
    gone = replace(media, root=tmp_path / "gone").panel(0)
    assert list(gone.media) == ["sensor"]
    (note,) = gone.notes
    assert "gone" in note and str(tmp_path) not in note
    empty = replace(media, root=tmp_path).panel(0)
    assert list(empty.media) == ["sensor"] and len(empty.notes) == 3
    assert not any(str(tmp_path) in note for note in empty.notes)
    assert replace(media, root=tmp_path).thumbnail(0) is None


def test_measurements_of_which_the_store_tells_no_times_and_no_names_are_shown(
    media: SampleMedia, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {"values": replace(media.store.arrays("sensor")["values"], attributes={})}
    monkeypatch.setattr(media.store, "arrays", lambda _: held)
    (traces,) = media.panel(0).media["sensor"]
    assert isinstance(traces, Traces) and [each.name for each in traces.traces][:2] == ["channel 1", "channel 2"]
    assert traces.caption.startswith("128 steps")


def test_a_cloud_is_seen_from_above_the_brighter_the_higher(
    media: SampleMedia, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is not asked for: the store holds the points, with padding."""
    points = np.array([[-1.0, -1, 0], [1, 1, 5], [1, -1, 0], [np.nan] * 3])
    held = {"points": ArraySpec("points", (4, 3), ("point", "channel"), "float32", attributes={"channels": [*"xyz"]})}
    monkeypatch.setattr(media.store, "arrays", lambda _: held)
    monkeypatch.setattr(media.store, "read", lambda *_: points[np.newaxis])
    clouds = replace(media, features={"sensor": CloudSettings(stream="sensor")}, root=Path("gone"))
    (picture,) = clouds.panel(0).media["sensor"]
    assert isinstance(picture, Picture) and clouds.thumbnail(0) is not None
    decoded = cv2.imdecode(np.frombuffer(picture.content, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    first, last = slice(0, 9), slice(-9, None)
    dots = [[bool((decoded[down, across, 3] > 128).any()) for across in (first, last)] for down in (first, last)]
    assert dots == [[False, True], [True, True]]  # from the upper left corner to the lower right one
    brightness = decoded[..., :3].sum(axis=2)
    assert brightness[first, last].max() > brightness[last].max()


def test_what_a_judge_shows_stands_behind_what_the_sample_looks_like(media: SampleMedia) -> None:
    circle = Circle("angles", [("model", "predicted", np.ones(360))])
    book = sample_book(
        replace(media, rows=np.arange(2)),
        worth_seeing={1},
        shown="thumbnails",
        of_judge={0: {"angles": [circle]}, 1: {"angles": [circle]}},
    )
    assert set(book.panels) == {1} and list(book.panels[1].media) == ["image", "video", "audio", "sensor", "angles"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.jpg", "a/../../secret.jpg"])
def test_a_path_that_leads_out_of_the_data_set_is_not_followed(
    path: str, media: SampleMedia, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [(SourceFile(path, 1, 1, "0" * 64),)]
    monkeypatch.setattr(media.store, "sources", lambda _, rows: told * len(rows))
    assert not any(replace(media).files(0).values())


def test_how_much_is_shown_is_chosen(media: SampleMedia) -> None:
    first = replace(media, rows=np.arange(4))
    none, some, full = (
        sample_book(first, worth_seeing={1}, shown=shown)
        for shown in ("none", "thumbnails", "full")  # type: ignore[arg-type]
    )
    assert not none.panels and not none.thumbnails
    assert set(some.panels) == {1} and set(some.thumbnails) == {0, 2, 3}
    assert set(full.panels) == {0, 1, 2, 3} and not full.thumbnails
    assert all(
        max(small.width, small.height) <= 112 and len(small.content) < 6000 for small in some.thumbnails.values()
    )


def test_what_is_shown_changes_no_figure_and_no_calibration_and_pictures_are_files_where_asked_for(
    judged: Path, copy_of: Callable[[Path], Path], weldcache: Callable[..., Any]
) -> None:
    project = copy_of(judged)
    run = project / "runs/first"
    names = ("calibration.json", "scores_test.csv")
    before, with_media = [(run / name).read_bytes() for name in names], (run / "report.html").stat().st_size
    facts = json.loads((run / "report.json").read_text())["sections"]
    assert "data:image/webp;base64," in (run / "report.html").read_text()
    outcome = weldcache("eval", "--run", "first", "--media", "none", "--figures", "png", folder=project)
    assert outcome.code == 0, outcome.err
    files = sorted((run / "figures_test").iterdir())
    assert "ranking_1.png" in [file.name for file in files] and len(files) > 4
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    assert [(run / name).read_bytes() for name in names] == before
    assert json.loads((run / "report.json").read_text())["sections"] == facts
    assert (run / "report.html").stat().st_size < with_media
    assert "data:image/webp;base64," not in (run / "report.html").read_text()
