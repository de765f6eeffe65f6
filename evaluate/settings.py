"""What can be set of judging: who judges, chosen by name, and how."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ..configs.section import Named, Section

JUDGES = Named(
    "judge",
    group="weldcache.judges",
    shipped={
        "anomaly": "weldcache.evaluate.tasks.anomaly.judge:AnomalyJudge",
        "detection": "weldcache.evaluate.tasks.detection.judge:DetectionJudge",
        "points": "weldcache.evaluate.tasks.points.judge:PointsJudge",
        "classification": "weldcache.evaluate.tasks.classification.judge:ClassificationJudge",
        "orientation": "weldcache.evaluate.tasks.orientation.judge:OrientationJudge",
    },
)


Media = Literal["none", "thumbnails", "full"]


class EvaluateSettings(Section):
    """How a run is judged."""

    judge: Annotated[str, AfterValidator(JUDGES.checked)] | None = Field(
        None,
        description="Who judges: anomaly, detection, points, classification, orientation, or a package's; null: that "
        "of train.task.",
    )
    target_fpr: float = Field(0.05, gt=0, lt=1, description="False-alarm rate that the threshold aims at.")
    seed: int = Field(0, ge=0, description="Seed of the controls that are random: scores, and labels dealt out anew.")
    probes: bool = Field(
        True, description="Whether each modality is looked at by itself too, without training, as a control."
    )
    media: Media = Field(
        "thumbnails",
        description="What of the samples' files report.html shows: none; thumbnails: all of those worth seeing, "
        "a small photograph of others; full: all of every sample, however large the page becomes.",
    )

    @property
    def deciding(self) -> dict[str, object]:
        """All that can change what scores are read by: what a calibration rests on."""
        return self.model_dump(mode="json", exclude={"media", "probes"})
