"""Mirrors: a store carried from a folder into a bucket, or the other way round."""

from pathlib import Path

from ...configs.place import BucketUrl, StorePlace
from ...errors import SettingsError
from .bucket import Bucket
from .download import download
from .inventory import Mirrored
from .upload import upload


def mirror(source: StorePlace, destination: StorePlace) -> Mirrored:
    """Carry the store at `source` to `destination`, one of which is in a bucket; run again, go on or bring up to date.

    What arrives is bit for bit what was sent, or is refused.

    Raises:
        SettingsError: if not exactly one of the two is in a bucket.
        NotFoundError: if there is no store at `source`, or not the bucket.
        OutputExistsError: if something else is at `destination`, or its store was changed since it came from `source`.
        BusyError: if somebody writes to the folder.
        StoreError: if the store is damaged or replaced meanwhile, or the disk refuses the write.
        BucketAccessError, BucketError: if the bucket cannot be had.
    """
    if isinstance(source, Path) and isinstance(destination, BucketUrl):
        return upload(source, Bucket(destination))
    if isinstance(source, BucketUrl) and isinstance(destination, Path):
        return download(Bucket(source), destination)
    raise SettingsError(
        f"{source} and {destination}: one of them is to be a folder, and the other a URL of a bucket. A folder is "
        "copied with `cp -r`; between two buckets, go through a folder."
    )
