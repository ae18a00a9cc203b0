"""The exporter of each format, by its name on the wire. Encodes nothing, imports no OpenCV."""

from collections.abc import Callable
from typing import Final

from formats.exports.base import Classes, Components, Exporter, ExportOptions, no_components
from formats.exports.cityscapes import Cityscapes
from formats.exports.cityscapes_cvat import CityscapesCvat
from formats.exports.coco_instances import CocoInstances
from formats.exports.coco_panoptic import CocoPanoptic
from formats.exports.cvat_mask import CvatMask
from formats.exports.hf_datasets import HfDatasets
from formats.exports.hf_segmentation import HfSegmentation
from formats.exports.label_studio import LabelStudio
from formats.exports.mask_png import MaskPng
from formats.exports.soft_labels import SoftLabels

_Maker = Callable[[str, Classes, ExportOptions, Components], Exporter]
_MAKERS: Final[dict[str, _Maker]] = {
    "mask-png": lambda name, classes, options, _: MaskPng(name, classes, options),
    "cityscapes": lambda _, classes, options, parts: Cityscapes(classes, options, parts),
    "cityscapes-cvat": lambda _, classes, options, parts: CityscapesCvat(classes, options, parts),
    "coco": lambda _, classes, options, parts: CocoInstances(classes, options, parts),
    "coco-panoptic": lambda _, classes, options, parts: CocoPanoptic(classes, options, parts),
    "cvat-mask": lambda _, classes, options, parts: CvatMask(classes, options, parts),
    "label-studio": lambda _, classes, options, parts: LabelStudio(classes, options, parts),
    "hf-segmentation": lambda _, classes, options, __: HfSegmentation(classes, options),
    "hf-datasets": lambda name, classes, options, _: HfDatasets(name, classes, options),
    "soft-labels": lambda name, classes, options, _: SoftLabels(name, classes, options),
}
FORMATS: Final = tuple(_MAKERS)


def exporter_of(
    export_format: str,
    name: str,
    classes: Classes,
    options: ExportOptions,
    components: Components = no_components,
) -> Exporter:
    """Return the exporter of a format.

    Args:
        name: of the set of classes.
        components: finds connected parts; not needed to ask for planned losses.

    Raises:
        ValueError: there is no such format.
    """
    maker = _MAKERS.get(export_format)
    if maker is None:
        raise ValueError(f"no export format {export_format!r}")
    return maker(name, classes, options, components)
