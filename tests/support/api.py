"""What a user does over HTTP, in one line each."""

import io
import json
from typing import Any

import numpy as np
from PIL import Image

from tests.support.images import zip_bytes
from tests.support.installation import Installation

Files = dict[str, bytes] | list[tuple[str, bytes]]


def multipart(files: Files, field: str = "files") -> list[tuple[str, tuple[str, bytes]]]:
    pairs = list(files.items()) if isinstance(files, dict) else files
    return [(field, pair) for pair in pairs]


def post_images(
    site: Installation, files: Files, *, model: str = "tiny", pipeline: dict[str, Any] | None = None
) -> dict[str, Any]:
    """POST /v1/pseudo-labels; argmax alone unless a pipeline is given."""
    data = {"model": model, "pipeline": json.dumps(pipeline or {"select": None})}
    answer = site.client.post("/v1/pseudo-labels", files=multipart(files), data=data)
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    return document


def post_set(site: Installation, files: Files) -> dict[str, Any]:
    answer = site.client.post("/v1/image-sets", files=multipart(files))
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def start_job(site: Installation, **body: Any) -> dict[str, Any]:
    answer = site.client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    return document


def get_job(site: Installation, job_id: str) -> dict[str, Any]:
    answer = site.client.get(f"/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def get_items(site: Installation, job_id: str) -> dict[str, dict[str, Any]]:
    """Items of a job by external id."""
    items = site.client.get(f"/v1/jobs/{job_id}/items").json()["items"]
    return {item["external_id"]: item for item in items}


def get_png(site: Installation, label_id: str, name: str = "label.png") -> np.ndarray:
    answer = site.client.get(f"/v1/labels/{label_id}/artifacts/{name}")
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def label_bytes(site: Installation, job_id: str) -> dict[str, tuple[bytes, bytes]]:
    """External id → bytes of label.png and confidence.png."""
    found = {}
    for name, item in get_items(site, job_id).items():
        base = f"/v1/labels/{item['label_id']}/artifacts"
        found[name] = (
            site.client.get(f"{base}/label.png").content,
            site.client.get(f"{base}/confidence.png").content,
        )
    return found


def nonzero(counts: dict[str, int]) -> dict[str, int]:
    return {name: n for name, n in counts.items() if n}


def index_png(values: np.ndarray | list[list[int]]) -> bytes:
    """A grey PNG whose values are classes."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def classes_json(names: tuple[str, ...] = ("road", "sky", "car"), **more: Any) -> bytes:
    classes = [{"id": i, "name": name} for i, name in enumerate(names)]
    return json.dumps({"name": "truth", "classes": classes, **more}).encode()


def post_annotations(
    site: Installation,
    image_set: str,
    labels: dict[str, bytes],
    *,
    purpose: str = "evaluation",
    classes: bytes | None = None,
    **fields: str,
) -> Any:
    """The answer to an upload of annotations."""
    archive = zip_bytes({**labels, "classes.json": classes or classes_json()})
    return site.client.post(
        f"/v1/image-sets/{image_set}/annotations",
        files=[("file", ("labels.zip", archive))],
        data={"purpose": purpose, **fields},
    )
