"""The manifest entry of a modality: everything that changes its numbers."""

from collections.abc import Mapping

from ...cache.provenance import Json, library_versions
from ..backbones.spec import BackboneSpec

# Libraries whose version can change a feature. Python's own and the store's cannot.
_LIBRARIES = ("torch", "transformers", "numpy", "opencv-python-headless", "soundfile", "librosa")


def made_by(backbone: BackboneSpec | None, *, decoding: Mapping[str, object]) -> dict[str, Json]:
    """Describe a modality by its backbone (None where it has none), its decoding and the libraries."""
    versions = library_versions(_LIBRARIES)
    del versions["python"]
    described: dict[str, Json] = {"decoding": dict(decoding), "libraries": versions}
    return described if backbone is None else {"backbone": backbone.to_manifest(), **described}
