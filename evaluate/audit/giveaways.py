"""What gives the answer away without the media: an attribute, all attributes together, the group, a code in a picture.

What goes together by chance is no finding: a rule is found on some samples and counted on others, and its odds are held
against as many rules as were tried.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from ...cache.targets import NORMAL, UNKNOWN
from ...errors import DecodeError
from ...extract.decode.image import decode_photographs
from ...findings import Severity
from ...metrics.clustered import grouped_auroc
from ...metrics.estimate import with_span
from ...wording import count_of
from ..tasks.anomaly.controls.nearest import nearest_train_distances
from ..tasks.anomaly.controls.rule import best_rule
from .check import AuditCheck, Tell, few
from .listing import Listing

_CHANCE = 0.001  # of a finding where there is nothing, over all rules or groups of one check
_READABLE = 0.95  # balanced accuracy of a rule, AUROC of a control: the answer can be read off
_TELLING = 0.75  # of a rule: it is right much more often than not
_FEWEST = 5  # samples of a kind, or groups: fewer tell nothing
_DRAWS = 2_000  # of shuffled labels
_MOST_VIEWS = 100  # that a picture's name may number
_PICTURES = 24  # that are looked at for codes, spread over the samples

_LEAVE_IT_OUT = (
    "Give no model this attribute, record more samples in which it varies within each kind, and believe no result that "
    "is not clearly better than the media-free control."
)
_ONE_OF_SEVERAL = (
    "Hold models against the media-free control, which stands in each report on classes and sees all attributes."
)
_MIX_GROUPS = (
    "Record both kinds in each group. Until then, judge models on groups that training has not seen, several of each "
    "kind."
)
_BY_NATURE = (
    "Where a group is of one kind by nature, there is nothing to do: intervals and controls go by groups. Otherwise "
    "record both kinds in each."
)
_COVER_CODES = "Paint over the codes or crop the pictures, unless they hold nothing that goes with the answer."


def _attributes(listing: Listing, tell: Tell) -> str:
    """A threshold of a number, or the kind that goes with a text."""
    names, codes = listing.kinds
    halves = _halves(listing, codes)
    if not listing.index.attributes or halves is None:
        return f"not looked at: {_why_not(listing)}"
    fit, judge = halves
    kinds = np.unique(codes[judge])
    of_two = kinds[1:] if len(kinds) == 2 else kinds
    num_rules = len(listing.index.attributes) * len(of_two)
    for attribute, column in listing.index.attributes.items():
        found: dict[Severity, list[str]] = {}
        for kind in of_two:
            is_kind = codes == kind
            if not is_kind[fit].any() or is_kind[judge].sum() < _FEWEST:
                continue
            rule = best_rule(attribute, column[fit], is_kind[fit])
            if rule is None:
                continue
            said = rule.scores({attribute: column[judge]}) > 0.5
            accuracy, odds = _balanced_accuracy(said, is_kind[judge])
            if accuracy >= _TELLING and odds * num_rules < _CHANCE:
                told = f"{names[kind]} from the rest with a balanced accuracy of {accuracy:.2f}, where {rule.words}"
                found.setdefault(_severity(accuracy, num_kinds=len(kinds)), []).append(told)
        for severity, rules in found.items():
            evidence = (
                f"{attribute} alone tells {few(rules)}; rules were counted on {len(judge):,} {listing.noun}s and found "
                "on others"
            )
            tell(severity, evidence, _LEAVE_IT_OUT if severity != "note" else _ONE_OF_SEVERAL, part=attribute)
    return f"a rule on each of {count_of(len(listing.index.attributes), 'attribute')}"


def _severity(accuracy: float, *, num_kinds: int) -> Severity:
    """Of a rule on one kind: among several, one that is told better than by chance is far from the answer."""
    if accuracy >= _READABLE:
        return "error"
    return "warning" if num_kinds == 2 else "note"


def _why_not(listing: Listing) -> str:
    if not listing.index.attributes:
        return "the data set records no attributes"
    return "too few samples are known to be of two kinds"


def _halves(listing: Listing, codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Samples to find rules on and others to count them on: train and val, and test; or where one of these has a single
    kind, every other sample."""
    known = np.flatnonzero(codes != UNKNOWN)
    is_test = listing.index.parts[known] == "test"
    for fit, judge in ((known[~is_test], known[is_test]), (known[::2], known[1::2])):
        if len(np.unique(codes[fit])) > 1 and (np.unique(codes[judge], return_counts=True)[1] >= _FEWEST).sum() > 1:
            return fit, judge
    return None


