"""How well maps find defective pixels, as a section of a report: figures where there are masks, and else why not."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from ...errors import DecodeError, MetricError
from ...extract.decode.picture_file import upright_size
from ...extract.settings import DataSettings
from ...metrics.estimate import Estimate
from ...metrics.localisation import (
    FPR_LIMITS,
    SMALLEST_NUMBER_OF_GROUPS,
    Localisation,
    LocalisationIntervals,
    ScoredPicture,
    localisation_intervals,
    localise,
)
from ...wording import count_of
from ..scores import ScoreTable
from ..section import Fact, Section
from .localiser import Localiser
from .maps import PictureMap
from .masks import MaskFiles, find_masks, read_mask

_TITLE = "Where the defects are"
_MOST_KEPT = 256 * 2**20  # bytes of masks

_HOW = (
    "Pixel AUROC is the probability that a random defective pixel has a higher score than a random other one. AUPRO is "
    "the mean share of each defective region that is found, averaged over false-positive rates of pixels from 0 to the "
    "limit: regions count alike, however large, and are the 8-connected parts of a mask. Pixels of normal pictures are "
    "among the others. Scores between the middles of patches are interpolated; nothing is smoothed."
)


@dataclass(frozen=True, eq=False)
class MaskedPictures:
    """Maps with the masks that they are held against.

    Figures read them several times, and decoding masks is most of that: within a bound they are kept, eight pixels in
    a byte; what is beyond it is decoded whenever it is iterated over.

    Attributes:
        pictures: a map and the file of its mask; None: the sample is normal.
        groups: of each picture; those of one sample have one.
        num_unmasked: pictures of defective samples of which no mask says where.
        num_unfit: pictures whose masks cannot be read or have another size.
    """

    pictures: Sequence[tuple[PictureMap, Path | None]]
    groups: Sequence[str]
    num_unmasked: int
    num_unfit: int
    _kept: dict[Path, tuple[tuple[int, ...], NDArray[np.uint8]]] = field(default_factory=dict, repr=False)

    @property
    def num_masked_groups(self) -> int:
        """How many groups have a mask."""
        return len({group for group, (_, mask) in zip(self.groups, self.pictures, strict=True) if mask is not None})

    def __iter__(self) -> Iterator[ScoredPicture]:
        for each, path in self.pictures:
            if path is None:
                yield ScoredPicture(each.on_pixels(), None)
            else:
                left, top, right, bottom = each.box
                yield ScoredPicture(each.on_pixels(), self._mask(path)[top:bottom, left:right])

    def _mask(self, path: Path) -> Bool[np.ndarray, "height width"]:
        if path not in self._kept:
            mask = read_mask(path)
            if len(self._kept) * mask.size // 8 > _MOST_KEPT:  # those of a data set are mostly of one size
                return mask
            self._kept[path] = mask.shape, np.packbits(mask)
        shape, bits = self._kept[path]
        return np.unpackbits(bits, count=math.prod(shape)).reshape(shape).astype(bool)


def localisation_section(
    localiser: Localiser | None, table: ScoreTable, *, data: DataSettings, written: Sequence[Path], seed: int
) -> Section:
    """Pixel AUROC and AUPRO with intervals, of the pictures of samples; no figures where there is nothing to go by.

    Args:
        localiser: None where the data set's pictures are not there any more.
        data: the data set, which may have masks; `written` is what of its folder weldcache wrote itself.
    """
    if localiser is None:
        return _without("The pictures that the features were made from are not there any more, so there are no maps.")
    if not localiser.grids:
        return _without("This model looks at no patches of pictures, so there is no map that could be held to masks.")
    masks = find_masks(data, written=written)
    if masks.reason:
        return _without(
            f"No masks: {masks.reason}. It is not known where in a picture defects are, and no other figure stands in "
            "for that."
        )
    gathered = gather(localiser, masks, table)
    try:
        found = localise(gathered)
    except MetricError as error:
        return _without(f"There are masks, and no figure can be had from them: {error}")
    intervals = None
    if gathered.num_masked_groups >= SMALLEST_NUMBER_OF_GROUPS:  # else it would be found out by reading all of them
        intervals = localisation_intervals(gathered, groups=gathered.groups, found=found, seed=seed)
    return _with_figures(found, intervals, gathered)


def gather(localiser: Localiser, masks: MaskFiles, table: ScoreTable) -> MaskedPictures:
    """The maps of samples that are known to be normal, or whose masks say where they are not."""
    pictures: list[tuple[PictureMap, Path | None]] = []
    groups: list[str] = []
    num_unmasked, num_unfit = 0, 0
    row_of = localiser.scorer.store.index.row_of()
    of_pictures = replace(localiser, over_time=False)
    for place, maps in enumerate(of_pictures(np.array([row_of[key] for key in table.keys], dtype=np.int64))):
        key, label, group = table.keys[place], table.labels[place], table.groups[place]
        of_sample: Mapping[str, Path] = masks.of.get(key, {})
        for each in maps.pictures:
            mask = of_sample.get(each.file)
            if mask is None and label != 0:
                num_unmasked += 1
            elif mask is not None and not _fits(mask, localiser.root / each.file):
                num_unfit += 1
            else:
                pictures.append((each, mask))
                groups.append(group or key)
    return MaskedPictures(pictures, groups, num_unmasked, num_unfit)


def _fits(mask: Path, picture: Path) -> bool:
    try:
        return upright_size(mask) == upright_size(picture)
    except DecodeError:
        return False


def _without(why: str) -> Section:
    return Section(id="localisation", title=_TITLE, note=[why], look="folded")


def _with_figures(found: Localisation, intervals: LocalisationIntervals | None, gathered: MaskedPictures) -> Section:
    auroc = found.auroc if intervals is None else intervals.auroc
    aupro = found.aupro if intervals is None else intervals.aupro
    percents = {limit: f"{100 * limit:g}" for limit in FPR_LIMITS}
    facts = [
        Fact("pixel_auroc", "Pixel AUROC", auroc, note="chance 0.5"),
        *(
            Fact(
                f"aupro_{percents[limit]}",
                f"AUPRO to {percents[limit]}%",
                aupro[limit],
                note=f"chance {limit / 2:.3g}",
            )
            for limit in FPR_LIMITS
        ),
        Fact("num_pictures", None, found.num_pictures),
        Fact("num_masked", None, sum(mask is not None for _, mask in gathered.pictures)),
        Fact("num_regions", None, found.num_regions),
        Fact("num_unmasked", None, gathered.num_unmasked),
        Fact("num_unfit", None, gathered.num_unfit),
        Fact("localisation_off_by", None, found.off_by),
    ]
    looked_at = (
        f"Of {count_of(found.num_pictures, 'picture')} with {count_of(found.num_regions, 'defective region')}, "
        f"{found.num_defective / (found.num_defective + found.num_background):.2%} of whose pixels are defective."
    )
    return Section(
        id="localisation",
        title=_TITLE,
        facts=facts,
        note=[
            *_about_chance(auroc),
            " ".join([looked_at, *_left_out(gathered)]),
            _about_intervals(intervals),
            _HOW,
        ],
        look="tiles",
        brief=True,
    )


def _about_chance(auroc: float | Estimate) -> Iterator[str]:
    """A warning where a map is no evidence of where a defect is, however good the samples' scores are."""
    surely = auroc if isinstance(auroc, float) else auroc.low
    if surely <= 0.5:
        yield (
            "These maps are not shown to find defective pixels better than chance does: do not read from them where a "
            "defect is. A recipe that scores patches, such as patch_memory, has maps of its own."
        )


def _left_out(gathered: MaskedPictures) -> Iterator[str]:
    if gathered.num_unmasked:
        yield (
            f"Left out: {count_of(gathered.num_unmasked, 'picture')} of defective samples without a mask, of which it "
            "is not known where they are defective."
        )
    if gathered.num_unfit:
        yield (
            f"Left out: {count_of(gathered.num_unfit, 'picture')} whose mask cannot be read, or is of another size "
            "than the picture."
        )


def _about_intervals(intervals: LocalisationIntervals | None) -> str:
    if intervals is None:
        return (
            f"No intervals: fewer than {SMALLEST_NUMBER_OF_GROUPS} groups of samples have defective regions, and a "
            "bootstrap of so few says nothing."
        )
    return (
        f"The 95% intervals are of a bootstrap over groups of samples, {intervals.num_groups} of which have defective "
        "regions: neighbouring pixels, and pictures of one group, are not independent. Of few groups it is somewhat "
        "too narrow."
    )
