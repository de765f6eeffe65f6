"""The section on localisation: figures where masks say where defects are, a reason where nothing does; no proxy."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from weldcache.evaluate.localise import judged
from weldcache.evaluate.localise.judged import MaskedPictures, gather, localisation_section
from weldcache.evaluate.localise.localiser import localiser_of
from weldcache.evaluate.localise.maps import PictureMap
from weldcache.evaluate.localise.masks import MaskFiles, find_masks, read_mask
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.scoring import score_split
from weldcache.evaluate.section import Section
from weldcache.extract.sources.folder import FolderSettings
from weldcache.metrics.estimate import Estimate
from weldcache.tests.evaluate.localise.conftest import Planted, write_picture

Make = Callable[..., Planted]
Run = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("masks_alone")


@pytest.fixture
def masks_alone(undrawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without their pictures, and with what masks tell."""
    monkeypatch.setattr("weldcache.evaluate.localise.judged.find_masks", find_masks)


def table_of(planted: Planted) -> ScoreTable:
    return score_split(planted.localiser().scorer, "test").table


def section_of(planted: Planted, *, root: Path | None = None) -> Section:
    data = FolderSettings(root=root or planted.folder / "parts")
    return localisation_section(planted.localiser(), table_of(planted), data=data, written=[], seed=0)


def figures(section: Section) -> dict[str, Any]:
    return {fact.id: fact.value for fact in section.facts}


def test_masks_of_a_folder_give_figures_with_intervals(make_planted: Make) -> None:
    found = figures(section_of(make_planted()))
    assert found["num_pictures"] == 12 and found["num_masked"] == 6 and found["num_regions"] == 6
    assert found["num_unmasked"] == found["num_unfit"] == 0
    for name in ("pixel_auroc", "aupro_30", "aupro_10", "aupro_5", "aupro_1"):
        assert isinstance(found[name], Estimate)
    assert found["pixel_auroc"].low > 0.7 and found["aupro_30"].value > 0.5


