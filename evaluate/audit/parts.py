"""Whether the parts of a split hold what they should, and nothing of one another: groups, files, labels."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...cache.following import disagreements
from ...cache.targets import CLASS, LABEL, UNKNOWN
from ...findings import Severity
from ...wording import count_of, listed
from .check import AuditCheck, Tell, few
from .listing import Listing

_LEARNED_FROM = ("train", "val")  # parts that decide what a model is; others judge it
_NEARLY_ALL = 0.9  # of a part: then it is the other part under other names

_DEAL = (
    "Deal whole groups: `weldcache split NAME`, then train with --set train.split=NAME; or mend the split in the data "
    "set."
)
_ONE_OF_TWO = "Keep one of each pair in the data set, or put both into one part, and run `weldcache extract` again."
_SPLIT_ANEW = "Give the part some of both in the data set, or deal another split with `weldcache split NAME`."
_READ_ONCE = "Mend what reads the data set: a value that is not there must be unknown, never drawn or guessed."


def _groups(listing: Listing, tell: Tell) -> str:
    """Samples of one group are alike in what has nothing to do with the question."""
    parts_of: dict[str, set[str]] = defaultdict(set)
    for group, part in zip(listing.index.groups.tolist(), listing.index.parts.tolist(), strict=True):
        if group:
            parts_of[group].add(part)
    crossing = {group: parts for group, parts in parts_of.items() if len(parts) > 1}
    gravity: Mapping[bool, Severity] = {True: "error", False: "warning"}
    for judged, severity in gravity.items():
        found = [group for group, parts in crossing.items() if bool(parts - set(_LEARNED_FROM)) is judged]
        if found:
            touched = int(np.isin(listing.index.groups, found).sum())
            lie = "lies" if len(found) == 1 else "lie"
            between = listed(sorted(set().union(*(crossing[group] for group in found))))
            tell(
                severity,
                f"{count_of(len(found), 'group')} of {len(parts_of):,} {lie} in several of {between} ({few(found)}), "
                f"with {count_of(touched, listing.noun)}",
                _DEAL,
            )
    return f"{count_of(len(parts_of), 'group')} in {count_of(len(listing.parts), 'part')}"


def _files(listing: Listing, tell: Tell) -> str:
    """One recording under two names is no second sample, and in two parts it is a known answer."""
    parts = listing.index.parts
    pairs_of: dict[tuple[str, str, bool], list[tuple[int, int]]] = defaultdict(list)
    for first, second, same in _twins(listing.digests):
        one, other = sorted((str(parts[first]), str(parts[second])))
        if one == other and _is_of_one_group(listing, first, second):
            continue
        pairs_of[one, other, same].append((first, second))
    for (one, other, same), pairs in pairs_of.items():
        severity: Severity = "error" if same and one != other else "warning"
        shared = "the same files" if same else "some files in common"
        where = f"within {one}" if one == other else f"between {one} and {other}"
        told = few(" = ".join(listing.named(pair)) for pair in pairs)
        tell(severity, f"{count_of(len(pairs), 'pair')} {where} with {shared}: {told}", _ONE_OF_TWO)
        if same and one != other:
            _tell_of_copy(listing, one, other, rows={row for pair in pairs for row in pair}, tell=tell)
    with_files = sum(bool(digests) for digests in listing.digests)
    return f"files of {count_of(with_files, listing.noun)}, by their contents"


def _is_of_one_group(listing: Listing, first: int, second: int) -> bool:
    """Whether two samples of one file are known to be: of one group, and told apart by numbers beside the file."""
    groups, numbers = listing.index.groups, listing.numbers
    return bool(groups[first] == groups[second] != "") and numbers[first] != numbers[second]


def _tell_of_copy(listing: Listing, one: str, other: str, *, rows: set[int], tell: Tell) -> None:
    """Where nearly all of a part is another part again."""
    smaller, larger = sorted((one, other), key=lambda part: len(listing.rows(part)))
    of_smaller = listing.rows(smaller)
    again = len(rows & set(of_smaller.tolist()))
    if again >= _NEARLY_ALL * len(of_smaller):
        told = count_of(len(of_smaller), listing.noun)
        tell("error", f"{smaller} is {larger} again: {again:,} of its {told} are there too", _SPLIT_ANEW)


def _twins(digests: Sequence[frozenset[str]]) -> Iterator[tuple[int, int, bool]]:
    """Pairs of rows with equal files, and whether these are most of what both have.

    A file of more than a few rows, such as a table or the silence of a broken microphone, tells nothing of any of them.
    """
    owners: dict[str, list[int]] = defaultdict(list)
    for row, contents in enumerate(digests):
        for content in contents:
            owners[content].append(row)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    many = max(2, len(digests) // 2)
    for rows in owners.values():
        if 1 < len(rows) <= many:
            first, *others = rows  # of several equal ones the others are told beside the first
            for second in others:
                shared[first, second] += 1
    for (first, second), number in sorted(shared.items()):
        yield first, second, number > min(len(digests[first]), len(digests[second])) / 2


def _kinds(listing: Listing, tell: Tell) -> str:
    """Between samples of one kind nothing can be told apart, nor measured how well."""
    names, codes = listing.kinds
    known = codes != UNKNOWN
    if not known.any():
        return f"no label and no class is known of any {listing.noun}"
    there = np.unique(codes[known])
    others = sorted(listing.index.targets.keys() - {LABEL.name, CLASS})
    if len(there) == 1 and others and names != ("normal", "defect"):
        return f"{names[there[0]]} alone, and {listed(others)} to be told"
    if len(there) == 1:
        tell(
            "error",
            f"every {listing.noun} of which it is known is {names[there[0]]!r}: there is nothing to tell apart",
            "See that labels are read as they are meant (a text 'true' is not the value true), and that both kinds are "
            "in the data set.",
        )
        return f"{names[there[0]]} alone in {count_of(int(known.sum()), listing.noun)}"
    told = []
    for part in ("train", "val", "test"):
        of_part = codes[known & (listing.index.parts == part)]
        told.append(f"{part} {len(np.unique(of_part))}")
        _tell_of_part(part, of_part, names=names, is_label=names == ("normal", "defect"), noun=listing.noun, tell=tell)
    return f"kinds in each part: {listed(told)}"


def _tell_of_part(
    part: str, codes: NDArray[np.int64], *, names: Sequence[str], is_label: bool, noun: str, tell: Tell
) -> None:
    kinds = np.unique(codes)
    if not len(kinds):
        severity: Severity = "error" if part in _LEARNED_FROM else "warning"
        tell(severity, f"there is no {noun} of known kind in {part}", _SPLIT_ANEW)
    elif is_label and part in _LEARNED_FROM and 0 not in kinds:
        tell("error", f"{part} has no normal {noun}, and thresholds and anomaly detectors rest on these", _SPLIT_ANEW)
    elif len(kinds) == 1 and part == "test":
        evidence = f"all {len(codes):,} {noun}s of test are {names[kinds[0]]!r}: AUROC and recall are undefined there"
        tell("error", evidence, _SPLIT_ANEW)
    elif len(kinds) == 1 and part == "val":
        evidence = f"all {len(codes):,} {noun}s of val are {names[kinds[0]]!r}: epochs can be compared by loss alone"
        tell("note", evidence, _SPLIT_ANEW)


def _two_reads(listing: Listing, tell: Tell) -> str:
    """What is known of a sample is the same whenever it is asked for."""
    if listing.readings is None:
        return "not looked at: there is no data set to be read twice"
    first, second = listing.readings()
    if keys := set(first.keys.tolist()) ^ set(second.keys.tolist()):
        evidence = f"{count_of(len(keys), listing.noun)} listed by one of two readings alone: {few(sorted(keys))}"
        tell("error", evidence, _READ_ONCE)
        return "two readings of the data set"
    row_of = second.row_of()
    found = disagreements(first, second.select(np.array([row_of[key] for key in first.keys.tolist()], dtype=np.int64)))
    if found:
        columns = dict.fromkeys(told.partition(" is ")[0] for each in found.values() for told in each)
        tell(
            "error",
            f"two readings of the data set differ in {listed(columns)} of {count_of(len(found), listing.noun)}: "
            f"{few(found)}",
            _READ_ONCE,
        )
    return f"{count_of(len(second), listing.noun)} read twice: parts, groups, targets, attributes"


PART_CHECKS: Sequence[AuditCheck[Listing]] = (
    AuditCheck("groups", "data", _groups),
    AuditCheck("files", "data", _files),
    AuditCheck("kinds", "data", _kinds),
    AuditCheck("two reads", "data", _two_reads, in_report="never"),
)
