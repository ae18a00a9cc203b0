"""Integrations: profiles by which labelling tools ask for labels."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from api_schemas.connections import ConnectionName
from api_schemas.ids import ImageSetId
from api_schemas.jobs import ModelReference, PipelineOrReference
from api_schemas.pipelines import PipelineConfig


class IntegrationCreate(BaseModel):
    """A name by which a tool gets labels of one model and pipeline for the images of a set."""

    model_config = ConfigDict(extra="forbid")

    name: ConnectionName
    image_set: ImageSetId = Field(description="Tasks are matched to its images by their names")
    model: ModelReference
    pipeline: PipelineOrReference = PipelineConfig()
    connection: str | None = Field(
        None,
        max_length=64,
        description="Of kind `label_studio`: where images come from that the set does not have, "
        "and where predictions go that were not there when they were asked for",
    )


class Integration(BaseModel):
    id: str
    name: str
    image_set: str
    model: str
    pipeline: PipelineConfig
    connection: str | None
    tasks: dict[str, int] = Field(
        description="Tasks that had no label when they were asked for: waiting, pushed, failed"
    )
    created_at: datetime
    created_by: str
    links: dict[str, str]


class IntegrationPage(BaseModel):
    integrations: list[Integration]
