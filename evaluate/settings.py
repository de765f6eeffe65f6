"""What can be set of judging: who judges, chosen by name, and how."""

from typing import Annotated

from pydantic import AfterValidator, Field

from ..configs.section import Named, Section

JUDGES = Named(
    "judge",
    group="weldcache.judges",
    shipped={
        "anomaly": "weldcache.evaluate.tasks.anomaly.judge:AnomalyJudge",
        "classification": "weldcache.evaluate.tasks.classification.judge:ClassificationJudge",
    },
)


class EvaluateSettings(Section):
    """How a run is judged."""

    judge: Annotated[str, AfterValidator(JUDGES.checked)] | None = Field(
        None, description="Who judges: anomaly, classification, or a package's; null: the judge of train.task."
    )
    target_fpr: float = Field(0.05, gt=0, lt=1, description="False-alarm rate that the threshold aims at.")
    seed: int = Field(0, ge=0, description="Seed of the random-score control.")
