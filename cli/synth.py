"""`weldcache synth`: a data set to try everything on."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .completion import synthetic_fields
from .options import AsJson, print_json

_SEVERITY = (0.3, 1.0)


def synth(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write; a run that was interrupted is gone on with.")
    ],
    field: Annotated[
        str,
        typer.Option(
            help="What is made: welds, cub (birds with attributes), anovox (driving scenes), modelnet (turned shapes), "
            "or what an installed package makes.",
            autocompletion=synthetic_fields,
        ),
    ] = "welds",
    size: Annotated[
        Literal["tiny", "small", "full"],
        typer.Option(help="tiny: for tests, seconds. small: for a demo. full: as many as the real data has."),
    ] = "small",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same data.")] = 0,
    confounded: Annotated[
        bool,
        typer.Option("--confounded", help="Welds: let settings and sessions give the class away, as in the real data."),
    ] = False,
    severity: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="Welds: between which severities defects are drawn, in (0, 1]."),
    ] = _SEVERITY,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=WEIGHT,...",
            help="Welds: proportions of the defect classes, such as burnthrough=2,porosity=1; others are not made.",
        ),
    ] = None,
    observable: Annotated[
        bool, typer.Option("--observable", help="Welds: write speed and plate thickness into the sensor files, too.")
    ] = False,
    missing: Annotated[
        float, typer.Option(metavar="SHARE", help="Welds: share of recordings whose files are not there.")
    ] = 0.0,
    damage: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Welds: share of recordings whose files are broken; planted.csv lists them."
        ),
    ] = 0.0,
    plant: Annotated[
        list[str] | None,
        typer.Option(
            "--plant",
            metavar="MISTAKE",
            help="Plant what `weldcache audit` finds; repeat for more. Welds: duplicate, group-in-two-parts, "
            "val-is-test, one-class-test, label-in-attribute, code-in-picture. Birds: readable-attributes, "
            "random-pictures. Scenes: coin-flip-labels, background-tells, all-positive, val-is-train. Shapes: "
            "train-in-test, object-in-two-parts.",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="What weldcache.yaml builds on. Welds: demo and demo-dinov2, real weights; demo-random, no download. "
            "Birds: cub-demo; cub-pixels, no download. Scenes: anovox; anovox-points, no download. Shapes: "
            "modelnet-demo.",
            show_default="the field's",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Write synthetic data in the real files' formats: of welds AVI, FLAC, CSV, JPEG and manifest.csv.

    One latent weld state drives video, audio, sensors and photographs; twelve classes act on it. Writes a
    `weldcache.yaml` beside the data, so that the other commands need no further words there; run again with another
    --preset, it writes that there, unless you changed the file. Of welds it tells at the end how well the true states,
    in `latents.csv`, tell defects: what is above that cannot be had from these data.
    """
    from dataclasses import replace

    from ..configs.layers import user_path
    from ..errors import SettingsError
    from ..extract.sources.synth import GENERATORS, Made, synth_document
    from ..extract.sources.welds.synth.plan import DEFECTS_ALIKE, parse_mix, plan_for_size
    from ..settings import checked_preset
    from ..tables import print_tables
    from ..wording import listed

    of_welds = {
        "--confounded": confounded,
        "--severity": severity != _SEVERITY,
        "--classes": classes is not None,
        "--observable": observable,
        "--missing": missing != 0,
        "--damage": damage != 0,
    }
    generator, planted = GENERATORS.code(field)(), tuple(plant or ())
    if field == "welds":
        mix = DEFECTS_ALIKE if classes is None else parse_mix(classes)
        plan = replace(
            plan_for_size(size, seed=seed, confounded=confounded, mix=mix),
            severity=severity,
            observable=observable,
            missing=missing,
            damage=damage,
            plant=planted,
        )
    elif asked := [option for option, is_given in of_welds.items() if is_given]:
        raise SettingsError(f"{listed(asked)}: only `--field welds` has that, and this is {field}.")
    else:
        plan = generator.plan_for_size(size, seed=seed, plant=planted)
    chosen = None if preset is None else checked_preset(preset)
    folder = user_path(str(out), origin="OUT")
    made: Made = generator.generate(folder, plan=plan, workers=workers, preset=chosen)
    if as_json:
        print_json(synth_document(folder))
        return
    typer.echo(made.told)
    print_tables(made.tables)
