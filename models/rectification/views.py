"""What a rectifier is fitted on: predictions of images under changed styles, at points."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.ontology import IGNORE_LABEL
from models.prediction import Prediction
from models.rectification.field import FieldInput
from models.rectification.rectifier import field_input
from models.rectification.sampling import at_points, draw_points


@dataclass(frozen=True, eq=False)
class LabelledView:
    """One image under one style, and Q points of it whose true class is known.

    Attributes:
        given: what the field reads, B = 1; features and probabilities float16.
        points_yx_px: float32 (Q, 2).
        uniform: whether a point was drawn from the whole image, not from near an edge, bool (Q,).
        p_max: largest class probability at each point, float32 (Q,).
        agreement: of several looks, see `Prediction`; of a single one `p_max`, float32 (Q,).
        predicted, true: classes there, uint8 (Q,).
        image: number of the image, in the order given.
        trust: how probably the predicted class is right, float32 (Q,), where the true one is not
            known and `true` is a guess; None where it is.
        anchors: whether r is learnt here; else the second opinion alone is.
    """

    given: FieldInput
    points_yx_px: npt.NDArray[np.float32]
    uniform: npt.NDArray[np.bool_]
    p_max: npt.NDArray[np.float32]
    agreement: npt.NDArray[np.float32]
    predicted: npt.NDArray[np.uint8]
    true: npt.NDArray[np.uint8]
    image: int
    trust: npt.NDArray[np.float32] | None = None
    anchors: bool = True

    @property
    def expected(self) -> npt.NDArray[np.float32]:
        """What r should be at each point: 0 or 1 where the true class is known, float32 (Q,)."""
        return self.right.astype(np.float32) if self.trust is None else self.trust

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether the predicted class is right, bool (Q,)."""
        same: npt.NDArray[np.bool_] = self.predicted == self.true
        return same

    @property
    def nbytes(self) -> int:
        maps = (self.given.features, self.given.probabilities, self.given.agreement)
        return sum(m.nbytes for m in maps if m is not None) + self.points_yx_px.nbytes

    def take(self, rows: npt.NDArray[np.integer]) -> "LabelledView":
        """The same image at some of the points."""
        return LabelledView(
            self.given,
            self.points_yx_px[rows],
            self.uniform[rows],
            self.p_max[rows],
            self.agreement[rows],
            self.predicted[rows],
            self.true[rows],
            self.image,
            None if self.trust is None else self.trust[rows],
            self.anchors,
        )


def labelled_view(
    prediction: Prediction,
    truth: npt.NDArray[np.uint8],
    image: int,
    points: int,
    generator: torch.Generator,
    trust: npt.NDArray[np.float32] | None = None,
) -> LabelledView:
    """The prediction of an image at random points; those without a true class are left out.

    Args:
        prediction: with detail.
        truth: uint8 (H, W), 255 where not known.
        image: number of the image.
        points: how many are drawn, half of them near an edge of the prediction.
        generator: draws them.
        trust: float32 (H, W), where `truth` is a guess.
    """
    detail = prediction.detail
    assert detail is not None
    predicted = torch.from_numpy(prediction.label)[None]
    drawn = draw_points(predicted, points, generator)

    def values(of: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(at_points(torch.from_numpy(of)[None], drawn)[0].numpy())

    whole = field_input(detail)
    given = FieldInput(
        whole.features.half(),
        whole.features_cover_hw_px,
        whole.probabilities.half(),
        whole.probabilities_cover_hw_px,
        None if whole.agreement is None else whole.agreement.half(),
    )
    view = LabelledView(
        given,
        drawn[0].numpy(),
        np.arange(points) < points - points // 2,
        values(prediction.p_max),
        values(prediction.p_max if prediction.agreement is None else prediction.agreement),
        values(prediction.label),
        values(truth),
        image,
        None if trust is None else values(trust),
    )
    return view.take(np.flatnonzero(view.true != IGNORE_LABEL))
