"""What an installation is made of, and what it is doing."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field


class DatabaseFacts(BaseModel):
    kind: str = Field(examples=["postgresql"])
    version: str = Field(description="Of the database program")
    schema_revision: str | None = Field(examples=["0002"])


class WorkerFacts(BaseModel):
    id: str
    queue: str = Field(description="label: needs torch; light: takes in images from elsewhere")
    device: str
    facts: dict[str, Any] | None = None
    started_at: datetime
    seen_at: datetime
    alive: bool = Field(description="Seen within three heartbeats")


class QueueFacts(BaseModel):
    """Chunks of work of one queue, by how far they are."""

    name: str
    ready: int = Field(description="Cut, not yet sent")
    sent: int = Field(description="Waiting for a worker")
    claimed: int = Field(description="Being worked on")


class System(BaseModel):
    """No secrets, no folders, no addresses."""

    version: str
    time: datetime = Field(description="By the clock of the database")
    database: DatabaseFacts
    store: Literal["local", "s3", "memory"]
    broker: Literal["up", "down"]
    keys: bool = Field(description="Whether API keys are asked for")
    unfinished_jobs: int
    waiting_images: int = Field(description="Not finished, in all jobs")
    queues: list[QueueFacts]
    workers: list[WorkerFacts]
