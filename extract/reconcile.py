"""A store and a request brought together: what differs is refused with its name, or made anew on request."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..cache.provenance import differences
from ..cache.store import FeatureStore
from ..cache.writer import StoreWriter
from ..errors import FingerprintError
from ..progress import say
from .changes import Change, find_changes
from .request import Request

_SHOWN = 10  # differences in a message


def made_otherwise(store: FeatureStore, request: Request) -> dict[str, list[str]]:
    """Feature sets and constants that `store` holds and something else made, each with its differences in words."""
    found: dict[str, list[str]] = {}
    for kind, entries in request.manifest().items():
        for name, entry in entries.items():
            held = store.manifest[kind].get(name, entry)
            if lines := [_worded(*difference) for difference in differences(held, entry)]:
                found[name] = lines
    return found


def refuse_differences(store: FeatureStore, request: Request) -> None:
    """Refuse a store that something else made, or whose files have changed since.

    Raises:
        FingerprintError: with each difference, and what to do.
    """
    _refuse_other_making(store.path, made_otherwise(store, request))
    _refuse_other_data(store, request)
    _refuse_changes(store.path, list(find_changes(store, request.samples, request.encoders, root=request.root)))


def reconcile(store: FeatureStore, request: Request, *, refresh: bool) -> None:
    """Give `store` the rows, feature sets and constants that it lacks.

    With `refresh`, what something else made is forgotten and made anew: a whole set where its backbone, preprocessing
    or libraries differ, a row where its files do. Without, it is refused.

    Raises:
        FingerprintError: with each difference, and what to do.
    """
    otherwise = made_otherwise(store, request)
    if not refresh:
        _refuse_other_making(store.path, otherwise)
    _refuse_other_data(store, request)
    _add_rows(store, request)
    for encoder in request.encoders.values():
        for spec in encoder.specs:
            if spec.name not in store.feature_sets:
                store.add_feature_set(spec)
            elif spec.name in otherwise:
                say(f"{spec.name} was made by something else and is made anew: {'; '.join(otherwise[spec.name][:3])}.")
                store.replace_feature_set(spec)
    text = request.text
    if text.name not in store.constants or text.name in otherwise:
        store.add_constant(text.name, text.vector(), made_by=text.made_by)
    changes = list(find_changes(store, request.samples, request.encoders, root=request.root, writer=StoreWriter(store)))
    if not refresh:
        _refuse_changes(store.path, changes)
    _forget(store, changes)


def _worded(path: str, held: object, asked: object) -> str:
    return f"{path}: the cache has {held}, the request {asked}"


def _refuse_other_making(path: Path, otherwise: Mapping[str, Sequence[str]]) -> None:
    lines = [f"{name}, {line}" for name, found in otherwise.items() for line in found]
    if lines:
        raise FingerprintError(
            f"{path} was made by something else than what is asked for:\n  {_listed(lines)}\n"
            "Ask for what it was made with; or keep both, with another name for the new features (such as "
            "--set image.store_as=image_2) or another --cache; or make what differs anew with --refresh."
        )


def _refuse_other_data(store: FeatureStore, request: Request) -> None:
    held, asked = set(store.index.keys.tolist()), {sample.key for sample in request.samples}
    if not held & asked:
        raise FingerprintError(
            f"None of the {len(asked)} welds of the data set is among the {len(held)} of {store.path}, which holds "
            "another data set. Extract into another cache with --cache."
        )


def _refuse_changes(path: Path, changes: Sequence[Change]) -> None:
    if changes:
        # A file that several sets were made from is told once.
        lines = list(dict.fromkeys(f"{change.key}: {change.what}" for change in changes))
        raise FingerprintError(
            f"Files have changed since {path} was made from them:\n  {_listed(lines)}\n"
            "Restore them; or compute these welds again with --refresh."
        )


def _listed(lines: Sequence[str]) -> str:
    more = [f"... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n  ".join([*lines[:_SHOWN], *more])


def _add_rows(store: FeatureStore, request: Request) -> None:
    held, asked = set(store.index.keys.tolist()), {sample.key for sample in request.samples}
    if asked - held:
        say(f"{len(asked - held)} welds are new and get rows of their own.")
    if held - asked:
        say(f"{len(held - asked)} welds of {store.path} are not in the data set any more; their rows stay.")
    store.add_rows(request.index)


def _forget(store: FeatureStore, changes: Sequence[Change]) -> None:
    for name in dict.fromkeys(change.feature_set for change in changes):
        rows = [change.row for change in changes if change.feature_set == name]
        say(f"{name}: {len(rows)} welds are computed again, because their files have changed.")
        store.forget(name, rows)
