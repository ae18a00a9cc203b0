"""Ontologies: the ordered classes that a model writes and a label means."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

IGNORE_INDEX = 255
MAX_CLASSES = 255

ColourByte = Annotated[int, Field(ge=0, le=255)]


class OntologyClass(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int = Field(ge=0, lt=MAX_CLASSES, description="Value in the label PNG")
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
