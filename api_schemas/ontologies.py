"""Ontologies: the ordered classes that a model writes and a label means."""

import hashlib
import json
from collections import Counter
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from api_schemas.json_types import Integer

IGNORE_INDEX = 255
MAX_CLASSES = 255

ColourByte = Annotated[Integer, Field(ge=0, le=255)]


class OntologyClass(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Integer = Field(ge=0, lt=MAX_CLASSES, description="Value in the label PNG")
    name: str = Field(min_length=1, max_length=128)
    kind: Literal["stuff", "thing"] = "stuff"
    color: tuple[ColourByte, ColourByte, ColourByte]


class Ontology(BaseModel):
    """Classes 0 … K-1 in order; 255 in a label means ignore."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=128)
    classes: tuple[OntologyClass, ...] = Field(min_length=1, max_length=MAX_CLASSES)

    @model_validator(mode="after")
    def _ids_are_positions(self) -> Self:
        if [c.id for c in self.classes] != list(range(len(self.classes))):
            raise ValueError("class ids must be 0, 1, 2, … in order")
        names = [c.name for c in self.classes]
        if len(set(names)) != len(names):
            raise ValueError("class names must be unique")
        return self

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.classes]

    @property
    def palette(self) -> list[tuple[int, int, int]]:
        return [c.color for c in self.classes]


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("use printable characters on one line")
    return text


ClassName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, strip_whitespace=True),
    AfterValidator(_one_line),
]


class OntologyClassCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Integer | None = Field(
        None, ge=0, lt=MAX_CLASSES, description="Value in the label PNG; by default the position"
    )
    name: ClassName
    kind: Literal["stuff", "thing"] = "stuff"
    color: tuple[ColourByte, ColourByte, ColourByte] | None = Field(
        None, description="RGB; no two alike and none black. Left out: one that is free"
    )
    aliases: tuple[ClassName, ...] = Field(
        (), max_length=32, description="Other names that mean this class in files from outside"
    )
    train_id: Integer | None = Field(
        None, ge=0, le=IGNORE_INDEX, description="Id in files for training; 255 = ignored there"
    )


class OntologyCreate(BaseModel):
    """Classes for a project. Two classes may not share a name, an alias, an id or a colour."""

    model_config = ConfigDict(extra="forbid")

    name: ClassName
    classes: tuple[OntologyClassCreate, ...] = Field(min_length=1, max_length=MAX_CLASSES)

    @model_validator(mode="after")
    def _nothing_is_ambiguous(self) -> Self:
        ids = [place if c.id is None else c.id for place, c in enumerate(self.classes)]
        if ids != list(range(len(ids))):
            raise ValueError("class ids must be 0, 1, 2, … in order; leave them out to get these")
        names = Counter(name for c in self.classes for name in {c.name, *c.aliases})
        twice = sorted(name for name, count in names.items() if count > 1)
        if twice:
            raise ValueError(f"more than one class is called {', '.join(map(repr, twice[:5]))}")
        colours = Counter(c.color for c in self.classes if c.color is not None)
        if (0, 0, 0) in colours:
            raise ValueError("black means 'no class' in exports; give that class another colour")
        for colour, count in colours.items():
            if count > 1:
                sharing = ", ".join(repr(c.name) for c in self.classes if c.color == colour)
                raise ValueError(
                    f"the colour {list(colour)} is that of {sharing}; exports by colour could not "
                    "be read back. Leave `color` out to get one that is free"
                )
        return self


class OntologyEntry(OntologyClass):
    """A class of a stored ontology."""

    aliases: tuple[str, ...] = ()
    train_id: int | None = None


class StoredOntology(BaseModel):
    """A stored ontology; it never changes. The same content is always the same id."""

    id: str
    name: str
    digest: str
    classes: tuple[OntologyEntry, ...]
    notes: list[str] = Field(description="What a tool will do differently, such as rename a class")
    created_at: datetime
    created_by: str
    links: dict[str, str]


class OntologyPage(BaseModel):
    ontologies: list[StoredOntology]
    next_page_token: str | None = None


class CvatLabel(BaseModel):
    """One entry of what CVAT's field "Raw" of a task's labels takes."""

    name: str
    color: str
    type: Literal["mask"] = "mask"
    attributes: list[str] = Field(default_factory=list, max_length=0)


def ontology_digest(name: str, classes: tuple[OntologyEntry, ...]) -> str:
    """Return the SHA-256 of the canonical JSON of an ontology."""
    content = {"name": name, "classes": [c.model_dump(mode="json") for c in classes]}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
