"""A store and a request brought together: what differs is refused with its name, or made anew on request."""

import shutil
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from ..cache.following import disagreements
from ..cache.provenance import differences
from ..cache.splits import LEFT_OUT
from ..cache.status import Status
from ..cache.store import FeatureStore
from ..cache.writer import StoreWriter
from ..configs.place import StorePlace
from ..errors import FingerprintError, StoreError
from ..progress import say
from ..wording import count_of, format_size, is_are, lined_up, shortened
from .changes import Change, find_changes
from .request import Request
from .sources.source import SPLITS

_SHOWN = 10  # keys in a sentence


def made_otherwise(store: FeatureStore, request: Request) -> dict[str, list[str]]:
    """Feature sets and constants that `store` holds and something else made, each with its differences in words."""
    found: dict[str, list[str]] = {}
    for kind, entries in request.manifest().items():
        for name, entry in entries.items():
            held = store.manifest[kind].get(name, entry)
            if lines := [_worded(*difference) for difference in differences(held, entry)]:
                found[name] = lines
    return found


def stale_rows(store: FeatureStore, request: Request, *, refresh: bool) -> dict[str, Collection[int]]:
    """Rows that `reconcile` would forget, by feature set: what differs, with `refresh`; sets without a complete row.

    Raises:
        FingerprintError: as `reconcile`, with each difference and what to do.
    """
    otherwise = made_otherwise(store, request)
    changes = list(find_changes(store, request.samples, request.encoders, root=request.root))
    _refuse_other_data(store, request)
    worth_keeping = _of_worth(store, otherwise)
    if refresh:
        _refuse_part_of_a_set(request, worth_keeping)
    else:
        _refuse_other_making(store.path, worth_keeping)
        _refuse_changes(store.path, changes)
    stale: dict[str, Collection[int]] = {}
    for change in _asked_for(changes, store, request):
        stale[change.feature_set] = {*stale.get(change.feature_set, ()), change.row}
    return stale | {name: range(len(store.index)) for name in otherwise if name in store.feature_sets}


def reconcile(store: FeatureStore, request: Request, *, refresh: bool, relabel: bool) -> None:
    """Give `store` the rows, feature sets and constants that it lacks, and leave out what the data set lists no more.

    With `refresh`, what something else made is forgotten and made anew: a whole set where its backbone, preprocessing
    or libraries differ, a row of the splits asked for where its files do. Without, it is refused. Nothing is forgotten
    before it is known that it can be made: backbones are loaded, and the disk is looked at. What the data set says
    otherwise of a row is taken over with `relabel`, and refused without. A feature set without one complete row is made
    anew whatever made it: nothing is lost.

    Raises:
        FingerprintError: with each difference, and what to do.
        BackboneError: if a backbone that is to make something anew cannot be loaded.
        StoreError: if the disk is too small for what is to be made anew, two sets' names collide, statuses are lost, or
            the store is of a schema that can only be read.
    """
    store.require_writable()
    for name in store.feature_sets:
        store.records.require_statuses(name)
    otherwise, changes = made_otherwise(store, request), _changes(store, request)
    _refuse_other_data(store, request)
    for name in set(request.feature_sets) - set(store.feature_sets):
        store.require_room_for(name)
    worth_keeping = _of_worth(store, otherwise)
    if not refresh:
        _refuse_other_making(store.path, worth_keeping)
        _refuse_changes(store.path, changes)
    # Before anything is given up: a model that cannot be had is an error that costs nothing.
    vectors = {
        name: constant.vector()
        for name, constant in request.constants.items()
        if name not in store.constants or name in otherwise
    }
    _require_makers(store, request, worth_keeping)
    _follow(store, request, relabel=relabel)
    for encoder in request.encoders.values():
        for spec in encoder.specs:
            if spec.name not in store.feature_sets:
                store.add_feature_set(spec)
            elif spec.name in otherwise:
                lost = "was made by something else" if spec.name in worth_keeping else f"has no complete {request.noun}"
                say(f"{spec.name} {lost} and is made anew: {'; '.join(otherwise[spec.name][:3])}.")
                store.replace_feature_set(spec)
    for name, vector in vectors.items():
        store.add_constant(name, vector, made_by=request.constants[name].made_by)
    _forget(store, request, changes)


def _changes(store: FeatureStore, request: Request) -> list[Change]:
    writer = StoreWriter(store)
    return list(find_changes(store, request.samples, request.encoders, root=request.root, writer=writer))


