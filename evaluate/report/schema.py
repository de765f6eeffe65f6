"""What report.json looks like, for programs that read it: the one place from which docs/report.schema.json is made.

    python -m weldcache.evaluate.report.schema > docs/report.schema.json

Readers pass over names that they do not know: what is added does not change the version, what is taken away or means
something else does.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema

from .document import SCHEMA_VERSION


class Interval(BaseModel):
    """A figure with its 95% interval."""

    model_config = ConfigDict(extra="allow")

    value: float
    low: float
    high: float
    method: str = Field("", description="How the interval was made, where that differs from case to case.")


Value = Interval | bool | float | int | str | None


class SectionDocument(BaseModel):
    """A part of a report; what it has none of is left out."""

    model_config = ConfigDict(extra="allow")

    title: str = Field(description="Its heading, or of a verdict what it comes to.")
    standing: Literal["good", "doubtful", "bad"] = Field("good", description="Of a verdict: how far to rely on it.")
    facts: dict[str, Value] = Field({}, description="Figures by name; a name occurs in one section of a report alone.")
    fact_notes: dict[str, str] = Field({}, description="What belongs beside a figure, such as why there is none.")
    rows: dict[str, list[dict[str, Value]]] = Field(
        {},
        description="Tables by name: one object a row. In by_class, reference is a figure that others published, of "
        "other data.",
    )
    note: list[str] = Field([], description="Paragraphs.")
    points: list[str] = Field([], description="Sentences of equal standing, such as warnings, the gravest first.")


class ProvenanceDocument(BaseModel):
    """What was evaluated, made by what."""

    model_config = ConfigDict(extra="allow")

    fingerprint: str = Field(description="Of the features that the run was trained on.")
    settings: dict[str, Any] = Field(description="All settings in force, by section.")
    versions: dict[str, str] = Field(description="Library versions by name.")
    seed: int = Field(description="That the run was trained with.")
    command: str = Field(description="That made the report.")
    created: str = Field(description="ISO 8601 with its offset from UTC.")


class ReportDocument(BaseModel):
    """A report on one split by one run. What is undefined is null, never NaN."""

    model_config = ConfigDict(extra="allow")

    schema_version: Literal[SCHEMA_VERSION]  # type: ignore[valid-type]
    run: str
    split: str
    task: str
    weights: Literal["ema", "fitted"] = Field(description="Averaged weights of a training, or what was fitted.")
    confidence: float = Field(description="Of every interval.")
    metrics_version: int = Field(1, description="Of the definitions of figures and intervals; 1 where it is left out.")
    backbones_are_random: bool = Field(description="Whether figures say nothing, as untrained networks made features.")
    random_features: list[str]
    oracles: list[str] = Field([], description="Features that were read and that nobody knows of a new sample.")
    sections: dict[str, SectionDocument]
    provenance: ProvenanceDocument
    files: Annotated[dict[str, str], Field(description="SHA-256 of the files that were written with it.")] = {}


class _Schema(GenerateJsonSchema):
    """Without titles, which only say names again, and defaults, as what is left out is not there."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])


def report_schema() -> dict[str, Any]:
    """The JSON schema of report.json."""
    made = ReportDocument.model_json_schema(schema_generator=_Schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"weldcache-report-{SCHEMA_VERSION}",
        **made,
    }


if __name__ == "__main__":
    print(json.dumps(report_schema(), indent=2))
