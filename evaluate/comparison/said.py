"""What runs said of the samples of a split, as their evaluations wrote it, and whether that can be held against each
other."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ...cache.provenance import differences, differences_told
from ...documents import Json, read_regular_file
from ...errors import TrainingError
from ...progress import say
from ...train.runs.documents import WithFiles
from ...train.runs.folder import RunFolder
from ...train.runs.reports import REPORTS, read_report
from ...train.runs.trained_run import TrainedRun, load_run
from ...wording import count_of, shortened
from ..judge import Judge, judge_named
from ..judging import background_of, judge_split
from ..scoring import scorer_of
from ..trials.measure import Columns
from ..trials.record import record_path, scores_path

_NAMED = 3


@dataclass(frozen=True, eq=False)
class Said:
    """What one run said of a split.

    Attributes:
        name: of the run, as it was asked for.
        judge: who judged.
        store_split: by which split of the store its rows were divided, with the hash of one that was made.
        features: what made each feature set that it was trained on.
        columns: of `scores_<split>.csv`: by heading one text a sample.
        scored_now: whether no evaluation had written them, so that the samples were scored for this comparison.
    """

    name: str
    judge: Judge[Any]
    store_split: str
    features: Mapping[str, Json]
    columns: Columns
    scored_now: bool

    @property
    def keys(self) -> Sequence[str]:
        """Keys of the samples, in the order of the columns."""
        return self.columns["key"]

    def in_order_of(self, keys: Sequence[str]) -> Columns:
        """The columns with the samples in the order of `keys`, which are the same ones."""
        place = {key: position for position, key in enumerate(self.keys)}
        order = [place[key] for key in keys]
        return {heading: [values[position] for position in order] for heading, values in self.columns.items()}


def what_was_said(run: RunFolder, *, name: str, split: str, device: str) -> Said:
    """Read what a run said of a split; where no evaluation wrote it, score the samples by `device`, and say so.

    Raises:
        NotFoundError: if it has to be scored, and its store or its weights are not there.
        FingerprintError: if it has to be scored, and its store holds other features by now.
        TrainingError: if what is written was damaged or edited.
        MetricError: if the split cannot be judged.
    """
    trained = load_run(run.path)
    report = read_report(run, split=split)
    chosen = (report.judge if report is not None else "") or trained.settings.evaluate.judge
    judge = judge_named(chosen, task=trained.settings.train.task, of=name)
    written = written_columns(run, split=split)
    return Said(
        name=name,
        judge=judge,
        store_split=_store_split_of(trained),
        features=trained.manifest["cache"].get("features", {}),
        columns=_scored(trained, judge, name=name, split=split, device=device) if written is None else written,
        scored_now=written is None,
    )


def _store_split_of(trained: TrainedRun) -> str:
    told = trained.manifest.get("split", {"name": "official", "hash": ""})
    return told["name"] if told["name"] == "official" else f"{told['name']} ({told['hash'][:8]})"


def _scored(trained: TrainedRun, judge: Judge[Any], *, name: str, split: str, device: str) -> Columns:
    say(f"No evaluation of {name} on {split} is written in the run: its samples are scored now.")
    scorer = scorer_of(trained, cache=None, device=device)
    background = background_of(judge, scorer, settings=trained.settings.evaluate)
    judgement = judge_split(judge, scorer, split, background=background)
    return {heading: [str(value) for value in values] for heading, values in judgement.columns.items()}


def written_columns(run: RunFolder, *, split: str) -> Columns | None:
    """The columns of `scores_<split>.csv` of a run; None where neither an evaluation nor a bench wrote it.

    Raises:
        TrainingError: if it is not the file that was written, or says something twice of a sample.
    """
    path = scores_path(run, split)
    documents = [each for each in (run.path / REPORTS[split], record_path(run, split)) if each.exists()]
    hashes = {run.read(each, WithFiles).get("files", {}).get(path.name) for each in documents} - {None}
    if not hashes:
        return None
    mend = f"Make it again with `weldcache eval {run.name} --split {split}`."
    if not path.is_file():
        raise TrainingError(f"{path} is missing, and a report was made with it. {mend}")
    content = read_regular_file(path)
    if sha256(content).hexdigest() not in hashes:
        raise TrainingError(f"{path} does not match the checksum that was written with it: it was edited. {mend}")
    headings, *rows = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
    columns = dict(zip(headings, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
    if len(set(columns.get("key", []))) != len(rows) or not rows:
        raise TrainingError(f"{path} has not one line a sample. {mend}")
    return columns


def refusals(said: Sequence[Said]) -> list[str]:
    """Why runs cannot be held against the first, a sentence each; nothing where they can."""
    first, *others = said
    return [why for other in others for why in _against(first, other)]


def _against(first: Said, other: Said) -> Iterator[str]:
    if first.judge.task != other.judge.task:
        yield f"{first.name} is judged for {first.judge.task}, and {other.name} for {other.judge.task}."
        return
    if first.store_split != other.store_split:
        own, others = first.store_split, other.store_split
        yield f"{first.name} is judged on the split {own}, and {other.name} on the split {others}."
    for one, two in ((first, other), (other, first)):
        known = set(two.keys)
        if only := [key for key in one.keys if key not in known]:
            told = f"{count_of(len(only), 'sample')} of {one.name} ({shortened(only, most=_NAMED)})"
            yield f"{two.name} is not judged on {told}."
    yield from _about_samples(first, other)
    shared = sorted(first.features.keys() & other.features.keys())
    mine, theirs = ({name: said.features[name] for name in shared} for said in (first, other))
    if unlike := differences_told(differences(mine, theirs), mine=first.name, theirs=other.name):
        yield f"They look at other features of the same name: {shortened(unlike, most=_NAMED)}."


def _about_samples(first: Said, other: Said) -> Iterator[str]:
    """What the two say of one sample that no run decides: what it is, and with which it belongs together."""
    mine, theirs = ({key: place for place, key in enumerate(said.keys)} for said in (first, other))
    shared = [key for key in mine if key in theirs]
    for heading in ("class_name", "label", "group"):
        if heading in first.columns and heading in other.columns:
            one, two = first.columns[heading], other.columns[heading]
            found = [key for key in shared if one[mine[key]] != two[theirs[key]]]
            if found:
                key = found[0]
                yield (
                    f"The {heading} of {count_of(len(found), 'sample')} is another for {other.name} than for "
                    f"{first.name}, such as of {key}: {two[theirs[key]]} and {one[mine[key]]}."
                )