def test_maps_no_better_than_chance_are_said_to_be_so(make_planted: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turned round, the best map is the worst."""
    planted = make_planted()
    on_pixels = PictureMap.on_pixels
    assert "chance does" not in " ".join(section_of(planted).note)
    monkeypatch.setattr(PictureMap, "on_pixels", lambda each: -on_pixels(each))
    assert "chance does" in section_of(planted).note[0]


def test_a_data_set_without_masks_has_no_figures_and_says_so(make_planted: Make, tmp_path: Path) -> None:
    planted = make_planted()
    without = tmp_path / "parts"
    without.mkdir()
    for name in ("train", "test"):
        (without / name).symlink_to(planted.folder / "parts" / name)
    section = section_of(planted, root=without)
    assert section.facts == () and "No masks" in section.note[0]
    gone = section_of(planted, root=tmp_path / "nowhere")
    assert gone.facts == () and "No masks" in gone.note[0]


def test_what_no_mask_speaks_of_is_left_out_and_counted(make_planted: Make, tmp_path: Path) -> None:
    planted = make_planted()
    localiser, table = planted.localiser(), table_of(planted)
    found = find_masks(FolderSettings(root=planted.folder / "parts"), written=[])
    first, second, *others = found.of
    write_picture(tmp_path / "small.png", np.full((10, 10), 255, np.uint8))
    odd = {first: {}, second: {second: tmp_path / "small.png"}, **{key: found.of[key] for key in others}}
    gathered = gather(localiser, MaskFiles(odd), table)
    assert (len(gathered.pictures), gathered.num_unmasked, gathered.num_unfit) == (10, 1, 1)
    nothing = gather(localiser, MaskFiles({}), table)
    assert len(nothing.pictures) == 6 and nothing.num_unmasked == 6  # normal ones have no defective pixel


def test_masks_are_cut_as_the_pictures_were_shown(make_planted: Make) -> None:
    planted = make_planted(num_views=2, crop=(0.25, 0.25, 0.75, 0.75))
    found = find_masks(FolderSettings(root=planted.folder / "parts"), written=[])
    gathered = gather(planted.localiser(), found, table_of(planted))
    masked = [picture for picture in gathered if picture.mask is not None]
    assert len(masked) == 6 and gathered.num_unmasked == 6  # of the first view nothing says that it is normal
    for picture in masked:
        assert picture.mask is not None and picture.mask.shape == picture.scores.shape == (60, 100)
        assert picture.mask.any()
    assert len(set(gathered.groups)) == 12


def test_other_than_black_is_defective(tmp_path: Path) -> None:
    mask = np.zeros((4, 5), np.uint8)
    mask[1, 2], mask[3, 4] = 1, 255
    write_picture(tmp_path / "mask.png", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), mask > 0)


def test_eval_writes_the_section_and_maps_that_lie_on_the_pictures(
    make_planted: Make, runs_of: Callable[[Path], Path], weldcache: Run, tmp_path: Path
) -> None:
    planted = make_planted()
    project = runs_of(planted.folder)
    outcome = weldcache("eval", "--run", "first", "--maps", "maps", "-v", folder=project)
    assert outcome.code == 0, outcome.err
    assert "Pixel AUROC" in outcome.out and "12 maps" in outcome.err
    report = json.loads((project / "runs/first/report.json").read_text())
    section = report["sections"]["localisation"]
    assert section["facts"]["num_regions"] == 6 and 0 < section["facts"]["aupro_1"]["value"] <= 1
    order = list(report["sections"])
    assert order.index("localisation") == order.index("by_class") + 1
    told = json.loads((project / "maps/maps.json").read_text())
    assert len(told["pictures"]) == 12 and told["times"] == []
    assert told["colours"]["from"] < told["colours"]["to"]
    for each in told["pictures"]:
        original = cv2.imread(str(planted.folder / "parts" / each["file"]))
        overlaid = cv2.imread(str(project / "maps" / each["overlay"]))
        scores = np.load(project / "maps" / each["scores"], allow_pickle=False)
        assert overlaid.shape == original.shape and scores.shape == original.shape[:2]
        assert scores.dtype == np.float32 and np.isfinite(scores).all()
        strongest = np.unravel_index(scores.argmax(), scores.shape)
        if each["file"] in planted.squares:  # coloured where it is strangest
            assert np.abs(overlaid[strongest].astype(int) - original[strongest].astype(int)).max() > 40
    again = weldcache("eval", "--run", "first", "--maps", "maps", folder=project)
    assert again.code == 2 and "maps" in again.err


def test_pictures_that_are_gone_are_told(make_planted: Make, runs_of: Callable[[Path], Path], weldcache: Run) -> None:
    planted = make_planted()
    localiser = planted.localiser()
    assert localiser_of(localiser.scorer, data=[FolderSettings(root=Path("nowhere"))]) is None
    section = localisation_section(
        None, table_of(planted), data=FolderSettings(root=Path("nowhere")), written=[], seed=0
    )
    assert section.facts == () and "not there any more" in section.note[0]


def test_masks_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.zeros((6, 10, 3), dtype=np.uint8)
    mask[1:3, 2:7] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    reads: list[Path] = []

    def counting(path: Path) -> NDArray[np.bool_]:
        reads.append(path)
        return read_mask(path)

    monkeypatch.setattr(judged, "read_mask", counting)
    scores = np.arange(15, dtype=np.float32).reshape(3, 5)
    each = PictureMap("image", "x.png", 0, scores, box=(0, 0, 10, 6))
    pictures = MaskedPictures([(each, tmp_path / "mask.png"), (each, None)], ["a", "b"], num_unmasked=0, num_unfit=0)
    first, second = list(pictures), list(pictures)
    assert len(reads) == 1 and first[1].mask is None
    for found in (first[0].mask, second[0].mask):
        assert found is not None and np.array_equal(found, mask[..., 0] > 0)
