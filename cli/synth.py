"""`weldcache synth`: a data set to try everything on."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def synth(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write; a run that was interrupted is gone on with.")
    ],
    size: Annotated[
        Literal["tiny", "small", "full"],
        typer.Option(help="tiny: for tests, seconds. small: for the demo. full: 4,040 welds at real sizes."),
    ] = "small",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same welds.")] = 0,
    confounded: Annotated[
        bool, typer.Option("--confounded", help="Let settings and sessions give the class away, as in the real data.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Write synthetic welds in the real files' formats: AVI, FLAC, CSV, JPEG and manifest.csv.

    One latent weld state drives video, audio, sensors and photographs; twelve classes act on it. Writes a
    `weldcache.yaml` beside the data, so that the other commands need no further words there. At the end it tells how
    well the true states, in `latents.csv`, tell defects: what is above that cannot be had from these data.
    """
    from ..configs.layers import user_path
    from ..extract.sources.welds.synth.ceilings import ceilings_table
    from ..extract.sources.welds.synth.pipeline import describe, generate
    from ..extract.sources.welds.synth.plan import plan_for_size
    from ..tables import print_tables

    summary = generate(
        user_path(str(out), origin="OUT"), plan=plan_for_size(size, seed=seed, confounded=confounded), workers=workers
    )
    typer.echo(describe(summary))
    if summary.ceilings:
        print_tables([ceilings_table(summary.ceilings)])
