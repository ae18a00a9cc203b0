"""Every constant of PSA on which the paper and its public code differ, and ours. Imports no torch.

Where the paper is silent it has the value of the public code, unless said otherwise.
"""

from dataclasses import dataclass, replace

from models.connectivity.config import AggregateConfig


@dataclass(frozen=True)
class PsaSettings:
    """How kept pixels grow to regions, with nothing left open.

    Attributes:
        align: whose classes proposals may take, "stuff", "all" or "none", as in `AggregateConfig`.
        prompt: whose components are asked for, "things", "all" or "none".
        start: "kept" or "nothing", as in `AggregateConfig`.
        least_share: the share of a mask's votes that its class must exceed.
        least_coverage: the share of a proposal that must have kept pixels.
        box: "offset" or "area", how the box around a component grows, by `box_factor`.
        points: points inside a component that go with its box.
        point_at: "purest" takes the purest pixel of each part of a component, the first of equals;
            "purest-central" the one of equals nearest to the centre of the part; "centre" the
            pixel nearest to the centre, whatever its purity.
        most_prompts: of more components than this the largest are asked for; None: all.
        least_box_iou: what the box of an answer must have with the box it was asked with.
        overlaps: what decides where masks overlap: the "vote" of all of them, see
            `models.connectivity.voting`; or the last to be painted, by "quality" or as the
            "generator" gives them, see `models.connectivity.painting`.
    """

    align: str
    prompt: str
    start: str
    least_share: float
    least_coverage: float
    box: str
    box_factor: float
    points: int
    point_at: str
    most_prompts: int | None
    least_box_iou: float
    overlaps: str


PURITY_RADIUS_PX = 8
LEAST_CLASS_PX = 11
LEAST_COMPONENT_PX = 10

_PUBLIC_CODE = PsaSettings(
    align="stuff",
    prompt="things",
    start="nothing",
    least_share=0.20,
    least_coverage=0.0,
    box="offset",
    box_factor=1.25,
    points=2,
    point_at="purest",
    most_prompts=None,
    least_box_iou=0.0,
    overlaps="generator",
)
# "Merge and filter overlapping connectivities" (Alg. 1) is read as: the better mask wins.
_PAPER = replace(
    _PUBLIC_CODE,
    least_share=0.0,
    box="area",
    box_factor=1.5,
    points=1,
    point_at="centre",
    overlaps="quality",
)
_SELVAGE = PsaSettings(
    align="all",
    prompt="none",
    start="kept",
    least_share=0.0,
    least_coverage=0.0,
    box="area",
    box_factor=1.5,
    points=2,
    point_at="purest-central",
    most_prompts=1024,
    least_box_iou=0.3,
    overlaps="vote",
)
VARIANT_SETTINGS = {"selvage": _SELVAGE, "paper": _PAPER, "public-code": _PUBLIC_CODE}

_OVERRIDABLE = ("align", "prompt", "start", "least_share", "least_coverage")


def psa_settings(config: AggregateConfig) -> PsaSettings:
    """The constants of the variant, where `config` does not override them."""
    given = {name: getattr(config, name) for name in _OVERRIDABLE}
    return replace(
        VARIANT_SETTINGS[config.variant], **{k: v for k, v in given.items() if v is not None}
    )
