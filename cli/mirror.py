"""`weldcache mirror`: a store carried into a bucket, or out of one."""

from typing import Annotated

import typer

from .options import AsJson, print_json


def mirror(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A store: a folder, or a URL such as s3://bucket/prefix.")
    ],
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="Where it is to be: a URL, or a folder, the other of the two.")
    ],
    as_json: AsJson = False,
) -> None:
    """Carry a feature store from a folder into a bucket (s3://, gs://, az://), or from a bucket into a folder.

    Every byte that is carried is checked. What was interrupted goes on where it was; what has changed at the source
    since is brought up to date. In a bucket, objects of some megabytes hold many samples each. Credentials are taken
    from the environment or the machine, and from nowhere else.
    """
    from ..cache.buckets.mirror import mirror as carry
    from ..configs.place import place_of
    from ..wording import count_of, format_size

    mirrored = carry(place_of(source), place_of(destination))
    if as_json:
        print_json({"source": source, "destination": destination, **vars(mirrored)})
        return
    copied = f"{mirrored.num_copied:,} copied with {format_size(mirrored.num_bytes)}"
    typer.echo(f"{destination}: {count_of(mirrored.num_objects, 'object')}, {copied}")
