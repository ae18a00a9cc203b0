"""A field at all pixels of an image, many times faster than asking it point by point.

The first layer is linear, so its inputs can be taken apart: its part for 3x3 latent codes is a 3x3
convolution on the latent grid, done once a cell in place of once for each pixel and code asked. A
pixel then fetches the row of its cell and adds the product of its few other inputs: interpolated
probabilities and the place within the cell, which depends on its row and its column alone and is
computed once for each. (One product with 13 columns takes as long as one addition, so vectors for
each row and column in place of it would gain nothing: measured on a CPU with AVX-512.)

Memory stays within a budget: rows of pixels are taken in bands, and within a band as many points at
a time as stay in a CPU's cache through all layers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.rectification.field import FieldInput, ImplicitRectifier, neighbours
from models.rectification.sampling import near_edges

MODES: Final = ("exact", "coarse")
# Side of the cells of the grid that `coarse` interpolates.
COARSE_PX: Final = 4
# Values of one hidden layer that are computed at a time: 1 MiB stays in a CPU's second level cache,
# a GPU wants larger pieces.
_CPU_TILE_VALUES: Final = 1 << 18
_GPU_TILE_VALUES: Final = 1 << 25


@torch.no_grad()
def dense_logits(
    field: ImplicitRectifier,
    given: FieldInput,
    size_hw: tuple[int, int],
    *,
    mode: str = "exact",
    label: Tensor | None = None,
    band_px: int = 5,
    budget_bytes: int = 64 << 20,
) -> Tensor:
    """Logits at the centres of all pixels, float [B, H, W], or [B, K, H, W] with `per_class`.

    Without gradients. `exact` equals the field asked at every pixel but for rounding. `coarse`
    does so for pixels near an edge of `label`, and interpolates a grid of 4 px cells elsewhere.

    Args:
        field: what is asked.
        given: of B images.
        size_hw: H and W.
        mode: "exact" or "coarse".
        label: uint8 or int64 [B, H, W]; needed by `coarse`.
        band_px: how near an edge `coarse` still asks every pixel, at least 1.
        budget_bytes: for intermediate values; at least one row of pixels is computed at a time.

    Raises:
        ValueError: shapes do not fit, a value is not finite, or the mode is unknown or lacks its
            label.
    """
    field.check(given)
    height, width = size_hw
    if min(size_hw) < 1:
        raise ValueError("an image must have a pixel or more")
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, not '{mode}'")
    device = given.features.device
    ys, xs = (torch.arange(side, device=device).double() + 0.5 for side in size_hw)
    pixels = _Grid(field, given, ys, xs, budget_bytes)
    if mode == "exact":
        answer = pixels.fill(None, None)
    else:
        if label is None or label.shape != (len(given.features), *size_hw):
            raise ValueError("mode coarse needs the label of every pixel, [B, H, W]")
        middle = (COARSE_PX - 1) / 2
        grid = _Grid(field, given, ys[::COARSE_PX] + middle, xs[::COARSE_PX] + middle, budget_bytes)
        coarse = grid.fill(None, None).permute(0, 3, 1, 2)
        fine = F.interpolate(coarse, scale_factor=COARSE_PX, mode="bilinear")
        start = fine[..., :height, :width].permute(0, 2, 3, 1).contiguous()
        answer = pixels.fill(near_edges(label.to(device), band_px), start)
    return answer.permute(0, 3, 1, 2).contiguous() if field.shape.per_class else answer[..., 0]


@dataclass(frozen=True, eq=False)
class _Places:
    """Everything that depends on n places along one axis alone.

    Attributes:
        inputs: for each of the S codes asked what the perceptron reads of the place within its
            cell, float [S, A, n].
        index: cell of each code, int64 [S, n].
        weight: share of each code in the answer, float [S, n].
        between: between which two cells of the probabilities a place lies, int64 [2, n].
        share: of the second of them, float [n].
    """

    inputs: Tensor
    index: Tensor
    weight: Tensor
    between: Tensor
    share: Tensor

    @classmethod
    def along(
        cls, field: ImplicitRectifier, given: FieldInput, axis: int, places_px: Tensor
    ) -> "_Places":
        cells, coarse_cells = given.features.shape[2 + axis], given.probabilities.shape[2 + axis]
        cover_px = given.features_cover_hw_px[axis]
        asked = neighbours(places_px, cells, cover_px, field.shape.ensemble)
        cover_px = given.probabilities_cover_hw_px[axis]
        around = neighbours(places_px, coarse_cells, cover_px, ensemble=True)
        inputs = field.axis_inputs(asked.delta)
        return cls(
            inputs.permute(1, 2, 0).contiguous(),
            asked.index.t().contiguous(),
            asked.weight.t().to(inputs).contiguous(),
            around.index.t().contiguous(),
            around.weight[:, 1].to(inputs),
        )

    def __getitem__(self, which: slice | Tensor) -> "_Places":
        return _Places(
            self.inputs[:, :, which],
            self.index[:, which],
            self.weight[:, which],
            self.between[:, which],
            self.share[which],
        )


@dataclass(frozen=True, eq=False)
class _Band:
    """What some rows of a grid of one image need of its maps.

    Attributes:
        cells: the feature part of the first layer, float [rows of cells * w, hidden].
        first_cell: first row of cells in it.
        shares: class probabilities, and agreement, interpolated along x, float
            [map_channels, rows of cells, W].
        first_share: first row of cells in it.
    """

    cells: Tensor
    first_cell: int
    shares: Tensor
    first_share: int


class _Grid:
    """A field on the grid that places along y and along x span.

    Args:
        field: what is asked.
        given: of B images; checked.
        ys: places along y in pixels, rising, float64 [H].
        xs: places along x in pixels, rising, float64 [W].
        budget_bytes: for the intermediate values of a band.
    """

    def __init__(
        self,
        field: ImplicitRectifier,
        given: FieldInput,
        ys: Tensor,
        xs: Tensor,
        budget_bytes: int,
    ) -> None:
        self._field, self._given = field, given
        self._maps = field.maps(given)
        self._y, self._x = (_Places.along(field, given, i, at) for i, at in enumerate((ys, xs)))
        self._size_hw = len(ys), len(xs)
        shape, weight = field.shape, field.first.weight
        others = shape.map_channels + 2 * shape.axis_channels
        of_codes, of_others, of_size = weight.tensor_split(
            [shape.code_channels, shape.code_channels + others], dim=1
        )
        side = 3 if shape.unfold else 1
        kernel = of_codes.reshape(-1, side, side, shape.reduced_channels).permute(0, 3, 1, 2)
        self._kernel = kernel.contiguous(memory_format=torch.channels_last)
        self._others = of_others.t().contiguous()
        self._bias = field.first.bias + of_size @ field.cell_inputs(given, (1.0, 1.0))
        self._rows_a_band = self._rows_within(budget_bytes)
        on_cpu = weight.device.type == "cpu"
        points = (_CPU_TILE_VALUES if on_cpu else _GPU_TILE_VALUES) // max(shape.hidden)
        self._columns_a_tile = min(len(xs), points)
        self._rows_a_tile = max(1, points // len(xs))

    def fill(self, where: Tensor | None, out: Tensor | None) -> Tensor:
        """Logits float [B, H, W, outputs]: all in a new tensor, or those of `where` in `out`.

        Args:
            where: bool [B, H, W].
            out: float [B, H, W, outputs]; changed.
        """
        height, width = self._size_hw
        images, outputs = len(self._given.features), self._field.shape.outputs
        if out is None:
            out = self._bias.new_empty(images, height, width, outputs)
        for image in range(images):
            mask = None if where is None else where[image]
            for rows in _slices(0, height, self._rows_a_band):
                if mask is None or bool(mask[rows].any()):
                    self._fill_band(image, rows, mask, out[image])
        return out

    def _fill_band(self, image: int, rows: slice, where: Tensor | None, out: Tensor) -> None:
        band = self._band(image, rows)
        for tile in _slices(rows.start, rows.stop, self._rows_a_tile):
            y = self._y[tile]
            shares = band.shares[:, y.between - band.first_share]
            for columns in _slices(0, self._size_hw[1], self._columns_a_tile):
                target = out[tile, columns]
                if where is None:
                    target.copy_(self._answer(band, y, self._x[columns], shares[..., columns]))
                    continue
                # Points of a column that are not asked for are computed with those that are.
                inside = where[tile, columns]
                some = inside.any(0).nonzero()[:, 0]
                if len(some):
                    x = self._x[columns][some]
                    answer = self._answer(band, y, x, shares[..., columns][..., some])
                    target[:, some] = torch.where(inside[:, some, None], answer, target[:, some])

    def _rows_within(self, budget_bytes: int) -> int:
        """How many rows of the grid a band may have."""
        shape, (height, width) = self._field.shape, self._size_hw
        rows, columns = self._given.features.shape[2:]
        # The features and themselves normalised, the codes and themselves padded, the layer and
        # room for the convolution.
        values = 2 * (shape.feature_channels + shape.reduced_channels + shape.hidden[0])
        values *= columns * rows
        # Interpolation needs both sides and the result.
        values += 3 * shape.map_channels * width * self._given.probabilities.shape[2]
        return max(1, budget_bytes * height // (values * self._bias.element_size()))

    def _band(self, image: int, rows: slice) -> _Band:
        y = self._y[rows]
        first, last = int(y.index.min()), int(y.index.max())
        first_share, last_share = int(y.between.min()), int(y.between.max())
        coarse = self._maps[image, :, first_share : last_share + 1]
        left, right = coarse.to(self._bias)[..., self._x.between].unbind(2)
        shares = torch.lerp(left, right, self._x.share)
        return _Band(self._cells(image, first, last), first, shares, first_share)

    def _cells(self, image: int, first: int, last: int) -> Tensor:
        """The feature part of the first layer and its bias, float [rows * w, hidden]."""
        features = self._given.features[image : image + 1]
        if not self._field.shape.unfold:
            codes = self._field.reduced(features[:, :, first : last + 1])
        else:
            before, after = int(first > 0), int(last + 1 < features.shape[2])
            codes = self._field.reduced(features[:, :, first - before : last + 1 + after])
            codes = F.pad(codes, (1, 1, 1 - before, 1 - after))
        codes = codes.contiguous(memory_format=torch.channels_last)
        layer = F.conv2d(codes, self._kernel, self._bias)
        return layer.permute(0, 2, 3, 1).reshape(-1, layer.shape[1])

    def _answer(self, band: _Band, y: _Places, x: _Places, shares: Tensor) -> Tensor:
        """Logits float [R, n, outputs] of the points that R places and n places span.

        Args:
            band: that holds the rows.
            y: the R places.
            x: the n places.
            shares: class probabilities, and agreement, at the n places in the two rows of cells
                around each of the R places, float [map_channels, 2, R, n].
        """
        shape, size_hw = self._field.shape, (len(y.share), len(x.share))
        above, below = shares.unbind(1)
        # Transposed: writing a row of it is a copy, and the product does not mind.
        others = self._bias.new_empty(len(self._others), *size_hw)
        torch.lerp(above, below, y.share[:, None], out=others[: shape.map_channels])
        of_y, of_x = others[shape.map_channels :].tensor_split([shape.axis_channels])
        answer = self._bias.new_zeros(*size_hw, shape.outputs)
        first_of_row = (y.index - band.first_cell) * self._given.features.shape[3]
        for i in range(len(y.index)):
            of_y.copy_(y.inputs[i, :, :, None])
            for j in range(len(x.index)):
                of_x.copy_(x.inputs[j, :, None])
                cells = (first_of_row[i, :, None] + x.index[j]).flatten()
                hidden = band.cells.index_select(0, cells)
                hidden.addmm_(others.flatten(1).t(), self._others)
                weight = y.weight[i, :, None] * x.weight[j]
                answer.addcmul_(self._rest(hidden).view_as(answer), weight[..., None])
        return answer

    def _rest(self, hidden: Tensor) -> Tensor:
        """The layers after the first one; `hidden` [N, hidden] is changed."""
        for layer in self._field.rest:
            if isinstance(layer, nn.Linear):
                hidden = torch.addmm(layer.bias, hidden, layer.weight.t())
            else:
                hidden.relu_()
        return hidden


def _slices(start: int, stop: int, step: int) -> Iterator[slice]:
    return (slice(at, min(at + step, stop)) for at in range(start, stop, step))
