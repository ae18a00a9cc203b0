"""What labelling tools are told about the classes before labels can be shown in them."""

from collections.abc import Sequence
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from formats.class_palettes import cvat_names, distinct_colours, hex_colour
from formats.index_png import Colour

LABEL_STUDIO_IMAGE: Final = "image"  # `to_name` of a region, and the key of the task's image
LABEL_STUDIO_BRUSH: Final = "seg"  # `from_name` of a region


def label_studio_config(names: Sequence[str], colours: Sequence[Colour]) -> str:
    """Return the labelling configuration of a Label Studio project, as XML.

    A region fits it when its label is one of `label_studio_names` exactly.
    """
    lines = ["<View>", f'  <Image name="{LABEL_STUDIO_IMAGE}" value="$image" zoom="true"/>']
    lines.append(f'  <BrushLabels name="{LABEL_STUDIO_BRUSH}" toName="{LABEL_STUDIO_IMAGE}">')
    fitting = label_studio_names(names)
    for name, colour in zip(fitting, distinct_colours(colours), strict=True):
        lines.append(f'    <Label value={quoteattr(name)} background="{hex_colour(colour)}"/>')
    lines += ["  </BrushLabels>", "</View>", ""]
    return "\n".join(lines)


def label_studio_names(names: Sequence[str]) -> list[str]:
    """Return the names as XML can write them: other characters become U+FFFD."""
    return ["".join(c if _in_xml(ord(c)) else "\ufffd" for c in name) for name in names]


def cvat_labels(names: Sequence[str], colours: Sequence[Colour]) -> list[dict[str, Any]]:
    """Return the labels of a CVAT task or project, for its field "Raw"."""
    return [
        {"name": name, "color": hex_colour(colour), "type": "mask", "attributes": []}
        for name, colour in zip(cvat_names(names), distinct_colours(colours), strict=True)
    ]


def _in_xml(code: int) -> bool:
    return (
        code in (0x9, 0xA, 0xD)
        or 0x20 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or code >= 0x10000
    )