def _of_worth(store: FeatureStore, otherwise: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Those that may not be given up unasked: a set without a complete row has nothing to lose."""
    empty = {
        name for name in otherwise if name in store.feature_sets and not (store.status(name) == Status.COMPLETE).any()
    }
    return {name: lines for name, lines in otherwise.items() if name not in empty}


def _refuse_part_of_a_set(request: Request, otherwise: Mapping[str, Sequence[str]]) -> None:
    gone = _made_anew(request, otherwise)
    if gone and set(request.splits) != set(SPLITS):
        raise FingerprintError(
            f"{', '.join(gone)} would be made anew, and one feature set cannot be of two makings: leave out --split."
        )


def _made_anew(request: Request, otherwise: Mapping[str, Sequence[str]]) -> list[str]:
    return [name for name in request.feature_sets if name in otherwise]


def _require_makers(store: FeatureStore, request: Request, otherwise: Mapping[str, Sequence[str]]) -> None:
    """Before a set is given up: can it be made anew, for every row that it has, on this disk?"""
    _refuse_part_of_a_set(request, otherwise)
    gone = _made_anew(request, otherwise)
    needed = 0
    for encoder in request.encoders.values():
        for spec in encoder.specs:
            if spec.name in gone:
                encoder.load()
                held = sum(array.row_bytes for array in store.arrays(spec.name).values())
                needed += int(np.sum(store.status(spec.name) == Status.COMPLETE)) * (spec.row_bytes - held)
    free = shutil.disk_usage(store.folder).free
    if needed > free:
        raise StoreError(
            f"The disk is too small to make {', '.join(gone)} anew: {format_size(needed)} more are needed and "
            f"{format_size(free)} are free. Make room, or extract into another --cache. Nothing was changed."
        )


def _worded(path: str, held: object, asked: object) -> str:
    return f"{path}: the cache has {held}, the request {asked}"


def _refuse_other_making(path: StorePlace, otherwise: Mapping[str, Sequence[str]]) -> None:
    lines = [f"{name}, {line}" for name, found in otherwise.items() for line in found]
    if lines:
        raise FingerprintError(
            f"{path} was made by something else than what is asked for:\n{lined_up(lines)}\n"
            "Ask for what it was made with; or keep both, as a feature of another name (such as "
            "features.image_2, of the same kind) or in another --cache; or make what differs anew with --refresh."
        )


def _refuse_other_data(store: FeatureStore, request: Request) -> None:
    held, asked = set(store.index.keys.tolist()), {sample.key for sample in request.samples}
    if not held & asked:
        raise FingerprintError(
            f"None of the {len(asked):,} {request.noun}s of the data set is among the {len(held):,} of {store.path}, "
            "which holds another data set. Extract into another cache with --cache."
        )


def _refuse_changes(path: StorePlace, changes: Sequence[Change]) -> None:
    if changes:
        # A file that several sets were made from is told once.
        lines = list(dict.fromkeys(f"{change.key}: {change.what}" for change in changes))
        raise FingerprintError(
            f"Files have changed since {path} was made from them:\n{lined_up(lines)}\n"
            "Restore them; or compute what was made of them again with --refresh."
        )


def _follow(store: FeatureStore, request: Request, *, relabel: bool) -> None:
    """Give the store the rows of the data set, and say what becomes of those that it had."""
    before, former = store.index, store.schema_version
    store.follow(request.index, relabel=relabel)
    after = store.index
    if former != store.schema_version:
        say(f"{store.path} is brought up to date: schema version {former} becomes {store.schema_version}.")
    if new := len(after) - len(before):
        say(f"{_are(new, request.noun)} new and {'gets a row of its' if new == 1 else 'get rows of their'} own.")
    was_out, is_out = before.parts == LEFT_OUT, after.parts[: len(before)] == LEFT_OUT
    if gone := before.keys[is_out & ~was_out].tolist():
        say(
            f"{_are(len(gone), request.noun)} not in the data set any more and left out of everything: "
            f"{shortened(gone, most=_SHOWN)}. The features stay in {store.path}, for when it lists "
            f"{'it' if len(gone) == 1 else 'them'} again."
        )
    if back := before.keys[was_out & ~is_out].tolist():
        say(f"{_are(len(back), request.noun)} listed again: {shortened(back, most=_SHOWN)}.")
    kept = np.flatnonzero(~was_out & ~is_out)
    if changed := disagreements(before.select(kept), after.select(kept)):
        lines = [f"{key}: {', '.join(told)}" for key, told in changed.items()]
        relabelled = _are(len(lines), request.noun)
        say(f"{relabelled} relabelled as the data set says now:\n{lined_up(lines)}")


def _are(number: int, noun: str) -> str:
    """`1 part is`, `12 parts are`."""
    return f"{count_of(number, noun)} {is_are(number)}"


def _forget(store: FeatureStore, request: Request, changes: Sequence[Change]) -> None:
    asked = _asked_for(changes, store, request)
    for name in dict.fromkeys(change.feature_set for change in asked):
        if name in store.feature_sets:
            rows = [change.row for change in asked if change.feature_set == name]
            store.forget(name, rows)
            fate = "computed again" if name in request.feature_sets else "forgotten until it is asked for"
            say(f"{name}: {_are(len(rows), request.noun)} {fate}: their files have changed.")
    if len(asked) < len(changes):
        others = len({change.row for change in changes} - {change.row for change in asked})
        say(
            f"Files of {count_of(others, request.noun)} of other splits have changed too: leave out --split to "
            "compute these again."
        )


def _asked_for(changes: Sequence[Change], store: FeatureStore, request: Request) -> list[Change]:
    return [change for change in changes if store.index.parts[change.row] in request.splits]
