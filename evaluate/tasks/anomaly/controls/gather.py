"""The controls of a report, gathered from what the store knows beside the model."""

from dataclasses import replace

import numpy as np

from .....cache.targets import NORMAL
from .....train.data.features import Rows
from ....judge import Background
from ....scores import ScoreTable
from .chance import controls_with_chance
from .control import Control, Controls
from .files import file_metadata_of_parts, modalities_present, presence_control
from .labelled import Known, attribute_rule_control, file_rule_control, group_only_control, separating_attributes
from .nearest import file_metadata_control, media_free_control
from .probes import ProbedRows, probe_controls


def gather_controls(table: ScoreTable, rows: Rows, *, background: Background) -> Controls:
    """Every control of the samples of `table`, which are the `rows` of the store.

    Raises:
        MetricError: if the samples are of one label.
    """
    store, recipe = background.store, background.run.recipe
    # Where defects are trained on too: these controls learn what is normal.
    train = background.seen.train[store.index.labels[background.seen.train] == NORMAL]
    known_rows = _known_rows(rows, background)
    files, train_files, known_files = file_metadata_of_parts(store, (rows, train, known_rows), recipe=recipe)
    present, train_present = (modalities_present(store, each, recipe=recipe) for each in (rows, train))
    known = _known(known_rows, background)
    rivals: dict[str, Control] = {
        "media_free_control": media_free_control(table, train_attributes=store.index.select(train).attributes),
        "file_metadata_control": file_metadata_control(table, files=files, train_files=train_files),
        "file_rule_control": file_rule_control(table, files=files, known=replace(known, attributes=known_files)),
        "presence_control": presence_control(table, present=present, train_present=train_present),
        "group_only_control": group_only_control(table, known=known),
        "attribute_rule_control": attribute_rule_control(table, known=known),
    }
    if background.settings.probes:
        rivals |= probe_controls(table, ProbedRows(store, train, rows), recipe=recipe)
    separating = separating_attributes(table, known=known)
    return controls_with_chance(rivals, table, seed=background.settings.seed, separating=separating)


def _known_rows(judged: Rows, background: Background) -> Rows:
    """The rows of training and validation that are not judged, as far as their labels are known."""
    rows = background.known_beside(judged)
    return rows[background.store.index.labels[rows] >= 0]


def _known(rows: Rows, background: Background) -> Known:
    entries = background.store.index.select(rows)
    return Known(entries.labels.astype(np.int64), entries.groups.tolist(), entries.attributes)