def _balanced_accuracy(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> tuple[float, float]:
    """Of answers that a rule gave; and how probable as good ones are by chance (Fisher's exact test)."""
    counts = np.array([[np.sum(true & said), np.sum(true & ~said)], [np.sum(~true & said), np.sum(~true & ~said)]])
    shares = said[true].mean(), (~said[~true]).mean()
    return float(sum(shares) / 2), float(fisher_exact(counts, alternative="greater").pvalue)


def _media_free(listing: Listing, tell: Tell) -> str:
    """The distance from normal samples of train in all attributes together: what a report holds beside every model."""
    names, codes = listing.kinds
    train = listing.rows("train")[codes[listing.rows("train")] == NORMAL]
    test = listing.rows("test")[codes[listing.rows("test")] != UNKNOWN]
    columns = {
        name: column
        for name, column in listing.index.attributes.items()
        if column.dtype.kind != "f" or np.isfinite(column[np.union1d(train, test)]).all()
    }
    counts = np.bincount((codes[test] != NORMAL).astype(np.int64), minlength=2)
    if names != ("normal", "defect") or not columns or not len(train) or counts.min() < _FEWEST:
        return "not looked at: it takes attributes, normal samples in train, and some of both kinds in test"
    distances = nearest_train_distances(
        {name: column[test] for name, column in columns.items()},
        train={name: column[train] for name, column in columns.items()},
    )
    found = grouped_auroc(distances, codes[test], groups=listing.index.groups[test].tolist())
    if found.low > 0.5:
        tell(
            "error" if found.value >= _READABLE else "warning",
            f"the distance from normal samples in {count_of(len(columns), 'attribute')} tells defects with an AUROC of "
            f"{with_span(found)}, without any media",
            _LEAVE_IT_OUT,
        )
    return f"{count_of(len(columns), 'attribute')} of {count_of(len(test), listing.noun)} of test"


def _group_tells(listing: Listing, tell: Tell) -> str:
    """Whether groups hold one kind each, more often than shuffled kinds would."""
    codes = listing.kinds[1]
    known = (codes != UNKNOWN) & (listing.index.groups != "")
    # A part of one kind, such as train of normals alone, has groups of one kind by intention.
    mixed = [part for part in listing.parts if len(np.unique(codes[known & (listing.index.parts == part)])) > 1]
    of_mixed = np.flatnonzero(known & np.isin(listing.index.parts, mixed)).tolist()
    # What was made of the same files, such as an object in several turns, is one thing, and of one kind by nature.
    things = {(listing.index.groups[row], listing.digests[row] or row, codes[row]): row for row in of_mixed}
    rows = np.array(list(things.values()), dtype=np.int64)
    _, groups, sizes = np.unique(listing.index.groups[rows], return_inverse=True, return_counts=True)
    several = sizes[groups] > 1
    groups, kinds = np.unique(groups[several], return_inverse=True)[1], codes[rows][several]
    num_groups = int(groups.max(initial=-1)) + 1
    if num_groups < _FEWEST:
        return "not looked at: there are too few groups of several samples"
    found, generator = _num_pure(groups, kinds), np.random.default_rng(0)
    if found < num_groups / 2:
        return f"{num_groups:,} groups of several {listing.noun}s"
    as_pure = sum(_num_pure(groups, generator.permutation(kinds)) >= found for _ in range(_DRAWS))
    if as_pure <= _CHANCE * _DRAWS:
        evidence = f"{found:,} of {num_groups:,} groups of several {listing.noun}s hold one kind alone"
        if _test_is_of_unseen_groups(listing):
            tell("note", f"{evidence}; test has several of each kind that no other part has", _BY_NATURE)
        else:
            tell("warning", f"{evidence}, so that who knows the group knows the answer", _MIX_GROUPS)
    return f"{num_groups:,} groups of several {listing.noun}s"


def _test_is_of_unseen_groups(listing: Listing) -> bool:
    """Whether no group lies in two parts, and so many of each kind lie in test that no single one speaks for a kind."""
    groups, parts, codes = listing.index.groups, listing.index.parts, listing.kinds[1]
    known = (codes != UNKNOWN) & (groups != "")
    if len(set(zip(groups[known].tolist(), parts[known].tolist(), strict=True))) > len(np.unique(groups[known])):
        return False
    of_test = known & (parts == "test")
    there = [len(np.unique(groups[of_test & (codes == kind)])) for kind in np.unique(codes[of_test])]
    return min(there, default=0) >= _FEWEST


def _num_pure(groups: NDArray[np.int64], kinds: NDArray[np.int64]) -> int:
    """How many groups hold one kind alone."""
    there = np.zeros((groups.max() + 1, kinds.max() + 1), dtype=bool)
    there[groups, kinds] = True
    return int((there.sum(axis=1) == 1).sum())


def _codes(listing: Listing, tell: Tell) -> str:
    """QR and bar codes in pictures; written text takes a model of its own to be read, and is not looked for."""
    having = [row for row, paths in enumerate(listing.pictures) if paths]
    chosen = having[:: max(1, len(having) // _PICTURES)][:_PICTURES]
    if not chosen:
        return "not looked at: there are no pictures at hand"
    squares, bars, found = cv2.QRCodeDetector(), cv2.barcode.BarcodeDetector(), []
    for row in chosen:
        picture = _picture(listing.pictures[row][0])
        if picture is not None:
            texts = [*squares.detectAndDecodeMulti(picture)[1], *bars.detectAndDecodeMulti(picture)[1]]
            if any(texts):
                found.append(row)
    if found:
        evidence = f"{len(found)} of {len(chosen)} pictures hold a code for machines: {few(listing.named(found))}"
        tell("warning", evidence, _COVER_CODES)
    return f"{count_of(len(chosen), 'picture')}: QR and bar codes"


def _picture(path: Path) -> NDArray[np.uint8] | None:
    """A picture of 8 bits; None where it has more, or cannot be read, of which `extract` tells."""
    with suppress(DecodeError):
        for picture in decode_photographs([path], num_views=_MOST_VIEWS).views:
            if picture is not None and picture.dtype == np.uint8:
                return picture.astype(np.uint8, copy=False)
    return None


GIVEAWAY_CHECKS: Sequence[AuditCheck[Listing]] = (
    AuditCheck("attributes", "data", _attributes),
    AuditCheck("media-free control", "data", _media_free),
    AuditCheck("groups and kinds", "data", _group_tells),
    AuditCheck("codes", "data", _codes, in_report="never"),
)
