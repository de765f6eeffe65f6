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
    severity: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="Between which severities defects are drawn, in (0, 1]."),
    ] = (0.3, 1.0),
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=WEIGHT,...",
            help="Proportions of the defect classes, such as burnthrough=2,porosity=1; those left out are not made.",
        ),
    ] = None,
    observable: Annotated[
        bool, typer.Option("--observable", help="Write speed and plate thickness into the sensor files, too.")
    ] = False,
    missing: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of recordings whose files are not there.")
    ] = 0.0,
    damage: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of recordings whose files are broken; planted.csv lists them.")
    ] = 0.0,
    plant: Annotated[
        list[str] | None,
        typer.Option(
            "--plant",
            metavar="MISTAKE",
            help="Plant what `weldcache audit` finds: duplicate, group-in-two-parts, val-is-test, one-class-test, "
            "label-in-attribute, code-in-picture; repeat for more.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="What weldcache.yaml builds on: demo and demo-dinov2, real weights; demo-random, no download.",
            show_default="demo",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Write synthetic welds in the real files' formats: AVI, FLAC, CSV, JPEG and manifest.csv.

    One latent weld state drives video, audio, sensors and photographs; twelve classes act on it. Writes a
    `weldcache.yaml` beside the data, so that the other commands need no further words there; run again with another
    --preset, it writes that there, unless you changed the file. At the end it tells how well the true states, in
    `latents.csv`, tell defects: what is above that cannot be had from these data.
    """
    from dataclasses import replace

    from ..configs.layers import user_path
    from ..extract.sources.welds.synth.ceilings import ceilings_table
    from ..extract.sources.welds.synth.pipeline import describe, generate
    from ..extract.sources.welds.synth.plan import DEFECTS_ALIKE, parse_mix, plan_for_size
    from ..settings import checked_preset
    from ..tables import print_tables

    mix = DEFECTS_ALIKE if classes is None else parse_mix(classes)
    plan = replace(
        plan_for_size(size, seed=seed, confounded=confounded, mix=mix),
        severity=severity,
        observable=observable,
        missing=missing,
        damage=damage,
        plant=tuple(plant or ()),
    )
    chosen = None if preset is None else checked_preset(preset)
    summary = generate(user_path(str(out), origin="OUT"), plan=plan, workers=workers, preset=chosen)
    typer.echo(describe(summary))
    if summary.ceilings:
        print_tables([ceilings_table(summary.ceilings)])
