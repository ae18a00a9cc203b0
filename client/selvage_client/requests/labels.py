"""Labels out: `/v1/labels`."""

from typing import Literal
from urllib.parse import quote

from api_schemas.labels import Label, LabelLineage
from selvage_client.calls import Call, delete, get, segment

LabelFormat = Literal["mask", "confidence", "overlay", "hf", "coco"]


def label(label_id: str) -> Call[Label]:
    """GET /v1/labels/{id}."""
    return get(_path(label_id), Label.model_validate_json)


def label_as(label_id: str, label_format: LabelFormat) -> Call[bytes]:
    """GET /v1/labels/{id}?format=…"""
    return Call("GET", _path(label_id), bytes, params={"format": label_format})


def lineage(label_id: str) -> Call[LabelLineage]:
    """GET /v1/labels/{id}/lineage."""
    return get(f"{_path(label_id)}/lineage", LabelLineage.model_validate_json)


def artifact(label_id: str, name: str) -> Call[bytes]:
    """GET /v1/labels/{id}/artifacts/{name}."""
    return get(f"{_path(label_id)}/artifacts/{quote(name, safe='/')}", bytes)


def delete_label(label_id: str, *, force: bool) -> Call[None]:
    """DELETE /v1/labels/{id}."""
    return delete(_path(label_id), force=force)


def _path(label_id: str) -> str:
    return f"/v1/labels/{segment(label_id)}"
