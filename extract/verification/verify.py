"""Is a store what its data set and its backbones make, and whole in itself? The story of `weldcache verify`.

the store alone -> rows against samples -> files against their hashes -> what makes it now -> a few samples live
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...atomic import locked_folder
from ...cache.following import disagreements
from ...cache.index import Index
from ...cache.notes import grouped, notes_of
from ...cache.provenance import differences, differences_told
from ...cache.splits import LEFT_OUT
from ...cache.status import Status
from ...cache.store import FeatureStore
from ...cache.verification.outcome import MEND, Verification, row_digests
from ...cache.verification.verify import mend_store, verify_store
from ...configs.place import BucketUrl, require_folder
from ...documents import Json
from ...errors import BackboneError, NotFoundError, StoreError
from ...findings import Check, Finding
from ...progress import Progress, say
from ...settings import Settings
from ...wording import count_of, shortened
from ..changes import Change, CurrentFiles, changes_of_feature, changes_of_record, sets_of_others
from ..request import Request, make_request
from .live import NOT_ASKED_FOR, REMEDY_OF_NOT_ASKED_FOR, LiveResult, compare_live

_SHOWN = 3  # differences or keys in a finding

_REMEDY_OF_DAMAGE = "Restore it from a copy, or extract again into another --cache."
_REMEDY_OF_NEW = "`weldcache extract` gives them rows and computes them."
_REMEDY_OF_GONE = "Restore them in the data set; or `weldcache extract` leaves them out, and keeps their features."
_REMEDY_OF_BACK = "`weldcache extract` takes them in again."
_REMEDY_OF_NOTE = "Look at the files; `weldcache info --json` names every sample."
_REMEDY_OF_MISSING = "`weldcache extract` computes what is missing, and tries again what was absent or unreadable."
_REMEDY_OF_OTHER_ENTRY = "Restore the data as it was; or take over what it says now: `weldcache extract --relabel`."
_REMEDY_OF_CHANGE = "Restore the file, or compute the sample from it as it is now: `weldcache extract --refresh`."
_REMEDY_OF_OTHER_MAKING = (
    "Ask for what it was made with; or keep both, as a second feature (features.image_2 in weldcache.yaml); "
    "or make it anew: `weldcache extract --refresh`."
)
_REMEDY_OF_OTHER_DATA = "Name the store's own data set with --set data.root=PATH, or leave it out with --no-sources."
_REMEDY_OF_OTHER_MODEL = "Name the store's own settings with --config or --set to have weights and features compared."


def verify(
    settings: Settings, *, live: int = 0, seed: int = 0, sources: bool = True, mend: bool = False
) -> Verification:
    """Verify the store that `settings` name, and leave the outcome in it.

    `live` samples are recomputed and compared; `sources` says whether the data set is looked at. Nothing is locked, and
    a store that is being written is judged by what is complete in it; with `mend`, which marks damaged rows as missing
    and restores metadata, nobody else may write meanwhile.

    Raises:
        NotFoundError: if there is no store; or no data set, where `live` needs one.
        BackboneError: if `live` needs a backbone that cannot be had.
        BusyError: if `mend` is asked for while somebody writes to the store.
    """
    if isinstance(settings.cache.path, BucketUrl) and not mend:
        return verification_of(FeatureStore.open(settings.cache.path), settings, live=live, seed=seed, sources=sources)
    path = require_folder(settings.cache.path, what="mends")
    if not (path / "zarr.json").is_file() and not _has_features(path):
        FeatureStore.open(path)  # says what is wrong
    with locked_folder(path) if mend else nullcontext():
        try:
            store = FeatureStore.open(path)
        except (StoreError, NotFoundError) as error:
            if isinstance(error, NotFoundError) and not _has_features(path):
                raise
            damaged = Finding("metadata", "error", str(error), _REMEDY_OF_DAMAGE, file="zarr.json")
            return Verification(path, "", 0, [Check("metadata", "the store's description and its index", [damaged])])
        verification = verification_of(store, settings, live=live, seed=seed, sources=sources)
        if mend:
            verification = replace(verification, num_mended=mend_store(store, verification.findings))
        try:
            verification.write_record()
        except OSError as error:
            say(f"The outcome could not be left in {path}: {error.strerror}.")
    return verification


def _has_features(path: Path) -> bool:
    """Whether there is a store whose description is gone, rather than none."""
    return (path / "features").is_dir()


def verification_of(store: FeatureStore, settings: Settings, *, live: int, seed: int, sources: bool) -> Verification:
    """What `verify` finds of a store that is open, without leaving anything in it; raises what `verify` raises."""
    request, why_not = _request(settings, needed=live > 0, wanted=sources)
    request = None if request is None else request.as_held(store.index)
    digests = row_digests(store)  # first, so that what changes meanwhile counts as changed since
    checks = [*verify_store(store), _check_notes(store)]
    result: LiveResult | None = None
    if request is None:
        checks.append(Check("data set", f"not looked at: {why_not}"))
    elif not set(store.index.keys.tolist()) & {sample.key for sample in request.samples}:
        evidence = f"none of the {count_of(len(request.samples), request.noun)} in {request.root} is in the store"
        finding = Finding("data set", "warning", evidence, _REMEDY_OF_OTHER_DATA)
        checks.append(Check("data set", count_of(len(request.samples), request.noun), [finding]))
    else:
        making, comparable = _check_making(store, request)
        if sources:
            checks += [_check_rows(store, request), _check_files(store, request)]
        checks.append(making)
        if live:
            result = compare_live(store, request, feature_sets=comparable, num_samples=live, seed=seed)
            checks.append(result.check)
    return Verification(
        path=store.path,
        fingerprint=store.fingerprint,
        num_rows=len(store.index),
        checks=checks,
        row_digests=digests,
        live=None if result is None else result.description,
    )


def _request(settings: Settings, *, needed: bool, wanted: bool) -> tuple[Request | None, str]:
    """What the settings ask for, or why that cannot be told; where it is `needed`, that is an error."""
    if not needed and not wanted:
        return None, "--no-sources"
    try:
        return make_request(settings, split="all"), ""
    except (NotFoundError, BackboneError) as error:
        if needed:
            raise
        return None, str(error)


def _check_notes(store: FeatureStore) -> Check:
    """What is noted of rows, complete ones too: nothing is wrong with the store, and something may be with one."""
    unreadable: list[str] = []  # which the other checks tell
    notes = notes_of(store, damage=unreadable)
    findings = [Finding("notes", "note", group.told(store.noun), _REMEDY_OF_NOTE) for group in grouped(notes)]
    return Check("notes", f"what is noted of {count_of(len({note.key for note in notes}), store.noun)}", findings)


def _check_rows(store: FeatureStore, request: Request) -> Check:
    """Rows against samples, and what is known of both."""
    held, asked = store.index.row_of(), request.index.row_of()
    findings = []
    if new := sorted(asked.keys() - held.keys()):
        evidence = _told_of(new, request.noun, "in the data set and not in the store")
        findings.append(Finding("data set", "warning", evidence, _REMEDY_OF_NEW))
    left_out = set(store.index.keys[store.index.parts == LEFT_OUT].tolist())
    if gone := sorted(held.keys() - asked.keys() - left_out):
        evidence = _told_of(gone, request.noun, "in the store and not in the data set")
        findings.append(Finding("data set", "warning", evidence, _REMEDY_OF_GONE))
    if back := sorted(left_out & asked.keys()):
        evidence = _told_of(back, request.noun, "left out and in the data set again")
        findings.append(Finding("data set", "warning", evidence, _REMEDY_OF_BACK))
    shared = [key for key in held if key in asked and key not in left_out]
    mine = store.index.select(np.array([held[key] for key in shared]))
    theirs = request.index.select(np.array([asked[key] for key in shared]))
    findings += _different_entries(mine, theirs)
    for name in request.feature_sets:
        if name not in store.feature_sets:
            evidence = "asked for, and not in the store"
            findings.append(Finding("data set", "note", evidence, _REMEDY_OF_MISSING, part=name))
        elif incomplete := _incomplete(store, name):
            findings.append(Finding("data set", "note", incomplete, _REMEDY_OF_MISSING, part=name))
    looked_at = f"{count_of(len(asked), request.noun)} against {count_of(len(held), 'row')}: keys, splits, labels"
    return Check("data set", looked_at, findings)


def _told_of(keys: Sequence[str], noun: str, where: str) -> str:
    return f"{count_of(len(keys), noun)} {where}: {shortened(keys, most=_SHOWN)}"


def _different_entries(mine: Index, theirs: Index) -> Iterator[Finding]:
    """Splits, targets, groups and attributes of the same samples that differ between the store and the data set."""
    for kind, held, asked in (
        ("index/attributes", mine.attributes.keys(), theirs.attributes.keys()),
        ("targets", mine.targets.keys(), theirs.targets.keys()),
    ):
        for name in sorted(held ^ asked):
            evidence = "only the store has it" if name in held else "only the data set has it"
            yield Finding("data set", "warning", evidence, _REMEDY_OF_OTHER_ENTRY, part=f"{kind}/{name}")
    shared = mine.attributes.keys() & theirs.attributes.keys()
    mine, theirs = (
        replace(index, attributes={name: index.attributes[name] for name in sorted(shared)}) for index in (mine, theirs)
    )
    for key, told in disagreements(mine, theirs).items():
        for evidence in told:
            yield Finding("data set", "error", evidence, _REMEDY_OF_OTHER_ENTRY, key=key, part="index")


def _incomplete(store: FeatureStore, feature_set: str) -> str:
    """How many rows of a set are not complete, in words; empty if all are."""
    status = store.status(feature_set)
    counted = {state.name.lower(): int(np.sum(status == state)) for state in Status if state != Status.COMPLETE}
    return ", ".join(f"{count_of(count, 'row')} {name}" for name, count in counted.items() if count)


def _check_files(store: FeatureStore, request: Request) -> Check:
    """Every file that a complete row was made from, hashed again: once, whatever was made from it."""
    findings: list[Finding] = []
    files, others = CurrentFiles(request.root, rehash=True), sets_of_others(store, request.encoders)
    made = [[spec.name for spec in encoder.specs] for encoder in request.encoders.values()]
    total = sum(_num_complete(store, request, names) for names in [*made, *([name] for name in others)])
    with Progress("Hashing source files", total=total, unit="rows") as progress:
        for name, encoder in request.encoders.items():
            changes = changes_of_feature(store, request.samples, encoder, files=files, progress=progress)
            findings += _told(changes, part=name)
        for name in others:
            changes = changes_of_record(store, request.samples, name, files=files, progress=progress)
            findings += _told(changes, part=name)
    num_rows = sum(int(np.sum(store.status(name) == Status.COMPLETE)) for name in store.feature_sets)
    return Check("source files", f"the files of {num_rows:,} complete rows, hashed again", findings)


def _num_complete(store: FeatureStore, request: Request, names: Sequence[str]) -> int:
    """How many samples of the data set are complete in any of these feature sets."""
    complete = np.zeros(len(store.index), dtype=bool)
    for name in set(names) & set(store.feature_sets):
        complete |= store.status(name) == Status.COMPLETE
    return int(np.sum(complete & np.isin(store.index.keys, request.index.keys)))


def _told(changes: Iterator[Change], *, part: str) -> list[Finding]:
    """Changes as findings, and one more where the record of the files ends them early."""
    findings = []
    try:
        for change in changes:
            key, part_of = change.key, change.feature_set
            findings.append(Finding("source files", "warning", change.what, _REMEDY_OF_CHANGE, key=key, part=part_of))
    except StoreError as error:
        findings.append(Finding("source files", "warning", f"not compared to the end: {error}", MEND, part=part))
    return findings


def _check_making(store: FeatureStore, request: Request) -> tuple[Check, frozenset[str]]:
    """What made each feature set and constant against what would make it now; and the names of those that agree."""
    findings: list[Finding] = []
    agreeing = set()
    num_compared = 0
    for kind, entries in request.manifest().items():
        for name in (name for name in entries if name in store.manifest[kind]):
            held, asked = store.manifest[kind][name], entries[name]
            num_compared += 1
            found = differences(held, asked)
            if not found:
                agreeing.add(name)
            elif _model(held) != _model(asked):
                evidence = f"{_model(held)} made it and the settings name {_model(asked)}: not compared"
                findings.append(Finding("made by", "note", evidence, _REMEDY_OF_OTHER_MODEL, part=name))
            else:
                told = differences_told(found, mine="then", theirs="now")
                findings.append(
                    Finding("made by", "warning", shortened(told, most=_SHOWN), _REMEDY_OF_OTHER_MAKING, part=name)
                )
    findings += [
        Finding("made by", "note", NOT_ASKED_FOR, REMEDY_OF_NOT_ASKED_FOR, part=name)
        for name in sets_of_others(store, request.encoders)
    ]
    looked_at = f"{num_compared} feature sets and constants: model, weights, preprocessing, libraries"
    return Check("made by", looked_at, findings), frozenset(agreeing)


def _model(entry: Mapping[str, Json]) -> str:
    made_by = entry["made_by"]
    assert isinstance(made_by, Mapping)
    backbone = made_by.get("backbone")
    return str(backbone["model"]) if isinstance(backbone, Mapping) else "no backbone"
