"""Settings that several sources share: how classes are read, and how splits are drawn."""

from typing import Annotated

from pydantic import Field

from ...configs.section import Fraction, Section
from ..settings import DataSettings

SOURCE = "What the data set is; auto goes by the names in its folder."


class ClassSettings(DataSettings):
    """How the names of classes are read."""

    normal_classes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (
            *("OK", "normal", "no defect", "no defects", "defect free", "without defects", "flawless", "sound"),
            *("acceptable", "passed", "gut", "in Ordnung", "i. O.", "fehlerfrei", "bon", "bueno", "buono", "норма"),
            *("良好", "正常", "合格", "无缺陷", "정상"),
        ),
        description="Classes that are normal besides good, in any writing; every other is a defect.",
    )


class SplitSettings(Section):
    """How splits are drawn where the data set does not say them."""

    val_fraction: Fraction = Field(0.2, description="Share of normal groups for validation, where no split is told.")
    test_fraction: Fraction = Field(0.2, description="Share of normal groups for test, where no split is told.")
    split_seed: int = Field(0, ge=0, description="Seed of the splits that are drawn.")
