"""How large a benchmark of rounds is."""

from dataclasses import dataclass

from models.adaptation.config import Recipe


@dataclass(frozen=True)
class Budget:
    """Sizes of data, network and training.

    Attributes:
        counts: images in source, unlabelled, held_out.
        size_hw: of all images, in pixels.
        crop_hw: of training crops.
        width: of the compact segmenter.
        source_steps: of the model that all rows start from.
        source_crop_hw: of its crops.
        steps: of the adaptation over all rounds, and of the oracle.
        batch_size: samples of each domain in a step; the source model sees eight images in one.
    """

    counts: tuple[int, int, int]
    size_hw: tuple[int, int]
    crop_hw: tuple[int, int]
    width: int
    source_steps: int
    source_crop_hw: tuple[int, int]
    steps: int
    batch_size: int = 4

    @property
    def recipe(self) -> Recipe:
        """What all rows share; the rest is the default of `Recipe`."""
        return Recipe(crop_hw=self.crop_hw, batch_size=self.batch_size)


# On a quiet core of 2024 a row takes 1, 4 and 12 minutes; "long" is meant for a GPU and was not
# timed. All but "small" start from the same source model. Crops are as large as the images: classes
# have their places in a street.
BUDGETS = {
    "small": Budget((120, 60, 40), (120, 160), (120, 160), 12, 300, (96, 128), 100, batch_size=2),
    "ablation": Budget(
        (600, 200, 80), (180, 240), (180, 240), 16, 1200, (128, 160), 300, batch_size=2
    ),
    "medium": Budget((600, 400, 200), (180, 240), (180, 240), 16, 1200, (128, 160), 600),
    "long": Budget((600, 400, 200), (180, 240), (180, 240), 16, 1200, (128, 160), 2000),
}
