"""Top-k soft labels as `npz`: classes and probabilities of each pixel.

What is stored of a label is one class a pixel and the probability that it is right, so k is 1: the
rest of the probability is spread over the other classes in a way that nobody knows any more.
"""

import io
import zipfile
from collections.abc import Iterator
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from formats.exports.base import (
    Classes,
    Document,
    ExportOptions,
    LabelledImage,
    Loss,
    Member,
    Piece,
)
from formats.exports.mask_png import classes_document
from formats.exports.names import stems_like

_LEVEL: Final = 2
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


class SoftLabels:
    """`soft/NAME.npz` with `idx` uint8 `[1, H, W]` (255 = ignore), `prob` float16 `[1, H, W]`."""

    confidence: Literal["none", "file", "pixels"] = "pixels"
    documents: tuple[Document, ...] = ()

    def __init__(self, name: str, classes: Classes, options: ExportOptions) -> None:
        self._name = name
        self._classes = classes
        self._class_names = np.array([c.name for c in classes], np.str_)

    def planned_losses(self) -> Iterator[Loss]:
        yield Loss(
            "soft-labels-top-1",
            "One class a pixel is stored, with the probability that it is right: k is 1, and the "
            "probabilities of other classes are not known.",
            is_loss=False,
        )

    def opening(self) -> Iterator[Member]:
        yield Member("classes.json", classes_document(self._name, self._classes))

    def stems(self, external_id: str, number: int) -> Iterator[str]:
        return stems_like(external_id)

    def pieces(self, image: LabelledImage) -> Iterator[Piece]:
        if image.confidence is None:  # by people: they are sure
            prob = np.where(image.label == 255, 0.0, 1.0).astype(np.float16)
        else:
            prob = _PROBABILITIES[image.confidence]
        arrays: dict[str, npt.NDArray[Any]] = {
            "idx": image.label[None],
            "prob": prob[None],
            "classes": self._class_names,
        }
        yield Member(f"soft/{image.stem}.npz", pack_npz(arrays))
        if image.picture is not None:
            yield Member(f"images/{image.image_name}", image.picture.data)


_PROBABILITIES: Final = (np.arange(256) / 255).astype(np.float16)


def pack_npz(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    """Return arrays as compressed npz without pickles; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.lib.format.write_array(member, arrays[name], allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()
