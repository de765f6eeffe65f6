"""What can be set of stage two: what is learned, chosen by name, and how.

Neither a recipe's section nor its code is imported before it is chosen, nor is a task.
"""

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from ..configs.section import (
    ChosenFrom,
    Device,
    Fraction,
    Like,
    Named,
    NonNegative,
    Positive,
    Registered,
    Registry,
    Section,
)

_RECIPES = "weldcache.train.recipes"

Precision = Literal["float32", "bfloat16", "float16"]
"""The arithmetic that a head is trained and scored in."""


class RecipeSettings(Section):
    """What is said of every recipe; each has a section of its own beside its code."""

    name: str

    def for_store(self, arrays: Collection[str]) -> Self:
        """The same, with what was left open chosen for a store that holds these arrays, `<feature set>/<array>`: a run
        is of these settings, and keeps them.

        Raises:
            NotFoundError: if they hold nothing that could be chosen.
        """
        return self


AUTO = "auto"
_PATH = r"[a-z0-9_]+(/[a-z0-9_]+)+"
_SUCH_AS = "<feature set>/<array>, such as image/block_10/mean"

NamedArray = Annotated[str, Like(_PATH, _SUCH_AS)]
"""An array of the store by its name."""
StoredArray = Annotated[str, Like(f"{AUTO}|{_PATH}", f"{AUTO}, or {_SUCH_AS}")]
"""The same, or one that is chosen when the store is known."""


def of_last_block(array: str, arrays: Collection[str]) -> str:
    """An array such as image/last/mean with the deepest block of the feature that the store holds in place of `last`;
    any other as it is."""
    feature, found, name = array.partition("/last/")
    if not found:
        return array
    prefix, suffix = f"{feature}/block_", f"/{name}"
    blocks = [held[len(prefix) : -len(suffix)] for held in arrays if held.startswith(prefix) and held.endswith(suffix)]
    numbers = [int(block) for block in blocks if block.isdecimal()]
    return f"{prefix}{max(numbers)}{suffix}" if numbers else array


