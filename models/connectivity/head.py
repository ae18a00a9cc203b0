"""A small perceptron over pooled features: which columns it reads, its weights, its answer.

Only numpy: weights are made with torch (`training`), used without it.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Features = Mapping[str, npt.NDArray[np.float16]]

# Standard deviations beyond which an input says nothing more than that it is far out.
_FARTHEST: Final = 8.0
_PARTS: Final = ("mean", "scale", "weight_in", "bias_in", "weight_out", "bias_out")


@dataclass(frozen=True)
class Columns:
    """Columns `start` to `stop` of a group of features that is `width` wide."""

    group: str
    start: int
    stop: int
    width: int

    @property
    def count(self) -> int:
        return self.stop - self.start


class FeaturesDiffer(ValueError):
    """Features are missing or of another width than a classifier was fitted on."""

    code = "features-differ"


def gather(features: Features, inputs: Sequence[Columns]) -> npt.NDArray[np.float16]:
    """The columns of all inputs side by side, float16 (N, D).

    Raises:
        FeaturesDiffer: a group is missing or has another width.
    """
    parts = []
    for columns in inputs:
        group = features.get(columns.group)
        if group is None:
            raise FeaturesDiffer(f"the features '{columns.group}' are missing")
        if group.shape[1] != columns.width:
            raise FeaturesDiffer(
                f"the features '{columns.group}' are {group.shape[1]} wide, not {columns.width}"
            )
        parts.append(group[:, columns.start : columns.stop])
    return np.concatenate(parts, axis=1)


@dataclass(frozen=True, eq=False)
class Head:
    """Standardise, one hidden layer of rectified units, scores. All float32.

    Attributes:
        mean: of each input on the sample, (D,).
        scale: standard deviation of each input on the sample, (D,); 1 where it does not vary.
        weight_in: (D + G, M); the last G rows are for the class given, if the head knows it.
        bias_in: (M,).
        weight_out: (M, O).
        bias_out: (O,).
    """

    mean: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]
    weight_in: npt.NDArray[np.float32]
    bias_in: npt.NDArray[np.float32]
    weight_out: npt.NDArray[np.float32]
    bias_out: npt.NDArray[np.float32]

    def scores(
        self, vectors: npt.NDArray[np.floating[Any]], given: npt.NDArray[np.uint8] | None = None
    ) -> npt.NDArray[np.float32]:
        """Scores (N, O) of vectors (N, D) and, if the head knows it, the class given, (N,)."""
        hidden = standardise(vectors, self.mean, self.scale) @ self.weight_in[: len(self.mean)]
        hidden += self.bias_in
        if given is not None:
            hidden += self.weight_in[len(self.mean) + given.astype(np.int64)]
        scores: npt.NDArray[np.float32] = np.maximum(hidden, 0) @ self.weight_out + self.bias_out
        return scores

    def tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        return {name: getattr(self, name) for name in _PARTS}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[np.float32]]) -> "Head":
        """Raises ValueError if a part is missing, not finite, or does not fit the others."""
        try:
            head = cls(**{name: np.asarray(tensors[name], np.float32) for name in _PARTS})
            inputs, (hidden, outputs) = len(head.mean), head.weight_out.shape
            rows, columns = head.weight_in.shape
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"these are no weights of a head: {error}") from error
        fits = (
            head.scale.shape == (inputs,)
            and rows >= inputs
            and columns == hidden
            and head.bias_in.shape == (hidden,)
            and head.bias_out.shape == (outputs,)
        )
        if not fits or not all(np.isfinite(part).all() for part in head.tensors().values()):
            raise ValueError("the weights of a head do not fit each other, or are not finite")
        return head


def standardise(
    vectors: npt.NDArray[np.floating[Any]],
    mean: npt.NDArray[np.float32],
    scale: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Vectors (N, D) less their mean over their scale, cut at 8 either side, float32."""
    centred = (vectors.astype(np.float32) - mean) / scale
    return np.clip(centred, -_FARTHEST, _FARTHEST, out=centred)


def array_to_json(array: npt.NDArray[np.float32]) -> dict[str, Any]:
    """A float32 array as JSON: `shape`, and `float32`, its little-endian bytes in base64."""
    data = np.ascontiguousarray(array, dtype="<f4").tobytes()
    return {"shape": list(array.shape), "float32": base64.b64encode(data).decode("ascii")}


def array_from_json(data: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Raises ValueError if the bytes are not those of the shape."""
    flat = np.frombuffer(base64.b64decode(data["float32"], validate=True), dtype="<f4")
    return flat.astype(np.float32).reshape([int(side) for side in data["shape"]])
