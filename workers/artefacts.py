"""From label maps to stored bytes and the columns of a label row."""

from typing import Any

from api_schemas.ids import new_id
from domain.stages import measured
from formats.index_png import encode_confidence_png, encode_label_png
from formats.regions_json import encode_regions_json
from models.label_maps import LabelMaps
from storage.objects import Objects, label_key
from workers.context import LabelContext


def _region_model(context: LabelContext) -> dict[str, Any]:
    used = context.region_model_use
    return {} if used is None else {"region_model": used.model_dump()}


def _rectified(maps: LabelMaps) -> dict[str, Any]:
    found = maps.summary.get("rectified")
    return {} if found is None else {"rectified": found}


def _kept_label(context: LabelContext, image_digest: str) -> dict[str, Any]:
    digest = context.recipe.kept_digests.get(image_digest)
    return {} if digest is None else {"kept_label": digest}


@measured("store")
def put_label(
    objects: Objects,
    context: LabelContext,
    *,
    image_digest: str,
    maps: LabelMaps,
    job_fit_digest: str | None = None,
) -> dict[str, Any]:
    """Encode and store the artefacts of a label; returns its row, which the commit inserts.

    Raises:
        StorageUnavailable: the store failed.
    """
    digest = context.recipe.label_digest(image_digest, job_fit_digest)
    files = {
        "label.png": encode_label_png(maps.label, context.palette),
        "confidence.png": encode_confidence_png(maps.confidence),
    }
    for stage, stage_map in maps.stages.items():
        files[f"stages/{stage}.png"] = encode_label_png(stage_map, context.palette)
    if maps.regions_json is not None:
        files["regions.json"] = encode_regions_json(maps.regions_json)
    for name, data in files.items():
        objects.put_new(label_key(digest, name), data)
    height_px, width_px = maps.label.shape
    return {
        "id": new_id("lab"),
        "digest": digest,
        "image_digest": image_digest,
        "model_version_id": context.version.id,
        "pipeline_digest": context.pipeline_digest,
        "width_px": width_px,
        "height_px": height_px,
        "coverage": maps.summary["coverage"],
        "quality": maps.summary["expected_accuracy"],
        "calibrated": maps.calibrated,
        "class_pixels": {str(k): v for k, v in maps.summary["class_pixels"].items()},
        "artifacts": {name: label_key(digest, name) for name in files},
        "lineage": {
            "image_digest": image_digest,
            "model_digest": context.version.digest,
            "pipeline_digest": context.pipeline_digest,
            "pilot_fit": context.recipe.pilot_fit_digest,
            "job_fit": job_fit_digest,
            "algorithm_versions": context.recipe.algorithm_versions,
            "precision": context.recipe.precision,
            "seed": context.seed,
            "window_px": maps.summary.get("window_px"),
            "notes": maps.summary.get("notes", []),
            **_rectified(maps),
            **_region_model(context),
            **_kept_label(context, image_digest),
        },
    }
