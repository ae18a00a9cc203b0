"""How the stage `rectify` works. Imports no torch."""

from dataclasses import asdict, dataclass
from typing import Any

from models.config_checks import check, is_integer, known_keys

MODES = ("exact", "coarse")
EDGES = ("guided", "bilinear")


@dataclass(frozen=True)
class RectifyConfig:
    """How reliabilities are computed and what is done with them.

    Attributes:
        mode: "exact" evaluates the field at every pixel; "coarse" only near edges of the label,
            and interpolates elsewhere.
        band_px: how near to an edge of the label "coarse" is exact, and "guided" looks at colours.
        relabel: let the class of a pixel change where r p + (1 - r) b has another maximum; without
            it r is the confidence of the predicted class and nothing else.
        edges: how p and b are read between their cells near edges of the label: "guided" by the
            colours of the image, or "bilinear".
    """

    mode: str = "exact"
    band_px: int = 5
    relabel: bool = True
    edges: str = "guided"

    def __post_init__(self) -> None:
        check(self.mode in MODES, "rectify.mode", "'exact' or 'coarse'")
        check(is_integer(self.band_px, 1, 64), "rectify.band_px", "an integer from 1 to 64")
        check(isinstance(self.relabel, bool), "rectify.relabel", "true or false")
        check(self.edges in EDGES, "rectify.edges", "'guided' or 'bilinear'")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> "RectifyConfig":
        """Raises ConfigError on an unknown key or an invalid value."""
        return cls(**known_keys(cls, "rectify", data))
