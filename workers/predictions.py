"""Predictions of the pilot, kept for pass 1 so that its images are not predicted twice.

Bounded in bytes, and each is handed out once: a job's pass 1 empties what its pilot filled. The
same process predicts the same bytes again, so whether a prediction is found changes nothing.
"""

from collections import OrderedDict

from models.prediction import Prediction

Key = tuple[str, str]  # (digest of model and predict configuration, image digest)


class PredictionCache:
    """Least recently stored first out. Used by one thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[Key, Prediction] = OrderedDict()

    def put(self, key: Key, prediction: Prediction) -> None:
        """Keep a prediction, unless it alone is over the bound."""
        self.pop(key)
        self._kept[key] = prediction
        self._bytes += prediction.nbytes
        while self._bytes > self._max_bytes:
            _, old = self._kept.popitem(last=False)
            self._bytes -= old.nbytes

    def pop(self, key: Key) -> Prediction | None:
        """Hand out a prediction and forget it."""
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= found.nbytes
        return found

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._bytes = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._kept
