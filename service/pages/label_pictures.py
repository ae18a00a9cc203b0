"""What the viewer draws: pictures of a label that any browser reads, none larger than a screen.

A class map goes out as a grey PNG whose values are the classes, a map of regions as an RGB PNG
whose values are numbers: canvas code gets at both without a decoder of its own. Images are JPEG,
upright, since browsers read no TIFF and no two agree about profiles.
"""

import io
import json
import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter
from fastapi.responses import Response
from PIL import Image

from api_schemas.problems import NotFound
from formats.coco_rle import mask_pixels
from formats.decode import decode_image
from formats.index_png import Colour, decode_grey_png, decode_label_png
from formats.overlay import overlay
from service.etags import IfNoneMatch, is_current, not_modified
from service.labels import find_label
from service.state import ServiceState, State
from storage.catalog.tables import LabelRow
from storage.objects import ObjectMissing, image_key

router = APIRouter(include_in_schema=False)

STAGES: Final = ("predict", "rectify", "select", "aggregate", "correct")
LARGEST_SIDE_PX: Final = 2048
THUMBNAIL_SIDE_PX: Final = 400
_QUALITY: Final = 88
_THUMBNAIL_QUALITY: Final = 80
_REGION_FIELDS: Final = (
    "id", "class_before", "class_after", "decision", "posterior", "probability", "vote_share",
    "confidence", "area",
)  # fmt: skip
# Decoding and encoding take memory and processor: few at once, as for the formats of labels.
_AT_ONCE: Final = threading.BoundedSemaphore(2)

Grey = npt.NDArray[np.uint8]


def shrunk_hw(height: int, width: int, largest: int = LARGEST_SIDE_PX) -> tuple[int, int]:
    """Return the size of a picture that fits into a square of `largest` pixels; never larger."""
    factor = min(1.0, largest / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


@router.get("/labels/{label_id}/picture")
def picture(label_id: str, state: State, if_none_match: IfNoneMatch = None) -> Response:
    """The image of a label, as JPEG."""

    def make(label: LabelRow, _palette: list[Colour]) -> bytes:
        image = _image(state, label)
        height, width = shrunk_hw(image.shape[0], image.shape[1])
        shown = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
        return _jpeg(shown, _QUALITY)

    return _send(state, label_id, "picture", make, "image/jpeg", if_none_match)


@router.get("/labels/{label_id}/thumbnail")
def thumbnail(label_id: str, state: State, if_none_match: IfNoneMatch = None) -> Response:
    """The image with its label over it, small."""

    def make(label: LabelRow, palette: list[Colour]) -> bytes:
        image = _image(state, label)
        height, width = shrunk_hw(image.shape[0], image.shape[1], THUMBNAIL_SIDE_PX)
        small = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        classes = decode_label_png(_object(state, label, "label.png"), state.image_limits)
        mixed = overlay(np.asarray(small), _nearest(classes, height, width), palette, 0.55)
        return _jpeg(Image.fromarray(mixed), _THUMBNAIL_QUALITY)

    return _send(state, label_id, "thumbnail", make, "image/jpeg", if_none_match)


@router.get("/labels/{label_id}/maps/{name}")
def class_map(
    label_id: str, name: str, state: State, if_none_match: IfNoneMatch = None
) -> Response:
    """`label`, `confidence`, the name of a stage, or `regions`."""

    def make(label: LabelRow, _palette: list[Colour]) -> bytes:
        if name == "regions":
            return _png(_region_numbers(state, label))
        if name == "confidence":
            found = decode_grey_png(_object(state, label, "confidence.png"), state.image_limits)
        else:
            artefact = f"stages/{name}.png" if name in STAGES else f"{name}.png"
            if name not in (*STAGES, "label"):
                raise NotFound(f"A label has no map '{name[:40]}'.")
            found = decode_label_png(_object(state, label, artefact), state.image_limits)
        return _png(_nearest(found, *shrunk_hw(*found.shape)))

    return _send(state, label_id, f"map-{name[:20]}", make, "image/png", if_none_match)


@router.get("/labels/{label_id}/regions")
def regions(label_id: str, state: State, if_none_match: IfNoneMatch = None) -> Response:
    """What was decided about each region, without the masks."""

    def make(label: LabelRow, _palette: list[Colour]) -> bytes:
        document = json.loads(_object(state, label, "regions.json"))
        found = [{f: one.get(f) for f in _REGION_FIELDS} for one in document["regions"]]
        told = {name: document.get(name) for name in ("decided_by", "reason")}
        return json.dumps({**told, "regions": found}).encode()

    return _send(state, label_id, "regions", make, "application/json", if_none_match)


def _send(
    state: ServiceState,
    label_id: str,
    what: str,
    make: Callable[[LabelRow, list[Colour]], bytes],
    media_type: str,
    if_none_match: str | None,
) -> Response:
    with state.catalog.read() as session:
        label, version = find_label(session, label_id)
    etag = f'"{label.digest}-page-{what}"'
    headers = {"ETag": etag, "Cache-Control": "private, max-age=86400"}
    if is_current(if_none_match, etag):
        return not_modified(headers)
    palette = [tuple(one["color"]) for one in version.ontology["classes"]]
    with _AT_ONCE:
        body = make(label, palette)
    return Response(body, 200, headers, media_type=media_type)


def _object(state: ServiceState, label: LabelRow, artefact: str) -> bytes:
    key = label.artifacts.get(artefact)
    if key is None:
        raise NotFound(f"Label '{label.id}' has no artefact '{artefact}'.")
    return _get(state, key, label)


def _image(state: ServiceState, label: LabelRow) -> Grey:
    return decode_image(_get(state, image_key(label.image_digest), label), state.image_limits)


def _get(state: ServiceState, key: str, label: LabelRow) -> bytes:
    try:
        return state.objects.get(key)
    except ObjectMissing as error:
        raise NotFound(
            f"A file of label '{label.id}' is not in the object store any more. Label the image "
            "again, or restore the store."
        ) from error


def _nearest(values: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """Return a map in another size; no value arises that was not there."""
    rows = (np.arange(height) + 0.5) * values.shape[0] / height
    columns = (np.arange(width) + 0.5) * values.shape[1] / width
    found: npt.NDArray[Any] = values[np.ix_(rows.astype(np.intp), columns.astype(np.intp))]
    return found


def _region_numbers(state: ServiceState, label: LabelRow) -> Grey:
    """Return for each pixel the number of its region, from 1, as R + 256·G + 65536·B; 0: none."""
    document: dict[str, Any] = json.loads(_object(state, label, "regions.json"))
    height, width = label.height_px, label.width_px
    flat = np.zeros(height * width, np.uint32)
    for number, region in enumerate(document["regions"], start=1):
        flat[mask_pixels(region["segmentation"]["counts"], flat.size)] = number
    numbers = flat.reshape((height, width), order="F")
    shown = _nearest(numbers, *shrunk_hw(height, width))
    bytes_of = [(shown >> shift & 255).astype(np.uint8) for shift in (0, 8, 16)]
    return np.stack(bytes_of, axis=-1)


def _png(values: Grey) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
