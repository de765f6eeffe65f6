"""The manifest entry of a feature set: everything that changes its numbers."""

from collections.abc import Mapping, Sequence

from ...cache.provenance import library_versions
from ...documents import Json
from ..backbones.spec import BackboneSpec

OPENCV = "opencv-python-headless"

_RUNS_BACKBONES = ("torch", "transformers")


def made_by(
    backbone: BackboneSpec | None,
    *,
    decoding: Mapping[str, object],
    decoders: Sequence[str] = (),
    block: int | None = None,
) -> dict[str, Json]:
    """Describe a feature set by its backbone (None where it has none), the block of it, its decoding, the libraries.

    `decoders` are the libraries that decode its files. Libraries that cannot change its numbers, such as the store's,
    are not in the description: a fingerprint should not change when nothing did.
    """
    versions = library_versions(("numpy", *decoders, *(_RUNS_BACKBONES if backbone is not None else ())))
    del versions["python"]
    described: dict[str, Json] = {"decoding": dict(decoding), "libraries": versions}
    if backbone is not None:
        described["backbone"] = backbone.to_manifest()
    if block is not None:
        described["block"] = block
    return described
