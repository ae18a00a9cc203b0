"""A stored label as a prediction of Label Studio."""

from collections.abc import Mapping, Sequence
from typing import Any

from formats.exports.base import Classes, LabelledImage
from formats.exports.label_studio import label_studio_result
from formats.index_png import decode_grey_png, decode_label_png
from formats.label_setup import label_studio_names
from formats.label_studio_tags import BrushTags
from formats.opening import ImageLimits


def prediction(
    label_png: bytes,
    confidence_png: bytes | None,
    limits: ImageLimits,
    classes: Classes,
    *,
    tags: BrushTags,
    version: str,
    quality: float | None,
    label_id: str,
) -> dict[str, Any]:
    """Return a prediction, one region a class; classes that the project lacks are left out.

    Raises:
        InputRefused: what is stored cannot be read.
    """
    label = decode_label_png(label_png, limits, len(classes))
    confidence = None if confidence_png is None else decode_grey_png(confidence_png, limits)
    image = LabelledImage(
        number=1,
        stem=label_id,
        external_id=label_id,
        label=label,
        confidence=confidence,
        facts={"label_id": label_id},
    )
    found = label_studio_result(image, classes, label_studio_names([c.name for c in classes]))
    regions: list[Mapping[str, Any]] = [
        {**region, "from_name": tags.from_name, "to_name": tags.to_name} for region in found
    ]
    return {
        "model_version": version,
        "score": 0.0 if quality is None else round(min(1.0, max(0.0, quality)), 6),
        "result": [r for r in regions if _is_known(r["value"]["brushlabels"], tags)],
    }


def nothing(version: str) -> dict[str, Any]:
    """Return the prediction for an image that has no label yet."""
    return {"model_version": version, "score": 0.0, "result": []}


def rle_bytes(found: Mapping[str, Any]) -> int:
    """Return how many values the regions of a prediction take."""
    return sum(len(region["value"]["rle"]) for region in found["result"])


def _is_known(names: Sequence[str], tags: BrushTags) -> bool:
    return tags.labels is None or tags.labels.issuperset(names)