RECIPES = Registry(
    "recipe",
    key="name",
    group="weldcache.recipes",
    base=RecipeSettings,
    shipped={
        "causal_film": Registered(
            f"{_RECIPES}.causal_film.settings:CausalFilmSettings", f"{_RECIPES}.causal_film.recipe:CausalFilmRecipe"
        ),
        "reconstruction": Registered(
            f"{_RECIPES}.reconstruction:ReconstructionSettings", f"{_RECIPES}.reconstruction:ReconstructionRecipe"
        ),
        "video_ae": Registered(
            f"{_RECIPES}.reconstruction:VideoAutoencoderSettings", f"{_RECIPES}.reconstruction:VideoAutoencoderRecipe"
        ),
        "cfm": Registered(f"{_RECIPES}.cross_mapping:CfmSettings", f"{_RECIPES}.cross_mapping:CrossMappingRecipe"),
        "l2bt": Registered(f"{_RECIPES}.cross_mapping:L2btSettings", f"{_RECIPES}.cross_mapping:CrossMappingRecipe"),
        "simplenet": Registered(f"{_RECIPES}.simplenet:SimpleNetSettings", f"{_RECIPES}.simplenet:SimpleNetRecipe"),
        "dinomaly": Registered(
            f"{_RECIPES}.token_decoder:DinomalySettings", f"{_RECIPES}.token_decoder:TokenDecoderRecipe"
        ),
        "inp_former": Registered(
            f"{_RECIPES}.token_decoder:InpFormerSettings", f"{_RECIPES}.token_decoder:TokenDecoderRecipe"
        ),
        "nearest": Registered(f"{_RECIPES}.nearest:NearestSettings", f"{_RECIPES}.nearest:NearestRecipe"),
        "patch_memory": Registered(
            f"{_RECIPES}.patch_memory:PatchMemorySettings", f"{_RECIPES}.patch_memory:PatchMemoryRecipe"
        ),
        "patchcore": Registered(
            f"{_RECIPES}.patch_memory:PatchCoreSettings", f"{_RECIPES}.patch_memory:PatchMemoryRecipe"
        ),
        "mh_patchcore": Registered(
            f"{_RECIPES}.mh_patchcore:MhPatchCoreSettings", f"{_RECIPES}.mh_patchcore:MhPatchCoreRecipe"
        ),
        "superadd": Registered(f"{_RECIPES}.superadd:SuperAddSettings", f"{_RECIPES}.superadd:SuperAddRecipe"),
        "subspace": Registered(f"{_RECIPES}.subspace:SubspaceSettings", f"{_RECIPES}.subspace:SubspaceRecipe"),
        "padim": Registered(f"{_RECIPES}.padim:PadimSettings", f"{_RECIPES}.padim:PadimRecipe"),
        "positional_nearest": Registered(
            f"{_RECIPES}.positional_nearest:PositionalNearestSettings",
            f"{_RECIPES}.positional_nearest:PositionalNearestRecipe",
        ),
        "late_fusion": Registered(f"{_RECIPES}.late_fusion:LateFusionSettings", f"{_RECIPES}.late_fusion:late_fusion"),
        "gaussian": Registered(f"{_RECIPES}.gaussian:GaussianSettings", f"{_RECIPES}.gaussian:GaussianRecipe"),
        "local_outlier_factor": Registered(
            f"{_RECIPES}.local_outlier_factor:LocalOutlierFactorSettings",
            f"{_RECIPES}.local_outlier_factor:LocalOutlierFactorRecipe",
        ),
        "one_class_svm": Registered(
            f"{_RECIPES}.one_class_svm:OneClassSvmSettings", f"{_RECIPES}.one_class_svm:OneClassSvmRecipe"
        ),
        "isolation_forest": Registered(
            f"{_RECIPES}.isolation_forest:IsolationForestSettings", f"{_RECIPES}.isolation_forest:IsolationForestRecipe"
        ),
        "match": Registered(f"{_RECIPES}.match:MatchSettings", f"{_RECIPES}.match:MatchRecipe"),
        "match_fusion": Registered(
            f"{_RECIPES}.match_fusion:MatchFusionSettings", f"{_RECIPES}.match_fusion:match_fusion"
        ),
        "linear_probe": Registered(
            f"{_RECIPES}.linear_probe:LinearProbeSettings", f"{_RECIPES}.linear_probe:LinearProbeRecipe"
        ),
        "supcon": Registered(f"{_RECIPES}.supcon.settings:SupConSettings", f"{_RECIPES}.supcon.recipe:SupConRecipe"),
        "anovox_scene": Registered(
            f"{_RECIPES}.anovox.settings:AnoVoxSceneSettings", f"{_RECIPES}.anovox.scene:AnoVoxSceneRecipe"
        ),
        "anovox_point": Registered(
            f"{_RECIPES}.anovox.settings:AnoVoxPointSettings", f"{_RECIPES}.anovox.pointwise:AnoVoxPointRecipe"
        ),
        "anovox_mil": Registered(
            f"{_RECIPES}.anovox.settings:AnoVoxMilSettings", f"{_RECIPES}.anovox.pointwise:AnoVoxMilRecipe"
        ),
        "orientation_mvm": Registered(
            f"{_RECIPES}.orientation_mvm.settings:OrientationMvmSettings",
            f"{_RECIPES}.orientation_mvm.recipe:OrientationMvmRecipe",
        ),
        "cub_fusion": Registered(f"{_RECIPES}.cub_fusion:CubFusionSettings", f"{_RECIPES}.cub_fusion:CubFusionRecipe"),
        "cub_bottleneck": Registered(
            f"{_RECIPES}.cub_bottleneck:CubBottleneckSettings", f"{_RECIPES}.cub_bottleneck:CubBottleneckRecipe"
        ),
    },
)

