"""What an exporter is: labels in, one by one; files and entries of documents out.

Exporters keep nothing of a label, so that memory does not grow and labels may be encoded on several
threads. What belongs to a document about all labels (a COCO file, a list of names) is given out
entry by entry; who writes the export gathers the entries outside of memory.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from formats.classes_json import OntologyFileClass
from formats.runs import pixels_by_value, row_runs

Grey = npt.NDArray[np.uint8]
# Parts of a mask, bool `(H, W)`: int32 `(H, W)`, 0 outside, parts numbered from 1, largest first.
Components = Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.int32]]


@dataclass(frozen=True)
class Loss:
    """Something that an export does not carry over as it is.

    Attributes:
        code: stable slug.
        detail: what is different, and what helps.
        is_loss: False for a remark: pixels and classes come back as they were all the same.
        may_happen: it depends on what the labels hold, which nobody has looked at yet.
    """

    code: str
    detail: str
    is_loss: bool = True
    may_happen: bool = False


@dataclass(frozen=True)
class Member:
    """A whole file of the export. `path` has forward slashes and is safe."""

    path: str
    data: bytes


@dataclass(frozen=True)
class Entry:
    """One more element of a list inside of a document: JSON, or a line of text."""

    section: str
    text: bytes


@dataclass(frozen=True)
class Section:
    """Where the entries of a section come, with what stands between two of them."""

    name: str
    separator: bytes = b",\n"


@dataclass(frozen=True)
class Document:
    """A file that is put together at the end."""

    path: str
    parts: tuple[bytes | Section, ...]


Piece = Member | Entry | Loss


@dataclass(frozen=True)
class Picture:
    """The image under a label, as any decoder reads it: `png` or `jpg`."""

    suffix: str
    data: bytes


@dataclass(frozen=True)
class LabelledImage:
    """One label on its way out.

    Attributes:
        number: from 1 on, in the order of the export.
        stem: name in the export without its suffix, perhaps with folders; no two are alike.
        label: uint8 `(H, W)`, 255 = ignore.
        confidence: uint8 `(H, W)`, None for a label by people and where the format needs none.
        stored_png: the label as index PNG, if it is just what is stored.
        stored_confidence_png: the same of its confidence.
    """

    number: int
    stem: str
    external_id: str
    label: Grey
    confidence: Grey | None = None
    stored_png: bytes | None = None
    stored_confidence_png: bytes | None = None
    picture: Picture | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_hw(self) -> tuple[int, int]:
        height, width = self.label.shape
        return int(height), int(width)

    @property
    def image_name(self) -> str:
        """Name of the image in documents: as it was uploaded, or as it is in the export."""
        return f"{self.stem}.{self.picture.suffix}" if self.picture else self.external_id


@dataclass(frozen=True)
class ExportOptions:
    """How to export, where a format leaves a choice.

    Attributes:
        split: name of the part of a data set that this is.
        components: a region for each connected part, not one for each class.
        iscrowd: of COCO annotations.
        city: in names of Cityscapes, for images whose names are no such names.
        class_map: our class name → a name of Cityscapes.
        image_url: address of an image for a tool, with `{external_id}` or `{stem}` in it.
        model_version: what Label Studio calls the origin of predictions.
    """

    split: str = "train"
    components: bool = False
    iscrowd: bool = False
    include_images: bool = False
    city: str = "selvage"
    class_map: Mapping[str, str] = field(default_factory=dict)
    image_url: str = "{external_id}"
    model_version: str = "selvage"


class Exporter(Protocol):
    """One format. `confidence` says whether it takes confidence maps, and as what."""

    confidence: Literal["none", "file", "pixels"]
    documents: tuple[Document, ...]

    def planned_losses(self) -> Iterator[Loss]:
        """Yield what is known to be lost before any label is looked at."""
        ...

    def opening(self) -> Iterator[Member]:
        """Yield the files that are there whatever the labels are."""
        ...

    def stems(self, external_id: str, number: int) -> Iterator[str]:
        """Yield names for an image, the best first, without end; the first free one is used."""
        ...

    def pieces(self, image: LabelledImage) -> Iterator[Piece]:
        """Yield the files and entries of one label, and what is lost of it."""
        ...


Classes = Sequence[OntologyFileClass]
NO_COMPONENTS: Final = "parts of a mask are not found here"


def no_components(_: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Stand in where no label is encoded.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(NO_COMPONENTS)


def present(label: Grey, classes: Classes) -> list[tuple[OntologyFileClass, int]]:
    """Return the classes that a label has, in order, each with its pixels."""
    counts = pixels_by_value(row_runs(label))
    return [(one, int(counts[one.id])) for one in classes if counts[one.id]]


def regions_of(
    label: Grey, classes: Classes, components: Components
) -> Iterator[tuple[OntologyFileClass, npt.NDArray[np.bool_]]]:
    """Yield one mask for each connected part of a class, class by class."""
    for one, _ in present(label, classes):
        parts = components(label == one.id)
        for number in range(1, int(parts.max()) + 1):
            yield one, parts == number


def json_line(content: Any) -> bytes:
    """Return compact JSON in UTF-8, without a line break."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def json_file(content: Any) -> bytes:
    """Return JSON for people's eyes, in UTF-8."""
    return json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n"


def lines_document(path: str, section: str) -> Document:
    """Return a document whose entries are its lines."""
    return Document(path, (Section(section, b"\n"), b"\n"))


def manifest_entry(image: LabelledImage, path: str) -> Iterator[Piece]:
    """Yield the line of `manifest.jsonl` that says which image a file is the label of."""
    facts = {"external_id": image.external_id, "label": path, **image.facts}
    yield Entry("manifest", json_line(facts))


def confidence_left_out() -> Loss:
    return Loss(
        "confidence-left-out",
        "The format has no place for confidence maps. The formats `mask-png` and `soft-labels` "
        "have them.",
        is_loss=False,
    )


def names_changed(kind: str, pairs: Iterable[tuple[str, str]]) -> Iterator[Loss]:
    """Yield a loss where names of classes had to be changed."""
    changed = [f"'{before}' becomes '{after}'" for before, after in pairs if before != after]
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        yield Loss("class-names-changed", f"{kind}: {', '.join(changed[:5])}{more}.")


def colours_changed(tool: str, classes: Classes, used: Iterable[Any]) -> Iterator[Loss]:
    """Yield a remark where two classes had one colour, or one was black."""
    changed = [
        c.name for c, colour in zip(classes, used, strict=True) if tuple(c.color) != tuple(colour)
    ]
    if changed:
        yield Loss(
            "colours-changed",
            f"{tool} tells classes apart by colour, and black means none: "
            f"{', '.join(map(repr, changed[:5]))} have another one there.",
            is_loss=False,
        )
