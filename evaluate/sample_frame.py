"""Everything that is known of single samples as one table, for programs that explore data sets.

One row a sample: what the report's table tells, what the scores' file tells besides, where the sample lies in the
plane, which training samples are nearest to it, and its files by stream, as they are reached from the run's folder.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from .exhibits import SampleTable
from .projection import Projection


def sample_frame(
    table: SampleTable,
    columns: Mapping[str, Sequence[object]],
    *,
    projection: Projection | None,
    files: Sequence[Mapping[str, Sequence[Path]]],
    folder: Path,
) -> pd.DataFrame:
    """The table of all judged samples.

    Args:
        table: as the report shows it; its names are as the data set writes them.
        columns: what the scores' file tells, of which only what the table does not is taken.
        projection: where samples lie.
        files: of each sample, by stream.
        folder: from where paths are told, with forward slashes.
    """
    told: dict[str, Sequence[object]] = {column.id: table.column(column.id) for column in table.columns}
    told |= {name: list(values) for name, values in columns.items() if name not in told}
    if projection is not None:
        told |= {"x": projection.points[:, 0].tolist(), "y": projection.points[:, 1].tolist()}
        told["neighbours"] = projection.neighbours
    for stream in dict.fromkeys(stream for each in files for stream in each):
        told[f"{stream}_files"] = [
            [Path(os.path.relpath(path, folder)).as_posix() for path in each.get(stream, ())] for each in files
        ]
    return pd.DataFrame({name: [None if value == "" else value for value in values] for name, values in told.items()})


def write_parquet(path: Path, frame: pd.DataFrame) -> bool:
    """Write the table where pyarrow is installed; tells whether it was."""
    with suppress(ImportError):
        frame.to_parquet(path, index=False, engine="pyarrow")
        return True
    return False
