"""Label Studio's JSON export: tasks with brush annotations."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO, Final
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from pydantic_core import from_json

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
from formats.label_setup import LABEL_STUDIO_IMAGE
from formats.label_studio_brush import decode_brush

_INSIDE: Final = 128  # of the alpha channel, from which on a pixel belongs to the region
_UPLOADED: Final = re.compile(r"[0-9a-f]{8}-(.+)")  # Label Studio puts this before an upload's name
# what our own tasks say of their image, beside its address
_NAMES_OF_OURS: Final = ("external_id", "file_name", "image_digest")
_BRUSH: Final = "brushlabels"


def read_label_studio(file: BinaryIO, classes: ClassMap, limits: ReadLimits) -> Iterator[FoundMask]:
    """Yield the newest annotation of each task; tasks without one are passed over.

    Raises:
        InputRefused: `manifest-invalid`: it is no list of tasks.
    """
    try:
        tasks = from_json(read_bounded(file, MAX_JSON_BYTES), allow_inf_nan=False)
    except ValueError as error:
        raise _no_tasks() from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise _no_tasks()
    del limits
    for task in tasks:
        found = mask_of_task(task, classes)
        if found is not None:
            yield found


def mask_of_task(task: dict[str, Any], classes: ClassMap) -> FoundMask | None:
    """Return the mask of a task, None where nobody has annotated it."""
    annotation = newest_annotation(task)
    if annotation is None:
        return None
    names = image_names(task)
    shown = names[0] if names else f"task {task.get('id')}"
    return FoundMask(shown, names, partial(decode_regions, annotation.get("result"), classes))


def newest_annotation(task: dict[str, Any]) -> dict[str, Any] | None:
    """Return the annotation that was changed last, of those that were not skipped."""
    listed = task.get("annotations")
    found = [
        entry
        for entry in (listed if isinstance(listed, list) else [])
        if isinstance(entry, dict) and not entry.get("was_cancelled")
    ]
    return max(found, key=_age, default=None)


def _age(annotation: dict[str, Any]) -> tuple[str, int]:
    changed, number = annotation.get("updated_at"), annotation.get("id")
    return (
        changed if isinstance(changed, str) else "",
        number if isinstance(number, int) else 0,
    )


def image_names(task: dict[str, Any]) -> tuple[str, ...]:
    """Return the names by which the image of a task may be known, the likeliest first."""
    data, meta = _document(task.get("data")), _document(task.get("meta"))
    found = [place.get(key) for key in _NAMES_OF_OURS for place in (meta, data)]
    address = data.get(LABEL_STUDIO_IMAGE)
    if not isinstance(address, str):
        texts = [value for value in data.values() if isinstance(value, str)]
        address = texts[0] if len(texts) == 1 else None
    if address is not None:
        found += names_of_address(address)
    return tuple(dict.fromkeys(name for name in found if isinstance(name, str) and name))


def names_of_address(address: str) -> list[str]:
    """Return the names that the address of an image stands for.

    >>> names_of_address("/data/upload/3/0123abcd-a.jpg")
    ['/data/upload/3/0123abcd-a', '0123abcd-a', 'a']
    >>> names_of_address("s3://bucket/night/a%20b.png")
    ['night/a b', 'a b']
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return []
    path = unquote(parts.path)
    local = parse_qs(parts.query).get("d")
    if local:  # /data/local-files/?d=folder/a.jpg
        path = local[0]
    bare = stem(path.lstrip("/") if parts.scheme else path)
    base = bare.rsplit("/", 1)[-1]
    uploaded = _UPLOADED.fullmatch(base)
    return list(dict.fromkeys([bare, base, *([uploaded[1]] if uploaded else [])]))


def decode_regions(regions: Any, classes: ClassMap, height_px: int, width_px: int) -> Label:
    """Return the label that the regions of an annotation paint; later ones cover earlier ones.

    Raises:
        InputRefused: a region that is no brush region, of another size, or of an unknown class.
    """
    label = np.full((height_px, width_px), IGNORE_INDEX, np.uint8)
    for region in regions if isinstance(regions, list) else []:
        region = _document(region)
        if region.get("type") != _BRUSH:
            if region.get("type") in ("choices", "textarea", "rating", "relation"):
                continue
            raise _refused(f"has the type '{str(region.get('type'))[:40]}', not {_BRUSH}")
        value = _document(region.get("value"))
        size = (region.get("original_height"), region.get("original_width"))
        if size != (None, None) and size != (height_px, width_px):
            known = [n if type(n) is int else 0 for n in size]
            raise size_refused(known, height_px, width_px)
        if region.get("image_rotation") not in (None, 0):
            raise _refused("is of a rotated image")
        names = value.get(_BRUSH)
        if value.get("format") != "rle" or not isinstance(names, list) or len(names) != 1:
            raise _refused("has no RLE with one label")
        rle = value.get("rle")
        if not isinstance(rle, list):
            raise _refused("has no RLE with one label")
        index = classes.index_of(str(names[0]))
        label[decode_brush(rle, height_px, width_px) >= _INSIDE] = index
    return label


def _document(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _no_tasks() -> InputRefused:
    return InputRefused(
        "manifest-invalid", "The file is no JSON list of tasks. Export the project as JSON."
    )


def _refused(what: str) -> InputRefused:
    return InputRefused("label-invalid", f"A region of the annotation {what}.")
