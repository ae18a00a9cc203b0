"""Every call of the API: what to send and what comes back, one module for each resource. No I/O."""

from selvage_client.requests import (
    campaigns,
    connections,
    images,
    jobs,
    keys,
    label_sets,
    labels,
    models,
    ontologies,
    pipelines,
    schedules,
    system,
    uploads,
)
from selvage_client.requests.pipelines import Pipeline

__all__ = [
    "Pipeline",
    "campaigns",
    "connections",
    "images",
    "jobs",
    "keys",
    "label_sets",
    "labels",
    "models",
    "ontologies",
    "pipelines",
    "schedules",
    "system",
    "uploads",
]
