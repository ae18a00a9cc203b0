"""Which control a labelling configuration of Label Studio has for brush regions."""

from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from formats.label_setup import LABEL_STUDIO_BRUSH, LABEL_STUDIO_IMAGE

_MAX_CHARS: Final = 1 << 20


@dataclass(frozen=True)
class BrushTags:
    """Names of the tags, and the labels of the control.

    Attributes:
        image_key: of a task's data, under which the address of the image stands; None if unknown.
        labels: values of the labels; None if the configuration could not be read.
    """

    from_name: str = LABEL_STUDIO_BRUSH
    to_name: str = LABEL_STUDIO_IMAGE
    image_key: str | None = None
    labels: frozenset[str] | None = None


def brush_tags(config: object) -> BrushTags:
    """Return the first `BrushLabels` of a configuration; our own names where there is none.

    Documents with a DTD are not read: entities in them can be made to grow without end.
    """
    if not isinstance(config, str) or len(config) > _MAX_CHARS or "<!" in config:
        return BrushTags()
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError:
        return BrushTags()
    brush = next((tag for tag in root.iter() if tag.tag.lower() == "brushlabels"), None)
    if brush is None:
        return BrushTags()
    to_name = brush.get("toName", LABEL_STUDIO_IMAGE)
    image = next((tag for tag in root.iter("Image") if tag.get("name") == to_name), None)
    value = image.get("value", "") if image is not None else ""
    labels = frozenset(tag.get("value", "") for tag in brush.iter("Label"))
    return BrushTags(
        from_name=brush.get("name", LABEL_STUDIO_BRUSH),
        to_name=to_name,
        image_key=value.removeprefix("$") or None,
        labels=labels or None,
    )
