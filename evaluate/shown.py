"""What a report shows of single samples beside the judge's sections: looks, places in a plane, one table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import WeldcacheError
from ..progress import say
from ..train.data.features import Rows
from .audit.in_report import audit_in_report, audit_section, told_in_verdict
from .exhibits import Gallery, SampleBook, SampleColumn, SampleTable
from .judge import Judgement
from .localise.localiser import Localiser, folder_of_files
from .localise.maps import SampleMaps
from .parts_told import parts_section
from .projection import project, scatter_section
from .sample_frame import sample_frame
from .sample_media import SampleMedia, sample_book
from .scores import ScoreTable
from .scoring import Scorer
from .section import Section
from .settings import EvaluateSettings


@dataclass(frozen=True, eq=False)
class Shown:
    """What of the samples goes into a report: the sections, with those of the judge among them, what samples look like,
    and a table of all that is known of each, None for none."""

    sections: Sequence[Section]
    book: SampleBook = field(default_factory=SampleBook)
    frame: pd.DataFrame | None = None


def shown_of(scorer: Scorer, judgement: Judgement, *, split: str, root: Path, settings: EvaluateSettings) -> Shown:
    """What of the judged samples is shown, and what an audit finds beside the judge.

    Their files are looked for where maps of the run find them: in the folder of the data set that the run names, or
    else in `root`. Where they are in neither, a report tells of the first.
    """
    run, store, table = scorer.run, scorer.store, judgement.table
    row_of = store.index.row_of()
    rows = np.array([row_of[key] for key in table.keys], dtype=np.int64)
    train = scorer.seen.train
    normals = train[store.index.labels[train] == 0]
    folder = folder_of_files(scorer, folders=(run.settings.data.root, root)) or run.settings.data.root
    exhibits = [exhibit for section in judgement.sections for exhibit in section.exhibits]
    galleries = [each for each in exhibits if isinstance(each, Gallery)]
    worth_seeing = sorted({row for each in galleries for shelf in each.shelves for row in shelf.rows})
    media, audited = settings.media, audit_in_report(scorer, judgement, part=split, settings=settings)
    maps = {} if media == "none" else _maps(scorer, rows[worth_seeing], root=folder)
    looks = SampleMedia(store, folder, run.settings.features, rows, normals if len(normals) else train, maps)
    told = next((exhibit for exhibit in exhibits if isinstance(exhibit, SampleTable)), None)
    own = [] if told is not None else [Section("samples", "Every sample", exhibits=[_plain_table(table)])]
    told = told or _plain_table(table)
    plane = project(store, rows, train=train, feature_sets=run.recipe.needs().feature_sets)
    added = [
        *own,
        *([] if plane is None else [scatter_section(plane, told)]),
        parts_section(store, judged=rows, split=split),
        audit_section(audited),
    ]
    frame = sample_frame(
        told,
        judgement.columns,
        projection=plane,
        files=[looks.files(int(row)) for row in rows],
        folder=run.folder.path,
    )
    of_judge = {row: shown for each in galleries for row, shown in each.media.items()}
    book = sample_book(looks, worth_seeing=worth_seeing, shown=media, of_judge=of_judge)
    judged = told_in_verdict(judgement.sections, audited)
    return Shown(_before_what_is_folded(judged, added), book, frame)


def _maps(scorer: Scorer, rows: Rows, *, root: Path) -> Mapping[int, SampleMaps]:
    """Where the model finds these rows strange; nothing, with a word, where that cannot be told."""
    try:
        return dict(zip(rows.tolist(), Localiser(scorer, root)(rows), strict=True))
    except WeldcacheError as error:
        say(f"The report shows no maps: {error}")
        return {}


def _plain_table(table: ScoreTable) -> SampleTable:
    """Who the samples are, for a judge that makes no table of them."""
    columns = (
        SampleColumn("key", "sample"),
        SampleColumn("class_name", "class", choice=True),
        SampleColumn("group", "group", choice=True),
    )
    return SampleTable(columns, list(zip(table.keys, table.class_names, table.groups, strict=True)))


def _before_what_is_folded(sections: Sequence[Section], added: Sequence[Section]) -> list[Section]:
    """Sections with others before the last ones that are folded."""
    end = len(sections)
    while end and sections[end - 1].look == "folded":
        end -= 1
    return [*sections[:end], *added, *sections[end:]]
