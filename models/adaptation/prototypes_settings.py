"""Settings of the method `prototypes` (CONFETI). Imports no torch."""

from dataclasses import dataclass

from models.config_checks import check, is_integer, is_number


@dataclass(frozen=True)
class PrototypesSettings:
    """Weights are of losses in this method's sum.

    Attributes:
        weight: of the sum.
        contrast_weight: of the pixel-to-prototype loss.
        temperature: tau.
        channels: d, of the projection.
        momentum: of the prototypes.
        most_pixels: of each class that a step adds to its prototype, the most reliable ones.
        source_share: share of the run in which prototypes are of source pixels alone.
        regulariser_weight: positive as in the public code, away from a uniform mean embedding;
            negative towards it; 0 leaves it out.
        translated_weight: of the cross-entropy on translated source images.
        consistency_weight: of the prototypical semantic consistency, against the style losses.
        first_stage: share of the run in which the style module learns; after it the module is
            frozen, and there is no consistency any more.
        style_weight: of the adversarial and patchwise losses; 0 leaves the style module out.
        style_channels, style_blocks: of the generator.
        style_learning_rate: of generator, discriminator and heads (Adam, betas 0.5 and 0.999).
        patches: places at which a translated image is compared with the one before.
        identity: compare target images with their own translation too, as CUT does; costs two
            looks of the generator.
    """

    weight: float = 1.0
    contrast_weight: float = 0.1
    temperature: float = 0.1
    channels: int = 64
    momentum: float = 0.99
    most_pixels: int = 256
    source_share: float = 0.1
    regulariser_weight: float = 0.0
    translated_weight: float = 0.5
    consistency_weight: float = 1.0
    first_stage: float = 0.5
    style_weight: float = 1.0
    style_channels: int = 24
    style_blocks: int = 3
    style_learning_rate: float = 1e-3
    patches: int = 128
    identity: bool = False

    def __post_init__(self) -> None:
        for name, least, most in (
            ("weight", 0.0, 1e3),
            ("contrast_weight", 0.0, 1e3),
            ("temperature", 1e-3, 1e3),
            ("momentum", 0.0, 1.0),
            ("source_share", 0.0, 1.0),
            ("regulariser_weight", -1e3, 1e3),
            ("translated_weight", 0.0, 1e3),
            ("consistency_weight", 0.0, 1e3),
            ("first_stage", 0.0, 1.0),
            ("style_weight", 0.0, 1e3),
            ("style_learning_rate", 0.0, 1.0),
        ):
            what = f"a number from {least:g} to {most:g}"
            check(is_number(getattr(self, name), least, most), name, what)
        for name, lowest, highest in (
            ("channels", 1, 4096),
            ("most_pixels", 1, 1 << 20),
            ("style_channels", 1, 512),
            ("style_blocks", 1, 32),
            ("patches", 2, 1 << 14),
        ):
            what = f"an integer from {lowest} to {highest}"
            check(is_integer(getattr(self, name), lowest, highest), name, what)
        check(isinstance(self.identity, bool), "identity", "true or false")
