"""The controls of a report, gathered from what the store knows beside the model."""

from .....train.data.features import Rows
from ....judge import Background
from ....scores import ScoreTable
from .chance import controls_with_chance
from .control import Controls
from .files import file_metadata
from .nearest import file_metadata_control, media_free_control


def gather_controls(table: ScoreTable, rows: Rows, *, background: Background) -> Controls:
    """Every control of the samples of `table`, which are the `rows` of the store.

    Raises:
        MetricError: if the samples are of one label.
    """
    run, store, seen = background.run, background.store, background.seen
    files, train_files = (file_metadata(store, each, recipe=run.recipe) for each in (rows, seen.train))
    rivals = {
        "media_free_control": media_free_control(table, train_attributes=store.index.select(seen.train).attributes),
        "file_metadata_control": file_metadata_control(table, files=files, train_files=train_files),
    }
    return controls_with_chance(rivals, table, seed=background.settings.seed)
