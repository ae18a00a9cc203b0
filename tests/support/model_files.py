"""Models as files of an upload: good ones, and what is wrong with others."""

import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from tests.support.images import zip_bytes
from tests.support.installation import Installation
from tests.support.tiny_model import write_tiny_bundle


def bundle_files(seed: int = 0) -> dict[str, bytes]:
    """File name → bytes of a tiny bundle."""
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_bundle(Path(folder), seed)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def huggingface_files() -> dict[str, bytes]:
    """File name → bytes of a tiny SegFormer, as its library saves it."""
    from tests.models.tiny_huggingface import tiny

    with tempfile.TemporaryDirectory() as folder:
        tiny("segformer").save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def tar_bytes(files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def changed_json(data: bytes, **changes: Any) -> bytes:
    """A JSON object with some of its entries replaced."""
    return json.dumps({**json.loads(data), **changes}).encode()


def safetensors(header: Any, body: bytes = b"") -> bytes:
    """A file with any header, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def post_archive(
    site: Installation, data: bytes, file_name: str = "model.zip", name: str = "new", **fields: str
) -> Any:
    """The answer to a new version as multipart."""
    return site.client.post(
        f"/v1/models/{name}/versions", files=[("file", (file_name, data))], data=fields
    )


def post_files(
    site: Installation, files: dict[str, bytes], name: str = "new", **fields: str
) -> Any:
    return post_archive(site, zip_bytes(files), name=name, **fields)


def post_source(site: Installation, name: str = "new", **body: Any) -> Any:
    """The answer to a new version from a source."""
    return site.client.post(f"/v1/models/{name}/versions", json=body)
