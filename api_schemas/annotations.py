"""Annotations: ground truth from outside, each set with the purpose that it may be used for."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from api_schemas.ontologies import Ontology
from api_schemas.problems import Problem

Purpose = Literal["source", "validation", "evaluation", "initial"]


class AnnotationEntry(BaseModel):
    """One file of the uploaded zip."""

    file_name: str
    external_id: str | None = None
    status: Literal["accepted", "rejected"]
    problem: Problem | None = None


class AnnotationSet(BaseModel):
    """Labels for images of one image set; `evaluation` is read by evaluate jobs alone."""

    id: str
    image_set: str
    purpose: Purpose
    ontology: Ontology
    accepted: int
    rejected: int
    created_at: datetime
    created_by: str = Field("local", description="Id of the API key; `local` without keys")


class AnnotationSetReport(AnnotationSet):
    files: list[AnnotationEntry]
