"""A continuous field of reliability: the logit that a label is right at any point of the image.

IR2F-style reconstruction. The query is that of LIIF (Chen, Liu and Wang, "Learning Continuous Image
Representation with Local Implicit Image Function", CVPR 2021, section 3, equations 1 to 4): a
perceptron reads the latent code nearest to a point and where the point lies within its cell. Beside
them it reads the class probabilities at the point, so that the answer is about *this* label.

Points are in pixels of the image, order y, x; pixel i has its centre at i + 0.5. A map of n cells
that covers s pixels from the top left corner has the centre of cell i at (i + 0.5) * s / n. A point
beyond what a map covers reads that map at the nearest point of its border.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INITIAL_RELIABILITY: Final = 0.9
_MOST_CHANNELS: Final = 1 << 14
_MOST_LAYERS: Final = 16
_MOST_OCTAVES: Final = 16


@dataclass(frozen=True)
class FieldShape:
    """Sizes of a field.

    Attributes:
        feature_channels: C of the features.
        num_classes: K.
        reduced_channels: of a latent code, made from the features by a 1x1 convolution.
        hidden: units of each hidden layer; (256, 256, 256, 256) is LIIF's.
        unfold: read the 3x3 codes around the nearest one (LIIF, equation 3).
        ensemble: blend the answers of the four nearest codes (LIIF, equation 4).
        relative: read delta, the place within the latent cell; without it the field is a grid.
        fourier_octaves: frequencies at which sine and cosine of delta stand beside it.
        cell: read the size of the queried pixel (LIIF's "cell decoding").
        per_class: a logit for each class in place of one.
        agreement: read how far several looks at the image agree, beside the probabilities.

    Raises:
        ValueError: a value has the wrong type or is out of bounds.
    """

    feature_channels: int
    num_classes: int
    reduced_channels: int = 64
    hidden: tuple[int, ...] = (128, 32)
    unfold: bool = True
    ensemble: bool = True
    relative: bool = True
    fourier_octaves: int = 0
    cell: bool = False
    per_class: bool = False
    agreement: bool = False

    def __post_init__(self) -> None:
        for name in ("feature_channels", "num_classes", "reduced_channels"):
            _check_integer(name, getattr(self, name), 1, _MOST_CHANNELS)
        _check_integer("fourier_octaves", self.fourier_octaves, 0, _MOST_OCTAVES)
        if not isinstance(self.hidden, tuple) or not 1 <= len(self.hidden) <= _MOST_LAYERS:
            raise ValueError(f"hidden must be 1 to {_MOST_LAYERS} sizes of layers")
        for units in self.hidden:
            _check_integer("hidden", units, 1, _MOST_CHANNELS)
        for name in ("unfold", "ensemble", "relative", "cell", "per_class", "agreement"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false")

    @property
    def code_channels(self) -> int:
        """Inputs from the latent codes."""
        return self.reduced_channels * (9 if self.unfold else 1)

    @property
    def axis_channels(self) -> int:
        """Inputs from the place along one axis."""
        return 1 + 2 * self.fourier_octaves if self.relative else 0

    @property
    def map_channels(self) -> int:
        """Inputs that are interpolated: class probabilities, and the agreement behind them."""
        return self.num_classes + int(self.agreement)

    @property
    def input_channels(self) -> int:
        """Inputs of the perceptron: codes, interpolated maps, place along y, along x, cell."""
        cell = 2 if self.cell else 0
        return self.code_channels + self.map_channels + 2 * self.axis_channels + cell

    @property
    def outputs(self) -> int:
        return self.num_classes if self.per_class else 1

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "hidden": list(self.hidden)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "FieldShape":
        """Raises ValueError on unknown or missing keys and on wrong types."""
        unknown = sorted(str(key) for key in set(data) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"a field has no size named '{unknown[0]}'")
        hidden = data.get("hidden", cls.hidden)
        if not isinstance(hidden, list | tuple):
            raise ValueError("hidden must be a list of sizes of layers")
        try:
            return cls(**{**data, "hidden": tuple(hidden)})
        except TypeError as error:
            raise ValueError(f"sizes of a field are missing: {error}") from error


@dataclass(frozen=True, eq=False)
class FieldInput:
    """What a field reads of B images.

    Attributes:
        features: float [B, C, h, w].
        features_cover_hw_px: how many pixels the features span from the top left corner.
        probabilities: class probabilities on a coarse grid, float [B, K, h2, w2].
        probabilities_cover_hw_px: how many pixels the probabilities span.
        agreement: of several looks, see `Prediction`, on the grid of the probabilities, float
            [B, 1, h2, w2]; None: there was one look, which agrees with itself.
    """

    features: Tensor
    features_cover_hw_px: tuple[float, float]
    probabilities: Tensor
    probabilities_cover_hw_px: tuple[float, float]
    agreement: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The S codes asked along one axis: two with the local ensemble, else the nearest.

    Attributes:
        index: which cell, int64 [..., S].
        delta: the point less the centre of that cell, 2 units a cell as in LIIF, float64 [..., S].
        weight: share of that code in the answer, float64 [..., S]; at least 0, sums to 1.
    """

    index: Tensor
    delta: Tensor
    weight: Tensor


def neighbours(positions_px: Tensor, count: int, cover_px: float, ensemble: bool) -> Neighbours:
    """The codes asked for positions along an axis of `count` cells that spans `cover_px`.

    LIIF weights each of four codes by the area between the point and the diagonally opposite code
    (equation 4). That is the product of one weight an axis, the distance to the other code, so an
    axis at a time is enough. Beyond the outermost centres both codes are the outermost one.

    Args:
        positions_px: float [...].
    """
    # In double precision: positions of thousands of pixels leave single precision few digits for
    # the place within a cell.
    cells = (positions_px.double() * (count / cover_px)).clamp(0, count)
    if not ensemble:
        index = cells.floor().clamp(max=count - 1)[..., None]
        return Neighbours(
            index.long(), 2 * (cells[..., None] - index - 0.5), torch.ones_like(index)
        )
    first = (cells - 0.5).floor()
    share = cells - 0.5 - first
    index = torch.stack([first, first + 1], dim=-1).clamp(0, count - 1)
    delta = 2 * (cells[..., None] - index - 0.5)
    return Neighbours(index.long(), delta, torch.stack([1 - share, share], dim=-1))


class ImplicitRectifier(nn.Module):
    """The field. No gradient flows from it into the features or the probabilities.

    Args:
        shape: its sizes.

    Attributes:
        feature_mean: subtracted from the features first, float [C]; 0 until `normalise_by`.
        feature_scale: what they are divided by then, float [C]; 1 until `normalise_by`.
        first: the first layer of the perceptron; its inputs are in the order of
            `FieldShape.input_channels`, the codes neighbour by neighbour in rows of 3x3.
        rest: the layers after it, from the rectified units on.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, shape: FieldShape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("feature_mean", torch.zeros(shape.feature_channels))
        self.register_buffer("feature_scale", torch.ones(shape.feature_channels))
        self.reduce = nn.Conv2d(shape.feature_channels, shape.reduced_channels, 1)
        self.first = nn.Linear(shape.input_channels, shape.hidden[0])
        layers: list[nn.Module] = []
        sizes = (*shape.hidden, shape.outputs)
        for inputs, outputs in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.ReLU(), nn.Linear(inputs, outputs)]
        self.rest = nn.Sequential(*layers)
        last = layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.constant_(last.bias, math.log(INITIAL_RELIABILITY / (1 - INITIAL_RELIABILITY)))

    def normalise_by(self, features_mean: Tensor, features_std: Tensor) -> None:
        """Fix the normalisation of the features to their mean and standard deviation, float [C].

        A channel that does not vary is only centred.

        Raises:
            ValueError: wrong shape, not finite, or a negative deviation.
        """
        for values in (features_mean, features_std):
            if values.shape != self.feature_mean.shape or not bool(torch.isfinite(values).all()):
                raise ValueError("the normalisation of features must be finite, one value each")
        if bool((features_std < 0).any()):
            raise ValueError("a standard deviation must not be negative")
        self.feature_mean.copy_(features_mean)
        self.feature_scale.copy_(torch.where(features_std > 0, features_std, 1.0))

    def forward(
        self,
        given: FieldInput,
        coordinates_yx_px: Tensor,
        cell_hw_px: tuple[float, float] = (1.0, 1.0),
    ) -> Tensor:
        """Logits at points, float [B, Q], or [B, Q, K] with `per_class`.

        Args:
            given: of B images.
            coordinates_yx_px: float [B, Q, 2].
            cell_hw_px: size of the queried pixels; read only with `cell`.

        Raises:
            ValueError: shapes do not fit, or a value is not finite.
        """
        return self.at(self.codes(given), given, coordinates_yx_px, cell_hw_px)

    def codes(self, given: FieldInput) -> Tensor:
        """Latent codes of the images, float [B, reduced_channels, h, w].

        Raises:
            ValueError: `given` does not fit the field, or a value is not finite.
        """
        self.check(given)
        return self.reduced(given.features)

    def reduced(self, features: Tensor) -> Tensor:
        """Codes of features [B, C, h, w] that were checked, or of some of their rows."""
        values = features.detach().to(self.reduce.weight)
        normal = (values - self.feature_mean[:, None, None]) / self.feature_scale[:, None, None]
        reduced: Tensor = self.reduce(normal)
        return reduced

    def at(
        self,
        codes: Tensor,
        given: FieldInput,
        coordinates_yx_px: Tensor,
        cell_hw_px: tuple[float, float] = (1.0, 1.0),
    ) -> Tensor:
        """The same as `forward` with the codes already made."""
        if coordinates_yx_px.ndim != 3 or coordinates_yx_px.shape[::2] != (len(codes), 2):
            raise ValueError("coordinates must be y, x of points of every image, [B, Q, 2]")
        if not bool(torch.isfinite(coordinates_yx_px).all()):
            raise ValueError("coordinates must be finite")
        cells_hw = (codes.shape[2], codes.shape[3])
        y, x = (
            neighbours(coordinates_yx_px[..., axis], cells, cover, self.shape.ensemble)
            for axis, (cells, cover) in enumerate(
                zip(cells_hw, given.features_cover_hw_px, strict=True)
            )
        )
        padded = F.pad(codes, (1, 1, 1, 1)).permute(0, 2, 3, 1)
        maps = self._maps_at(given, coordinates_yx_px)
        sizes = self.cell_inputs(given, cell_hw_px).expand(*maps.shape[:2], -1)
        answer = codes.new_zeros(())
        for i in range(y.index.shape[-1]):
            for j in range(x.index.shape[-1]):
                inputs = [
                    self._neighbourhood(padded, y.index[..., i], x.index[..., j]),
                    maps,
                    self.axis_inputs(y.delta[..., i]),
                    self.axis_inputs(x.delta[..., j]),
                    sizes,
                ]
                logits = self.rest(self.first(torch.cat(inputs, dim=-1)))
                weight = (y.weight[..., i] * x.weight[..., j]).to(logits)
                answer = answer + weight[..., None] * logits
        return answer if self.shape.per_class else answer[..., 0]

    def maps(self, given: FieldInput) -> Tensor:
        """What is interpolated at a point, float [B, map_channels, h2, w2]."""
        probabilities = given.probabilities.detach()
        if not self.shape.agreement:
            return probabilities
        agreement = given.agreement
        if agreement is None:
            agreement = probabilities.amax(1, keepdim=True)
        return torch.cat([probabilities, agreement.detach().to(probabilities)], 1)

    def axis_inputs(self, delta: Tensor) -> Tensor:
        """What the perceptron reads of the place along one axis, float [..., axis_channels].

        The slowest wave is two cells long, as far as the codes of an ensemble are asked.

        Args:
            delta: float64 [...], 2 units a cell.
        """
        if not self.shape.relative:
            return self.first.weight.new_empty(*delta.shape, 0)
        parts = [delta]
        for octave in range(self.shape.fourier_octaves):
            angle = delta * (math.pi / 2 * 2**octave)
            parts += [angle.sin(), angle.cos()]
        return torch.stack(parts, dim=-1).to(self.first.weight)

    def cell_inputs(self, given: FieldInput, cell_hw_px: tuple[float, float]) -> Tensor:
        """Size of a queried pixel in latent cells, 2 units each: float [2], or [0] if not read."""
        if not self.shape.cell:
            return self.first.weight.new_empty(0)
        cells_hw = given.features.shape[2:]
        sizes = zip(cell_hw_px, cells_hw, given.features_cover_hw_px, strict=True)
        return self.first.weight.new_tensor([2 * px * n / cover for px, n, cover in sizes])

    def _neighbourhood(self, padded: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Codes around cells, float [B, Q, code_channels].

        Args:
            padded: float [B, h + 2, w + 2, channels] with a border of zeros.
            rows: int64 [B, Q].
            columns: int64 [B, Q].
        """
        images, height, width, channels = padded.shape
        steps = range(3) if self.shape.unfold else (1,)
        offsets = torch.tensor([i * width + j for i in steps for j in steps], device=rows.device)
        image = torch.arange(images, device=rows.device)[:, None]
        centre = (image * height + rows) * width + columns
        index = (centre[..., None] + offsets).flatten()
        return padded.reshape(-1, channels).index_select(0, index).view(*rows.shape, -1)

    def _maps_at(self, given: FieldInput, coordinates_yx_px: Tensor) -> Tensor:
        """Class probabilities, and agreement, at points, bilinear, float [B, Q, map_channels]."""
        cover = coordinates_yx_px.new_tensor(given.probabilities_cover_hw_px, dtype=torch.float64)
        places = (2 * coordinates_yx_px / cover - 1).flip(-1)[:, :, None]
        sampled = F.grid_sample(
            self.maps(given).double(),
            places,
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        )
        return sampled[..., 0].transpose(1, 2).to(self.first.weight)

    def check(self, given: FieldInput) -> None:
        """Raises ValueError if `given` does not fit the field, or a value is not finite."""
        wanted = (self.shape.feature_channels, self.shape.num_classes)
        for name, values, channels in zip(
            ("features", "probabilities"),
            (given.features, given.probabilities),
            wanted,
            strict=True,
        ):
            if values.ndim != 4 or values.shape[1] != channels or 0 in values.shape:
                raise ValueError(
                    f"{name} must be [B, {channels}, h, w] with a cell or more, "
                    f"not {list(values.shape)}"
                )
            # Both are NaN if one value is; a tenth of the time that asking every value takes.
            if not bool(torch.isfinite(torch.stack(values.aminmax())).all()):
                raise ValueError(f"{name} must be finite, but hold NaN or infinity")
        if len(given.features) != len(given.probabilities):
            raise ValueError("features and probabilities must be of the same images")
        if given.agreement is not None:
            wanted_shape = given.probabilities[:, :1].shape
            if given.agreement.shape != wanted_shape or not bool(given.agreement.isfinite().all()):
                raise ValueError("agreement must be finite, one map on the grid of probabilities")
        covers_px = (*given.features_cover_hw_px, *given.probabilities_cover_hw_px)
        if not all(math.isfinite(side) and side > 0 for side in covers_px):
            raise ValueError("a map must cover more than 0 pixels, and finitely many")


def _check_integer(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}")
