"""COCO instances as JSON: masks as RLE, compressed or not, or as polygons."""

from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from pydantic_core import from_json

from formats.coco_rle import decompress
from formats.corrections.masks import (
    MAX_JSON_BYTES,
    ClassMap,
    FoundMask,
    Label,
    ReadLimits,
    read_bounded,
    size_refused,
    stem,
)
from formats.errors import InputRefused
from formats.index_png import IGNORE_INDEX

_MAX_POLYGON_POINTS: Final = 1_000_000
Painted = tuple[str, Any]  # class name and segmentation


def read_coco(file: BinaryIO, classes: ClassMap, limits: ReadLimits) -> Iterator[FoundMask]:
    """Yield one mask for each image that has annotations; later ones cover earlier ones.

    Raises:
        InputRefused: `manifest-invalid`: it is no COCO document.
    """
    del limits
    images, names, by_image = _parsed(file)
    for image_id, painted in by_image.items():
        file_name = images.get(image_id)
        if file_name is None:
            continue
        bare = stem(file_name)
        found = [(names.get(category), segmentation) for category, segmentation in painted]
        decode = partial(_decode, found, classes)
        yield FoundMask(file_name, (file_name, bare, bare.rsplit("/", 1)[-1]), decode)


def _parsed(
    file: BinaryIO,
) -> tuple[dict[Any, str], dict[Any, str], dict[Any, list[tuple[Any, Any]]]]:
    try:
        document = from_json(read_bounded(file, MAX_JSON_BYTES), allow_inf_nan=False)
        images = {_key(i["id"]): _text(i["file_name"]) for i in document["images"]}
        names = {_key(c["id"]): _text(c["name"]) for c in document["categories"]}
        by_image: dict[Any, list[tuple[Any, Any]]] = {}
        for entry in document["annotations"]:
            painted = by_image.setdefault(_key(entry["image_id"]), [])
            painted.append((_key(entry["category_id"]), entry.get("segmentation")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputRefused(
            "manifest-invalid",
            "The file is no COCO document with images, categories and annotations.",
        ) from error
    return images, names, by_image


def _key(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError("ids are numbers or texts")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("names are texts")
    return value


def _decode(
    painted: list[tuple[str | None, Any]], classes: ClassMap, height_px: int, width_px: int
) -> Label:
    label = np.full((height_px, width_px), IGNORE_INDEX, np.uint8)
    for name, segmentation in painted:
        if name is None:
            raise InputRefused("classes-invalid", "An annotation has a category that is not there.")
        inside = _inside(segmentation, height_px, width_px)
        label[inside] = classes.index_of(name)
    return label


def _inside(segmentation: Any, height_px: int, width_px: int) -> npt.NDArray[np.bool_]:
    if isinstance(segmentation, list):
        return _filled(segmentation, height_px, width_px)
    if not isinstance(segmentation, dict):
        raise _refused("has neither RLE nor polygons")
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(type(n) is int for n in size):
        raise _refused("has no size")
    if size != [height_px, width_px]:
        raise size_refused(size, height_px, width_px)
    try:
        runs = decompress(counts) if isinstance(counts, str) else np.array(counts, np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise _refused("has counts that cannot be read") from error
    if runs.ndim != 1 or (runs < 0).any() or (runs > height_px * width_px).any():
        raise _refused("has counts that cannot be read")
    if int(runs.sum()) != height_px * width_px:
        raise _refused("has counts that are not those of its size")
    flat = np.repeat(np.arange(runs.size) % 2 == 1, runs)
    return flat.reshape(width_px, height_px).T


def _filled(polygons: list[Any], height_px: int, width_px: int) -> npt.NDArray[np.bool_]:
    """Return the inside of polygons; which pixels the border has differs from tool to tool."""
    image = Image.new("1", (width_px, height_px))
    draw = ImageDraw.Draw(image)
    for polygon in polygons:
        try:
            points = np.array(polygon, np.float64)
        except (ValueError, TypeError, OverflowError) as error:
            raise _refused("has a polygon that is no list of numbers") from error
        if points.ndim != 1 or points.size < 6 or points.size % 2:
            raise _refused("has a polygon with less than three points")
        if points.size > _MAX_POLYGON_POINTS or not (np.abs(points) < 1e6).all():
            raise _refused("has a polygon far outside of its image")
        draw.polygon([(x, y) for x, y in points.reshape(-1, 2).tolist()], fill=1)
    return np.array(image)


def _refused(what: str) -> InputRefused:
    return InputRefused("label-invalid", f"An annotation {what}.")
