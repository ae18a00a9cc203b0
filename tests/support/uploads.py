"""A client of resumable uploads, as a user would write it."""

import hashlib
from typing import Any

import httpx

from tests.support.installation import Installation


def announce(site: Installation, data: bytes, name: str = "file.bin", **more: Any) -> Any:
    """The answer to POST /v1/uploads."""
    body = {"file_name": name, "size_bytes": len(data), **more}
    return site.client.post("/v1/uploads", json=body)


def slice_of(upload: dict[str, Any], number: int, data: bytes) -> bytes:
    start = (number - 1) * upload["part_bytes"]
    return data[start : start + upload["part_bytes"]]


def put(site: Installation, part: dict[str, Any], data: bytes) -> Any:
    """PUT a part where it goes: through the API, or straight to the store."""
    if part["url"].startswith("http"):
        return httpx.put(part["url"], content=data, headers=part["headers"], timeout=60)
    return site.client.put(part["url"], content=data, headers=part["headers"])


def send_missing(site: Installation, upload_id: str, data: bytes, limit: int | None = None) -> int:
    """Ask what is missing, page by page, and send at most `limit` parts of it; returns how many."""
    sent, token = 0, None
    while True:
        query = {"page_size": 2} | ({"page_token": token} if token else {})
        upload = site.client.get(f"/v1/uploads/{upload_id}", params=query).json()
        for part in upload["parts"]:
            if part["status"] == "missing" and (limit is None or sent < limit):
                answer = put(site, part, slice_of(upload, part["number"], data))
                assert answer.status_code == 200, answer.text
                sent += 1
        token = upload["next_page_token"]
        if token is None:
            return sent


def complete(site: Installation, upload_id: str, **body: Any) -> Any:
    url = f"/v1/uploads/{upload_id}:complete"
    return site.client.post(url, json=body) if body else site.client.post(url)


def upload(site: Installation, data: bytes, name: str = "file.bin", **more: Any) -> str:
    """Upload a file whole and return the upload's id."""
    sha256 = hashlib.sha256(data).hexdigest()
    answer = announce(site, data, name, sha256=sha256, **more)
    assert answer.status_code == 201, answer.text
    upload_id = str(answer.json()["id"])
    send_missing(site, upload_id, data)
    answer = complete(site, upload_id)
    assert answer.status_code == 200, answer.text
    return upload_id
