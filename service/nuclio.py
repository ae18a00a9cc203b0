"""CVAT's automatic annotation, answered from stored labels in the manner of a nuclio function."""

import base64
import binascii
import hashlib
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic_core import to_json

from api_schemas.problems import FieldProblem, InputProblem, NotFound, ValidationProblem
from domain import integrations
from formats.class_palettes import cvat_names
from formats.cvat_shapes import mask_shapes
from formats.errors import InputRefused
from formats.index_png import decode_label_png
from formats.label_studio_images import names_of_image
from service.label_studio import generate_missing
from service.state import ServiceState, State
from service.strict_json import parse_json
from storage.catalog import integrations as rows
from storage.objects import ObjectMissing

router = APIRouter(prefix="/integrations/nuclio", include_in_schema=False)
MAX_NAME: Final = 4096


@router.get("/{profile}")
def describe(profile: str, state: State) -> dict[str, Any]:
    """The labels of the function, as `function.yaml` and CVAT want them."""
    with state.catalog.read() as session:
        found = integrations.open_profile(session, profile)
    names = cvat_names([c["name"] for c in found.classes])
    return {
        "name": profile,
        "version": found.label_version,
        "spec": [
            {"id": c["id"], "name": name, "type": "mask", "attributes": []}
            for c, name in zip(found.classes, names, strict=True)
        ],
    }


@router.post("/{profile}")
async def detect(profile: str, request: Request, state: State) -> Response:
    """Masks of one frame: by the digest of the file in `image` (base64), or by its `name`.

    An image without a label is an error and not an empty list: CVAT would show that as "nothing
    found".
    """
    body = parse_json(await request.body())
    if not isinstance(body, dict) or not ({"image", "name"} & body.keys()):
        raise ValidationProblem(
            "Send the frame as base64 in `image`, or its `name`.",
            errors=[FieldProblem(pointer="/image", detail="base64 of the file")],
        )
    digest = _digest(body.get("image"))
    name = body.get("name")
    shown = name[:MAX_NAME] if isinstance(name, str) else None
    shapes = await run_in_threadpool(_shapes, state, profile, digest, shown)
    return Response(to_json(shapes), media_type="application/json")


def _digest(image: Any) -> str | None:
    if image is None:
        return None
    try:
        data = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise ValidationProblem(
            "`image` is not base64.", errors=[FieldProblem(pointer="/image", detail="not base64")]
        ) from error
    return hashlib.sha256(data).hexdigest()


def _shapes(
    state: ServiceState, reference: str, digest: str | None, name: str | None
) -> list[dict[str, Any]]:
    with state.catalog.read() as session:
        profile = integrations.open_profile(session, reference)
        in_set = rows.images_in_set(session, profile.row.image_set_id, [digest] if digest else [])
        found = digest if digest in in_set else None
        if found is None and name is not None:
            names = names_of_image({"data": {"image": name}})
            found = integrations.find_images(session, profile, {0: names}).get(0)
        labels = integrations.find_labels(session, profile, [found] if found else [])
        label = labels.get(found or "")
    if found is None:
        raise NotFound(
            f"Image set '{profile.row.image_set_id}' has no such image, neither by the bytes of "
            "the file nor by its name. Add the frames of the task to the set."
        )
    if label is None:
        generate_missing(state, profile)
        raise NotFound("The image has no label yet. A job makes it; ask again when that is done.")
    classes = profile.classes
    try:
        data = state.objects.get(label.artifacts["label.png"])
        mask = decode_label_png(data, state.image_limits, len(classes))
    except ObjectMissing as error:
        raise NotFound(f"The files of label '{label.id}' are gone.") from error
    except InputRefused as error:
        raise InputProblem(error.code, str(error)) from error
    return mask_shapes(mask, cvat_names([c["name"] for c in classes]))