AnyRecipe = Annotated[RecipeSettings, ChosenFrom(RECIPES)]
"""The settings of any recipe, chosen by `name`."""


def usual_recipe() -> RecipeSettings:
    """What is trained where nothing else is asked for."""
    usual = RECIPES.section("causal_film")()
    assert isinstance(usual, RecipeSettings)
    return usual


TASKS = Named(
    "task",
    group="weldcache.tasks",
    shipped={
        "anomaly": "weldcache.train.tasks:AnomalyTask",
        "detection": "weldcache.train.tasks:DetectionTask",
        "points": "weldcache.train.tasks:PointsTask",
        "classification": "weldcache.train.tasks:ClassificationTask",
        "orientation": "weldcache.train.orientation:OrientationTask",
    },
)


class TrainSettings(Section):
    """How stage two trains."""

    task: Annotated[str, AfterValidator(TASKS.checked)] = Field(
        "anomaly",
        description="What it is trained for. anomaly: on normals, to tell defects from them; detection: on all rows "
        "whose label is known; points: the same, point by point; classification: on all rows whose class is known; "
        "orientation: on all whose orientation is known; or a package's.",
    )
    epochs: Positive = Field(100, description="Epochs at most.")
    batch_size: Annotated[int, Field(gt=1)] = Field(32, description="Samples a step.")
    sampling: Literal["each_once", "balanced", "paired"] = Field(
        "each_once",
        description="Which samples an epoch takes. each_once: all, in random order; balanced: as many, drawn so that "
        "each label or class is as frequent as any other; paired: the same, each label or class that a batch has twice "
        "at least, as losses need that compare samples.",
    )
    lr: float = Field(2e-5, gt=0, description="Peak learning rate of AdamW.")
    betas: tuple[Fraction, Fraction] = Field((0.9, 0.999), description="Betas of AdamW.")
    weight_decay: NonNegative = Field(1e-2, description="Weight decay of AdamW.")
    warmup_epochs: int = Field(8, ge=0, description="Epochs of linear warm-up.")
    warmup_lr: NonNegative = Field(5e-7, description="Learning rate at the first step of the warm-up.")
    min_lr: NonNegative = Field(1e-7, description="Learning rate at the end of the cosine.")
    gradient_clip: float = Field(0.5, gt=0, description="Largest norm of the gradient.")
    ema_decay: Fraction = Field(0.9999, description="Decay of the weights' moving average, after its warm-up.")
    monitor: str | None = Field(
        None,
        max_length=100,
        description="What selects the best epoch: val_auroc or val_loss, which needs no defects, for anomaly and "
        "detection; val_loss or val_auroc for points; val_accuracy, val_macro_f1 or val_loss for classification; "
        "val_kl or val_loss for orientation; null: the first of these.",
    )
    patience: Positive = Field(25, description="Epochs without a better monitor before training stops.")
    split: str = Field(
        "official",
        description="Split of the store that says which rows are trained on, validated on and judged: the data set's "
        "own, or one that `weldcache split` made.",
    )
    seed: int = Field(0, ge=0, description="Seed of weights, batches, masks and dropout.")
    checkpoint_seconds: NonNegative = Field(
        20.0, description="Seconds between two checkpoints at least; an interruption costs no more than this."
    )
    loading: Literal["auto", "resident", "streamed"] = Field(
        "auto",
        description="resident: features stay on the device; streamed: threads read the next batches ahead, for "
        "stores larger than memory; auto: resident where they fit.",
    )
    precision: Precision = Field(
        "float32", description="Arithmetic of the heads; the half-precision ones by autocast, weights stay float32."
    )
    compile: Literal["off", "default", "reduce-overhead"] = Field(
        "off", description="Mode of torch.compile; reduce-overhead uses CUDA graphs where there is CUDA."
    )
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        (), description="Where metrics go beside metrics.jsonl; each is an extra: pip install -e '.[wandb]'."
    )
    device: Device = Field("auto", description="auto, cpu, mps, cuda or cuda:N.")
