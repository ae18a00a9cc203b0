"""Models and their immutable versions."""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api_schemas.ids import UploadId
from api_schemas.jobs import Metadata
from api_schemas.json_types import Truth
from api_schemas.ontologies import Ontology
from api_schemas.problems import Problem

MODEL_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
ModelName = Annotated[str, StringConstraints(pattern=MODEL_NAME_PATTERN)]
ModelKind = Literal["bundle", "huggingface", "torchscript", "torch_export", "region-model"]
REGION_MODEL_KIND: Final = "region-model"  # all others are segmenters
BUILT_IN_REGION_MODELS: Final = ("nano", "graph")

_REFERENCE = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]{0,62})(?:[:@]v?(?P<version>\d{1,9}))?$")


def parse_model_reference(reference: str) -> tuple[str, int | None]:
    """Split ``name`` or ``name:7`` or ``name:v7``.

    Raises:
        ValueError: the reference has another form.
    """
    match = _REFERENCE.match(reference)
    if match is None:
        raise ValueError(f"'{reference}' is not a model reference; write 'name' or 'name:version'")
    version = match["version"]
    return match["name"], int(version) if version else None


class ModelUploadSource(BaseModel):
    """A zip or tar that was sent through POST /v1/uploads."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["upload"]
    upload: UploadId


class ModelPrefixSource(BaseModel):
    """The files below a prefix of a bucket: one model, as in its folder."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["s3_prefix"]
    connection: str = Field(min_length=1, max_length=80, description="Id or name of a connection")
    prefix: str = Field(max_length=1024, pattern=r"^[^\x00]*$", examples=["models/street-2/"])


ModelSource = Annotated[ModelUploadSource | ModelPrefixSource, Field(discriminator="type")]


class ModelVersionCreate(BaseModel):
    """A model that is uploaded already, or lies in a bucket."""

    model_config = ConfigDict(extra="forbid")

    source: ModelSource
    promote: Truth = Field(
        False, description="Let the bare model name mean the new version, once it is ready"
    )
    metadata: Metadata = Field(default_factory=dict)


class ModelVersion(BaseModel):
    """An immutable set of weights. `digest` is the SHA-256 over its files.

    What the check of the model finds out is null until the version is `ready`.
    """

    model: str
    version: int
    reference: str = Field(description="Use this wherever a model is asked for")
    status: Literal["validating", "ready", "rejected"]
    kind: ModelKind | None = Field(
        None,
        description="`region-model`: for `aggregate.region_model`; all others are segmenters, for "
        "`model`",
    )
    digest: str | None = Field(
        None, description="Versions with the same files have the same digest, and share labels"
    )
    ontology: Ontology | None = Field(None, description="Its classes; a region model has none")
    size_bytes: int
    facts: dict[str, Any] = Field(description="What the check of the model measured")
    provenance: dict[str, Any]
    problem: Problem | None = None
    created_at: datetime
    created_by: str = Field("local", description="Id of the API key; `local` without keys")


class Model(BaseModel):
    name: str
    current_version: int | None = Field(description="The version that the bare name means")
    versions: int
    created_at: datetime
    links: dict[str, str]


class ModelPage(BaseModel):
    models: list[Model]
    next_page_token: str | None = None


class ModelVersionPage(BaseModel):
    versions: list[ModelVersion]
