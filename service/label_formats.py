"""A label in the format of another tool, made at the moment from its stored files.

Images of any accepted size come by here, so work is done in strips or class by class, and few
requests at once do it.
"""

import base64
import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from fastapi.responses import Response
from PIL import Image

from api_schemas.problems import NotFound
from formats.coco_rle import bounding_box, encode_mask
from formats.decode import decode_image
from formats.index_png import IGNORE_INDEX, Colour, decode_grey_png, decode_label_png
from formats.overlay import overlay
from service.downloads import StoredFile, send_file
from service.etags import is_current, not_modified
from service.state import ServiceState
from storage.catalog.tables import LabelRow, ModelVersionRow
from storage.objects import ObjectMissing, image_key

LabelFormat = Literal["mask", "confidence", "overlay", "hf", "coco"]
FORMAT_HELP: Final = (
    "mask: index PNG (255 = ignore); confidence: grey PNG; overlay: the image with the label over "
    "it, JPEG; hf: output of a transformers image-segmentation pipeline; coco: a COCO document of "
    "one image with RLE masks. Left out: what the label is made of, as JSON"
)
FORMAT_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The label",
        "content": {"image/png": {}, "image/jpeg": {}},
    },
    303: {"description": "The file is at `Location`, for some minutes"},
    304: {"description": "You have it: see your ETag"},
}
_FILES: Final[dict[str, str]] = {"mask": "label.png", "confidence": "confidence.png"}
_STRIP_ROWS: Final = 256
_JPEG_QUALITY: Final = 90
_AT_ONCE = threading.BoundedSemaphore(2)

Grey = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class LabelSource:
    """A label with what its formats need to know; `file_name` is that of its image in a job."""

    row: LabelRow
    version: ModelVersionRow
    file_name: str

    @property
    def classes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.version.ontology["classes"]
        return found

    @property
    def palette(self) -> list[Colour]:
        return [(c["color"][0], c["color"][1], c["color"][2]) for c in self.classes]


def send_label(
    state: ServiceState,
    source: LabelSource,
    label_format: LabelFormat,
    *,
    redirect: bool | None,
    if_none_match: str | None,
) -> Response:
    """Answer with a label in a format, or 304.

    Raises:
        NotFound: the store has a file of it no more.
        StorageUnavailable: the store failed.
    """
    row = source.row
    if label_format in _FILES:
        name = _FILES[label_format]
        file = StoredFile(
            row.artifacts[name],
            f"{row.digest}-{name}",
            "image/png",
            f"'{name}' of label '{row.id}'",
        )
        return send_file(state, file, redirect=redirect, if_none_match=if_none_match)
    headers = {
        "ETag": f'"{_etag(source, label_format)}"',
        "Cache-Control": "private, max-age=86400",
        "X-Content-Type-Options": "nosniff",
    }
    if is_current(if_none_match, headers["ETag"]):
        return not_modified(headers)
    make, media_type = _MAKERS[label_format]
    with _AT_ONCE:
        try:
            body = make(state, source)
        except ObjectMissing as error:
            raise NotFound(
                f"A file of label '{row.id}' is not in the object store any more. Label the image "
                "again, or restore the store."
            ) from error
    return Response(body, 200, headers, media_type=media_type)


def _etag(source: LabelSource, label_format: str) -> str:
    name = hashlib.sha256(source.file_name.encode()).hexdigest()[:12]
    return f"{source.row.digest}-{label_format}-{name}"


def _read_label(state: ServiceState, source: LabelSource) -> Grey:
    data = state.objects.get(source.row.artifacts["label.png"])
    return decode_label_png(data, state.image_limits, len(source.classes))


def _make_overlay(state: ServiceState, source: LabelSource) -> bytes:
    label = _read_label(state, source)
    image = decode_image(state.objects.get(image_key(source.row.image_digest)), state.image_limits)
    for top in range(0, len(label), _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        image[strip] = overlay(image[strip], label[strip], source.palette)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _present(label: Grey, classes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the classes that the label has, in order."""
    counts = np.bincount(label.ravel(), minlength=IGNORE_INDEX + 1)
    for one in classes:
        if counts[one["id"]]:
            yield {**one, "pixels": int(counts[one["id"]])}


def _make_hf(state: ServiceState, source: LabelSource) -> bytes:
    """The output of a `transformers` image-segmentation pipeline, masks as base64 PNG."""
    label = _read_label(state, source)
    entries = []
    for one in _present(label, source.classes):
        buffer = io.BytesIO()
        mask = np.where(label == one["id"], np.uint8(255), np.uint8(0))
        Image.fromarray(mask).save(buffer, "PNG", compress_level=1)
        encoded = base64.b64encode(buffer.getvalue()).decode()
        # a class of a semantic label has no score of its own there
        entries.append({"score": None, "label": one["name"], "mask": encoded})
    return json.dumps(entries).encode()


def _make_coco(state: ServiceState, source: LabelSource) -> bytes:
    """A COCO document of one image: a region for each class, ids from 1."""
    row = source.row
    label = _read_label(state, source)
    confidence = decode_grey_png(
        state.objects.get(row.artifacts["confidence.png"]), state.image_limits
    )
    annotations = []
    for number, one in enumerate(_present(label, source.classes), start=1):
        mask = label == one["id"]
        annotations.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": one["id"] + 1,
                "iscrowd": 0,
                "area": one["pixels"],
                "bbox": bounding_box(mask),
                "segmentation": encode_mask(mask),
                "score": round(float(confidence[mask].mean(dtype=np.float64)) / 255, 6),
                "attributes": {"label": row.id},
            }
        )
    document = {
        "info": {"description": f"Label {row.id}"},
        "licenses": [],
        "images": [
            {
                "id": 1,
                "file_name": source.file_name,
                "width": row.width_px,
                "height": row.height_px,
            }
        ],
        "categories": [
            {"id": c["id"] + 1, "name": c["name"], "supercategory": c["kind"]}
            for c in source.classes
        ],
        "annotations": annotations,
    }
    return json.dumps(document).encode()


_MAKERS: Final[dict[str, tuple[Callable[[ServiceState, LabelSource], bytes], str]]] = {
    "overlay": (_make_overlay, "image/jpeg"),
    "hf": (_make_hf, "application/json"),
    "coco": (_make_coco, "application/json"),
}
