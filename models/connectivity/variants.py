"""Every constant of PSA on which the paper and its public code differ, and ours. Imports no torch.

Where the paper is silent it has the value of the public code, unless said otherwise.
"""

from dataclasses import dataclass, replace

from models.connectivity.config import AggregateConfig


@dataclass(frozen=True)
class PsaSettings:
    """How kept pixels grow to regions, with nothing left open.

    Attributes:
        start: "kept" or "nothing", as in `AggregateConfig`.
        weighted: kept pixels vote with their confidence; else each has one vote.
        least_share: the share of a mask's votes that its class must exceed.
        least_coverage: the share of a proposal that must have kept pixels.
        box: "offset" or "area", how the box around a component grows, by `box_factor`.
        points: points inside a component that go with its box.
        point_at: "purest" takes the purest pixel of each part of a component, the first of equals;
            "purest-central" the one of equals nearest to the centre of the part; "centre" the
            pixel nearest to the centre, whatever its purity.
        most_prompts: of more components than this the largest are asked for; None: all.
        check_prompts: a mask that was asked for a component must pass `least_share` too, and its
            box must have `least_box_iou` with the box it was asked with.
        painting: "generator", "quality" or "area"; `models.connectivity.painting` explains.
        most_overlap: of two masks of different classes with a larger IoU the worse one goes.
        trust_kept: a kept pixel that disagrees with a mask stays if its weight, times this, is
            larger than the mask's score; 0: it never stays.
        least_kept_px: but not if fewer such pixels of a class hang together.
    """

    start: str
    weighted: bool
    least_share: float
    least_coverage: float
    box: str
    box_factor: float
    points: int
    point_at: str
    most_prompts: int | None
    check_prompts: bool
    least_box_iou: float
    painting: str
    most_overlap: float
    trust_kept: float
    least_kept_px: int


PURITY_RADIUS_PX = 8
LEAST_CLASS_PX = 11
LEAST_COMPONENT_PX = 10

_PUBLIC_CODE = PsaSettings(
    start="nothing",
    weighted=False,
    least_share=0.20,
    least_coverage=0.0,
    box="offset",
    box_factor=1.25,
    points=2,
    point_at="purest",
    most_prompts=None,
    check_prompts=False,
    least_box_iou=0.0,
    painting="generator",
    most_overlap=1.0,
    trust_kept=0.0,
    least_kept_px=0,
)
# "Merge and filter overlapping connectivities" (Alg. 1) is read as: the better mask wins.
_PAPER = replace(
    _PUBLIC_CODE,
    least_share=0.0,
    box="area",
    box_factor=1.5,
    points=1,
    point_at="centre",
    painting="quality",
)
_SELVAGE = PsaSettings(
    start="kept",
    weighted=True,
    least_share=0.5,
    least_coverage=0.2,
    box="area",
    box_factor=1.5,
    points=2,
    point_at="purest-central",
    most_prompts=1024,
    check_prompts=True,
    least_box_iou=0.3,
    painting="area",
    most_overlap=0.7,
    trust_kept=1.0,
    least_kept_px=10,
)
VARIANT_SETTINGS = {"selvage": _SELVAGE, "paper": _PAPER, "public-code": _PUBLIC_CODE}


def psa_settings(config: AggregateConfig) -> PsaSettings:
    """The constants of the variant, where `config` does not override them."""
    settings = VARIANT_SETTINGS[config.variant]
    if config.start is not None:
        settings = replace(settings, start=config.start)
    if config.least_share is not None:
        settings = replace(settings, least_share=config.least_share)
    if config.least_coverage is not None:
        settings = replace(settings, least_coverage=config.least_coverage)
    return settings
