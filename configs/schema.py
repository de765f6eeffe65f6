"""The settings: frozen, typed, one line of help under each field.

The text of each field is what `weldcache config explain` prints. Checking settings does no I/O and fills in nothing
behind the user's back: what `weldcache config show` prints is what runs.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from ..wording import nearest_hint
from .choices import JUDGES, AnyFeatures, AnyRecipe, AnySource, usual_features, usual_recipe, usual_source
from .section import (
    Device,
    Fraction,
    NonNegative,
    Positive,
    Section,
    StoreName,
)


class CacheSettings(Section):
    """The feature store."""

    path: Path = Field(Path("features.zarr"), description="Folder of the feature store.")
    dtype: Literal["float16", "bfloat16", "float32"] = Field(
        "float16", description="Storage type of backbone features; every cast is checked, an overflow is an error."
    )


class ExtractSettings(Section):
    """How stage one runs. `precision` and `demo_seed` change what is stored, `batch_size` at most its last bits."""

    features: tuple[StoreName, ...] | None = Field(
        None,
        min_length=1,
        description="Names of the features to make; null: all of `features` but those whose by_default is false.",
    )
    device: Device = Field("auto", description="auto, cpu, mps, cuda or cuda:N.")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Arithmetic of the backbones; auto: bfloat16 on CUDA, float32 elsewhere."
    )
    batch_size: Positive | Literal["auto"] = Field(
        "auto",
        description="Samples that go through the backbones together; auto: 8 on a CPU, on a GPU what its memory and "
        "speed ask for. A store remembers it.",
    )
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="Decode processes; 0 decodes in the main process; auto: all cores but one beside a GPU, else half.",
    )
    decode_seconds: float = Field(
        600.0,
        gt=0,
        description="Longest that decoding one feature of a sample may take; then its decoder is ended and the feature "
        "unreadable. A sample is named after 30 s.",
    )
    decode_gigabytes: float = Field(
        8.0,
        gt=0,
        description="Most memory that a decode process may take for one feature of a sample; then the same. The main "
        "process (workers = 0) cannot be held to it.",
    )
    demo_seed: int = Field(0, ge=0, description="Seed of the weights of `demo` backbones.")


class TrainSettings(Section):
    """How stage two trains."""

    task: Literal["anomaly", "classification"] = Field(
        "anomaly",
        description="What it is trained for. anomaly: on normals, to tell defects from them; classification: on all "
        "rows whose class is known.",
    )
    epochs: Positive = Field(100, description="Epochs at most.")
    batch_size: Annotated[int, Field(gt=1)] = Field(32, description="Samples a step.")
    lr: float = Field(2e-5, gt=0, description="Peak learning rate of AdamW.")
    betas: tuple[Fraction, Fraction] = Field((0.9, 0.999), description="Betas of AdamW.")
    weight_decay: NonNegative = Field(1e-2, description="Weight decay of AdamW.")
    warmup_epochs: int = Field(8, ge=0, description="Epochs of linear warm-up.")
    warmup_lr: NonNegative = Field(5e-7, description="Learning rate at the first step of the warm-up.")
    min_lr: NonNegative = Field(1e-7, description="Learning rate at the end of the cosine.")
    gradient_clip: float = Field(0.5, gt=0, description="Largest norm of the gradient.")
    ema_decay: Fraction = Field(0.9999, description="Decay of the weights' moving average, after its warm-up.")
    monitor: Literal["val_auroc", "val_accuracy", "val_macro_f1", "val_loss"] | None = Field(
        None,
        description="What selects the best epoch: val_auroc or val_loss, which needs no defects, for anomaly; "
        "val_accuracy, val_macro_f1 or val_loss for classification; null: the first of these.",
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
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Arithmetic of the heads; the half-precision ones by autocast, weights stay float32."
    )
    compile: Literal["off", "default", "reduce-overhead"] = Field(
        "off", description="Mode of torch.compile; reduce-overhead uses CUDA graphs where there is CUDA."
    )
    loggers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        (), description="Where metrics go beside metrics.jsonl; each is an extra, such as pip install weldcache[wandb]."
    )
    device: Device = Field("auto", description="auto, cpu, mps, cuda or cuda:N.")


class EvaluateSettings(Section):
    """How a run is judged."""

    judge: Annotated[str, AfterValidator(JUDGES.checked)] | None = Field(
        None, description="Who judges: anomaly, classification, or a package's; null: the judge of train.task."
    )
    target_fpr: float = Field(0.05, gt=0, lt=1, description="False-alarm rate that the threshold aims at.")
    seed: int = Field(0, ge=0, description="Seed of the random-score control.")


class RunsSettings(Section):
    """Where runs are kept."""

    folder: Path = Field(Path("runs"), description="Folder of all runs, one sub-folder each.")


class Settings(Section):
    """All settings of weldcache."""

    data: AnySource = Field(default_factory=usual_source, description="What data set there is, and where.")
    cache: CacheSettings = CacheSettings()
    features: AnyFeatures = Field(default_factory=usual_features, description="What is made of it, by name.")
    extract: ExtractSettings = ExtractSettings()
    recipe: AnyRecipe = Field(default_factory=usual_recipe, description="What is learned, and how it predicts.")
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    runs: RunsSettings = RunsSettings()

    @model_validator(mode="after")
    def _asked_features_are_named(self) -> "Settings":
        for name in self.extract.features or ():
            if name not in self.features:
                hint = nearest_hint(name, self.features)
                raise ValueError(f"extract.features names {name}, and there is no features.{name}.{hint}")
        return self

    @property
    def asked_features(self) -> tuple[str, ...]:
        """Names of the features that `extract` makes."""
        by_default = (name for name, feature in self.features.items() if feature.by_default)
        return tuple(by_default) if self.extract.features is None else self.extract.features
