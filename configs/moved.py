"""Settings that are called otherwise than in an earlier version: what to write instead, and what saved ones mean.

What a person wrote is refused with the new name. What an earlier version saved with a run is read as it was meant.
"""

from collections.abc import Mapping
from typing import Any

_KIND_OF = {
    "video": "film",
    "audio": "sound",
    "image": "photographs",
    "sensor": "series",
    "frames": "frames",
    "text": "text",
}
"""Sections that each were a modality's, and what kind of feature each is now."""

_AUGMENTATIONS = ("feature_mask", "noise", "mixup", "modality_dropout")
"""Settings of training that one recipe alone reads, and which stand in its section now."""

_MOVED: Mapping[str, str] = {
    **{f"{name}.store_as": "the name of the feature in `features`" for name in _KIND_OF},
    **{name: f"features.{name}" for name in _KIND_OF},
    "extract.modalities": "extract.features",
    "train.recipe": "recipe.name",
    **{f"train.{name}": f"recipe.{name}" for name in _AUGMENTATIONS},
    "model": "recipe",
    "loss": "recipe.loss",
    "autoencoder": "recipe",
}
"""Former name of a setting or of a whole section -> its name now."""

_LIMITS = [100.0, 1000.0, 1000.0, 2000.0, 1e6, 1000.0]
"""What limits were unless somebody set them: those of the one machine, which the data set's source tells now."""


def moved_to(key: str) -> str | None:
    """A sentence with the name of the former setting `key` now; None where there was none."""
    for former, now in _MOVED.items():
        if key == former or key.startswith(f"{former}."):
            return f"{key} is {now}{key.removeprefix(former)} now."
    return None


def upgraded(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Complete settings of an earlier version, by section, under the names of this one; those of this as they are."""
    return _with_source(_as_source_tells(_with_features(_with_recipe(saved))))


def _with_source(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Data sets of welds, which were the only ones, as one source of several."""
    if "data" not in saved or "source" in saved["data"]:
        return dict(saved)
    return {**saved, "data": {"source": "welds", **saved["data"]}}


def _with_features(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What was said of each modality in a section of its own, as features by kind."""
    if "features" in saved or "image" not in saved:
        return dict(saved)
    now = {name: section for name, section in saved.items() if name not in _KIND_OF}
    former = {name: dict(saved.get(name, {})) for name in _KIND_OF}
    stored_as = {name: section.pop("store_as", name) for name, section in former.items()}
    film = {name: value for name, value in former["video"].items() if name in ("max_megapixels", "max_gigapixels")}
    former["frames"] |= {**film, "by_default": False}
    if "limits" in former["sensor"]:
        former["video"]["sensor_limits"] = former["sensor"]["limits"]
    now["features"] = {stored_as[name]: {"kind": _KIND_OF[name], **section} for name, section in former.items()}
    extract = dict(saved.get("extract", {}))
    if (asked := extract.pop("modalities", None)) is not None:
        extract["features"] = [*(stored_as[name] for name in asked), stored_as["text"]]
    return now | {"extract": extract}


def _as_source_tells(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What was said of every file of measurements, as nothing: the data set's source says it."""

    def told(section: Mapping[str, Any]) -> dict[str, Any]:
        former: dict[str, object] = {"sensor_limits": _LIMITS} if section.get("kind") == "film" else {}
        if section.get("kind") == "series" and section.get("channels") is None:
            former = {"limits": _LIMITS, "clock": "Time"}
        return {name: None if name in former and value == former[name] else value for name, value in section.items()}

    features = saved.get("features")
    if not isinstance(features, Mapping):
        return dict(saved)
    return {
        **saved,
        "features": {name: told(each) if isinstance(each, Mapping) else each for name, each in features.items()},
    }


def _with_recipe(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What was said of recipes in four sections, whichever was trained, as the section of that one."""
    if "recipe" in saved or "model" not in saved:
        return dict(saved)
    now = {name: section for name, section in saved.items() if name not in ("model", "loss", "autoencoder")}
    train, model = dict(saved.get("train", {})), dict(saved["model"])
    name = train.pop("recipe", "causal_film")
    augmentations = {key: train.pop(key) for key in _AUGMENTATIONS if key in train}
    stored_as = {part: saved.get(part, {}).get("store_as", part) for part in ("video", "audio", "image", "sensor")}
    if name == "video_ae":
        frames = saved.get("frames", {}).get("store_as", "frames")
        recipe = {"frames": frames, **saved.get("autoencoder", {}), "standardise": model.get("standardise", False)}
    else:
        if model.get("sensor_normalisation") == "weld":
            model["sensor_normalisation"] = "sample"
        text = saved.get("text", {}).get("store_as", "text")
        recipe = {**stored_as, "text": text, **model, **augmentations, "loss": saved.get("loss", {})}
    return now | {"recipe": {"name": name, **recipe}, "train": train}
