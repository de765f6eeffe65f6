"""A log of a training as a table of epochs, whoever wrote it: CSV, JSON, or text by a regular expression."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from ...documents import parse_json, read_regular_file
from ...errors import NotFoundError, SettingsError, SourceError
from ...train.runs.log import MetricRow
from ...train.tasks import LOSS, Direction
from ...wording import listed, shortened

FIGURES = ("loss", "accuracy", "recall", "precision", "f1", "auroc", "auprc", "positives")
"""What a log may tell of an epoch, of training or with `val_` or `test_` before it. `positives` counts the samples that
are predicted to be positive; all but that and the loss are shares."""

_PARTS = ("", "val_", "test_")
ROLES = tuple(f"{part}{figure}" for part in _PARTS for figure in FIGURES)

_ALIASES = {
    "acc": "accuracy",
    "auc": "auroc",
    "roc_auc": "auroc",
    "ap": "auprc",
    "pr_auc": "auprc",
    "tpr": "recall",
    "sensitivity": "recall",
    "f1_score": "f1",
    "bce": "loss",
    "cross_entropy": "loss",
}
_PREFIXES = {"validation_": "val_", "valid_": "val_", "training_": "", "train_": "", "tr_": ""}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)", re.IGNORECASE)
_WITH_COMMA, _WITH_POINT = re.compile(r",(?=\d)"), re.compile(r"\.\d")
_NOT_JSON = re.compile(r"(?<=[\s:,\[])(?:NaN|-?Infinity)(?=[\s,}\]])")  # which many a log has all the same
_HOW = (
    "Say which column is what with --column ROLE=NAME, or how text is read with --pattern, whose named groups are "
    "roles; roles are {roles}, each also with val_ or test_ before it."
)


@dataclass(frozen=True, eq=False)
class Epochs:
    """What a training logged.

    Attributes:
        where: who logged it, for messages.
        columns: one value an epoch, by role; NaN where an epoch does not tell it, infinity where it tells NaN, too.
        shares: of each kind or class among the samples, where these are known.
        anchors: by figure what is known to be reached, such as by a published model.
        monitors: further columns, which are no role, and which of their values are better.
        validated: how many normals and defects validation has, where that is known.
    """

    where: str
    columns: Mapping[str, Float64[np.ndarray, " epoch"]]
    shares: Sequence[float] = ()
    anchors: Mapping[str, float] = field(default_factory=dict)
    monitors: Mapping[str, Direction] = field(default_factory=dict)
    validated: tuple[int, int] | None = None

    def of(self, figure: str) -> Iterator[tuple[str, Float64[np.ndarray, " epoch"]]]:
        """The columns of a figure, of training, validation and test, with the finite values alone."""
        for part in _PARTS:
            values = self.columns.get(f"{part}{figure}", np.empty(0))
            if (known := values[np.isfinite(values)]).size:
                yield f"{part}{figure}", known

    def measured(self) -> Iterator[tuple[str, Direction]]:
        """Columns of validation that are no loss, and which of their values are better."""
        shares = [f"val_{figure}" for figure in FIGURES if figure not in ("loss", "positives")]
        yield from ((name, "max") for name in shares if name in self.columns)
        yield from ((name, better) for name, better in self.monitors.items() if name not in (LOSS, *shares))

    @property
    def num(self) -> int:
        """How many epochs there are."""
        return max(map(len, self.columns.values()), default=0)


def epochs_of_run(
    where: str,
    metrics: Sequence[MetricRow],
    *,
    anchors: Mapping[str, float],
    monitors: Mapping[str, Direction],
    counts: Mapping[str, object],
) -> Epochs:
    """The log of a run of our own, whose task has these monitors, and whose manifest counts its samples so."""
    rows = [{name: np.nan if value is None else float(value) for name, value in row.items()} for row in metrics]
    columns = _columns(rows, {name: name for name in monitors})
    kinds = [counts.get(f"validation_{kind}") for kind in ("normals", "defects")]
    normals, defects = (kind if isinstance(kind, int) else 0 for kind in kinds)
    return Epochs(
        where,
        columns,
        anchors=anchors,
        monitors={name: monitors[name] for name in monitors if name in columns},
        validated=(normals, defects) if normals and defects else None,
    )


def read_epochs(
    path: Path,
    *,
    columns: Mapping[str, str],
    pattern: str | None = None,
    shares: Sequence[float] = (),
    anchors: Mapping[str, float] | None = None,
) -> Epochs:
    """Read a foreign log.

    Args:
        path: CSV with a heading (`,`, `;` or tab), JSON (a list of objects, an object of lists, or lines), or text.
        columns: the log's own names by role; columns whose names are roles, or are known for such, need none.
        pattern: a regular expression with a named group for each role; every match in the text is an epoch.
        shares: as in `Epochs`, and so `anchors`.

    Raises:
        NotFoundError: if there is no such file.
        SourceError: if it is empty, if its decimal commas are not to be told from others, if a row of a table has more
            cells than the heading, if several columns may be one role, or if no figure can be read from it.
        SettingsError: if a role or the pattern is none.
    """
    how = _HOW.format(roles=listed(FIGURES))
    if unknown := [role for role in columns if role not in ROLES]:
        raise SettingsError(f"There is no role {unknown[0]!r} in a log. {how}")
    try:
        text = read_regular_file(path).decode("utf-8-sig", errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        raise NotFoundError(f"There is no log {path}. Check the path.") from None
    if not text.strip():
        raise SourceError(f"{path} is empty: give the log of a training that wrote one.")
    told = list(_rows(text, path=path, pattern=pattern))
    # Of figures alone: a note may hold any commas.
    figures = [row[name] for row in told for name in row if _role_of(name) is not None or name in columns.values()]
    sign = _sign_of_decimals(figures, path=path)
    rows = [{name: _number(value, sign_of_decimals=sign) for name, value in row.items()} for row in told]
    _require_one_each(rows, columns, path=path)
    found = _columns(rows, columns)
    if lost := [name for role, name in columns.items() if role not in found]:
        there = shortened(sorted({name for row in rows for name in row}), most=12)
        raise SourceError(f"{path} has no numbers in a column {lost[0]!r}; it has {there}.")
    if not found:
        there = shortened(sorted({name for row in rows for name in row}), most=12) or "no columns"
        raise SourceError(f"{path}: nothing in it is known for a figure of an epoch ({there}). {how}")
    return Epochs(str(path), found, shares=shares, anchors=anchors or {})


def _rows(text: str, *, path: Path, pattern: str | None) -> Iterator[Mapping[str, object]]:
    if pattern is not None:
        try:
            matches = [match.groupdict() for match in re.finditer(pattern, text)]
        except re.error as error:
            raise SettingsError(f"--pattern {pattern!r} is no regular expression: {error}.") from None
        yield from matches
    elif text.lstrip().startswith(("{", "[")):
        yield from _rows_of_json(text, path=path)
    else:
        yield from _rows_of_table(text, path=path)


def _rows_of_table(text: str, *, path: Path) -> Iterator[Mapping[str, object]]:
    heading = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=heading.count))
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        if twice := [name for name in names if names.count(name) > 1 and _role_of(name) is not None]:
            raise SourceError(f"{path} has several columns {twice[0]!r}: give each a name of its own.")
        for row in reader:
            if any(cell.strip() for cell in row.pop(None, ())):  # an empty one stands behind a last comma
                raise SourceError(
                    f"{path}, line {reader.line_num}: there are more cells than the heading has names, as where the "
                    "comma of 0,325 stands between others. Write figures with a point before their decimals, put them "
                    "in quotes, or have semicolons between cells; and name every column in the heading."
                )
            yield {name.strip(): value for name, value in row.items() if name and isinstance(value, str)}
    except csv.Error as error:
        raise SourceError(
            f"{path}, line {reader.line_num}: this is no table ({error}). Give a log of epochs as CSV, JSON or text."
        ) from None


def _rows_of_json(text: str, *, path: Path) -> Iterator[Mapping[str, object]]:
    text = _NOT_JSON.sub(r'"\g<0>"', text)
    try:
        document = parse_json(text)
    except ValueError:
        try:
            document = [parse_json(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise SourceError(f"{path} is neither JSON nor JSON lines ({error}).") from None
    if isinstance(document, dict):
        lists = {name: values for name, values in document.items() if isinstance(values, list)}
        if not lists:  # one line of JSON lines
            document = [document]
        else:
            num = max(map(len, lists.values()))
            document = [{name: values[at] for name, values in lists.items() if at < len(values)} for at in range(num)]
    for row in document:
        if isinstance(row, dict):
            yield {str(name): value for name, value in row.items()}


def _sign_of_decimals(values: Iterable[object], *, path: Path) -> str:
    """The sign before the decimals of all figures of a log: a point, or a comma as in `0,325`.

    Raises:
        SourceError: if there are both, or two commas in a number: then one of them parts thousands, or a number more.
    """
    texts = [value for value in values if isinstance(value, str)]
    with_comma = next((text for text in texts if _WITH_COMMA.search(text)), None)
    with_point = next((text for text in texts if _WITH_POINT.search(text)), None)
    twice = next((text for text in texts if len(_WITH_COMMA.findall(text)) > 1), None)
    if twice is not None or (with_comma is not None and with_point is not None):
        both = repr(twice) if twice is not None else f"{with_comma!r} and {with_point!r}"
        raise SourceError(
            f"{path}: {both} may be read in more than one way. Write all figures with a point before their decimals."
        )
    return "." if with_comma is None else ","


def _number(value: object, *, sign_of_decimals: str) -> float:
    """A number as logs write it, `0.91`, `85.01 %` or `loss: 0.3`; NaN where there is none."""
    if isinstance(value, str):
        value = value.replace(sign_of_decimals, ".")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _NUMBER.search(value) if isinstance(value, str) else None
    if found is None or not isinstance(value, str):
        return np.nan
    number = float(found[0]) / (100 if value.rstrip().endswith("%") else 1)
    return np.inf if np.isnan(number) else number


def _require_one_each(rows: Sequence[Mapping[str, float]], asked: Mapping[str, str], *, path: Path) -> None:
    """Raise SourceError if several columns may be one role, none of them by its very name."""
    by_role: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        if (role := _role_of(name)) is not None and role not in asked:
            by_role.setdefault(role, []).append(name)
    for role, names in by_role.items():
        if len(names) > 1 and role not in names:
            raise SourceError(f"{path}: {listed(names)} may each be {role}. Say which is with --column {role}=NAME.")


def _columns(rows: Sequence[Mapping[str, float]], asked: Mapping[str, str]) -> dict[str, Float64[np.ndarray, " epoch"]]:
    roles = {name: role for row in rows for name in row if (role := _role_of(name)) is not None}
    by_their_names_last = sorted(roles, key=lambda name: name == roles[name])
    chosen = {roles[name]: name for name in by_their_names_last} | dict(asked)
    columns = {}
    for role, name in chosen.items():
        values = np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)
        if not np.isnan(values).all():
            is_share = role in ROLES and not role.endswith(("loss", "positives"))
            columns[role] = values / 100 if is_share and 1 < np.nanmax(values) <= 100 else values  # of percent
    return columns


def _role_of(name: str) -> str | None:
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    for prefix, part in _PREFIXES.items():
        if plain.startswith(prefix):
            plain = part + plain.removeprefix(prefix)
    part = next(part for part in ("val_", "test_", "") if plain.startswith(part))
    figure = plain.removeprefix(part)
    role = part + _ALIASES.get(figure, figure)
    return role if role in ROLES else None


def parse_assignments(given: Iterable[str], *, option: str) -> dict[str, str]:
    """Values by name out of an option that was given as `NAME=VALUE`, as often as may be.

    Raises:
        SettingsError: if one is not of that form.
    """
    pairs = [text.partition("=") for text in given]
    if wrong := ["".join(pair) for pair in pairs if not pair[1] or not pair[0] or not pair[2]]:
        raise SettingsError(f"{option} {wrong[0]}: write it as NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def parse_anchors(given: Iterable[str]) -> dict[str, float]:
    """Figures that are known to be reached, by name, each between 0 and 1; raises as `parse_assignments`."""
    found = {}
    for name, value in parse_assignments(given, option="--anchor").items():
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = np.nan
        if not 0 <= found[name] <= 1:
            raise SettingsError(f"--anchor {name}={value}: an anchor is a share between 0 and 1, such as auroc=0.91.")
    return found


def parse_shares(text: str | None) -> tuple[float, ...]:
    """`0.1`, the share of positives, or `0.5,0.3,0.2`, those of all classes.

    Raises:
        SettingsError: if these are no shares of a whole.
    """
    if text is None:
        return ()
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    if len(shares) == 1:
        shares = (shares[0], 1 - shares[0])
    if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 0.01:
        raise SettingsError(
            f"--base-rate {text}: give the share of positives, such as 0.1, or those of all classes: 0.5,0.3,0.2."
        )
    return shares
