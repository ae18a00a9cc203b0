"""From what a request says to what exporters take, and back."""

from typing import Any

from api_schemas.exports import ExportLoss, ExportRequest
from formats.classes_json import OntologyFileClass
from formats.exports.base import ExportOptions, Loss
from formats.exports.registry import exporter_of

WITH_IMAGES = ("hf-datasets",)  # that are of no use without


def classes_of(ontology: dict[str, Any]) -> tuple[OntologyFileClass, ...]:
    """Return the classes of an ontology, as it is stored."""
    return tuple(
        OntologyFileClass(c["id"], c["name"], c.get("kind", "stuff"), _colour(c["color"]))
        for c in ontology["classes"]
    )


def _colour(values: list[int]) -> tuple[int, int, int]:
    red, green, blue = values
    return red, green, blue


def options_of(request: ExportRequest, origin: str) -> ExportOptions:
    """Return the options of a request, with the defaults of its format.

    Args:
        origin: what made the labels.
    """
    asked = request.options
    with_images = asked.include_images
    if with_images is None:
        with_images = request.format in WITH_IMAGES
    return ExportOptions(
        split=asked.split,
        components=asked.components,
        iscrowd=asked.iscrowd,
        include_images=with_images,
        city=asked.city,
        class_map=asked.class_map,
        image_url=asked.image_url,
        model_version=asked.model_version or origin,
    )


def losses_of(request: ExportRequest, ontology: dict[str, Any], origin: str) -> list[ExportLoss]:
    """Return what an export will lose, as far as that is known before labels are looked at."""
    exporter = exporter_of(
        request.format, ontology["name"], classes_of(ontology), options_of(request, origin)
    )
    found = list(exporter.planned_losses())
    chosen = request.filters.classes
    if chosen is not None:
        left = [c["name"] for c in ontology["classes"] if c["name"] not in chosen]
        if left:
            more = f" and {len(left) - 5} more" if len(left) > 5 else ""
            names = ", ".join(map(repr, left[:5]))
            detail = f"filters.classes turns {names}{more} into ignored pixels."
            found.append(Loss("classes-left-out", detail))
    if request.format != "cityscapes":
        found.append(
            Loss(
                "names-changed",
                "Names of images that are no file names, or are alike without their suffix, are "
                "changed.",
                may_happen=True,
            )
        )
    return [
        ExportLoss(
            code=loss.code, detail=loss.detail, is_loss=loss.is_loss, may_happen=loss.may_happen
        )
        for loss in found
    ]
