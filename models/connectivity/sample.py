"""A sample of a job's regions that is the same whatever order they were seen in.

Of each class the regions of smallest SHA-256(seed, image digest, region index). A part of it is one
`npz` object without pickles; parts merge by smallest key, so a part that is merged twice, or made
twice, changes nothing.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.connectivity.regions import Regions

MOST_VECTORS: Final = 200_000
_KEY_BYTES: Final = 32
_ARRAYS: Final = ("keys", "images", "classes", "vectors")


class SampleUnreadable(ValueError):
    """Arrays are no part of a sample, or parts of different samples."""

    code = "sample-unreadable"


@dataclass(frozen=True, eq=False)
class Sample:
    """N regions in order of their keys, each key once.

    Attributes:
        num_classes: K.
        groups: {group of features: width}, in the order of the columns of `vectors`.
        keys: uint8 (N, 32).
        images: the key of each region's image, uint64 (N,), see `image_key`.
        classes: the class given, uint8 (N,).
        vectors: the features side by side, float16 (N, D).
    """

    num_classes: int
    groups: dict[str, int]
    keys: npt.NDArray[np.uint8]
    images: npt.NDArray[np.uint64]
    classes: npt.NDArray[np.uint8]
    vectors: npt.NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def empty(cls, num_classes: int, groups: Mapping[str, int] | None = None) -> "Sample":
        groups = dict(groups or {})
        return cls(
            num_classes,
            groups,
            np.zeros((0, _KEY_BYTES), np.uint8),
            np.zeros(0, np.uint64),
            np.zeros(0, np.uint8),
            np.zeros((0, sum(groups.values())), np.float16),
        )

    @property
    def features(self) -> dict[str, npt.NDArray[np.float16]]:
        """{group: its columns of `vectors`}, without a copy."""
        ends = np.cumsum(list(self.groups.values()), dtype=np.int64)
        return {
            name: self.vectors[:, end - width : end]
            for (name, width), end in zip(self.groups.items(), ends, strict=True)
        }


def image_key(image_digest: str) -> int:
    """A number of 64 bits that stands for an image; folds are made by it."""
    return int.from_bytes(hashlib.sha256(image_digest.encode()).digest()[:8], "little")


def sample_of(regions: Regions, image_digest: str, seed: int) -> Sample:
    """All regions of one image as a part of the sample; `merge_parts` bounds it."""
    start = hashlib.sha256(f"{seed}:{image_digest}:".encode())
    digests = []
    for index in range(len(regions)):
        digest = start.copy()
        digest.update(b"%d" % index)
        digests.append(digest.digest())
    keys = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, _KEY_BYTES)
    # By name, so that the order in which features were pooled makes no difference.
    groups = {name: regions.features[name].shape[1] for name in sorted(regions.features)}
    vectors = np.concatenate(
        [np.zeros((len(regions), 0), np.float16), *(regions.features[name] for name in groups)],
        axis=1,
    )
    rows = _order(keys)
    return Sample(
        regions.votes.shape[1],
        groups,
        keys[rows],
        np.full(len(regions), image_key(image_digest), np.uint64),
        regions.classes[rows],
        vectors[rows],
    )


def merge_parts(parts: Iterable[Sample], size: int = MOST_VECTORS) -> Sample | None:
    """Of each class the `size` // K regions of smallest key; None without parts.

    Parts are read one at a time; no more than twice the sample and one part are held. Where images
    differ in the groups of features that they have, only those that have the most count.

    Raises:
        SampleUnreadable: parts with different numbers of classes, or widths of a group.
    """
    merged: Sample | None = None
    waiting: list[Sample] = []
    for part in parts:
        waiting.append(part)
        if sum(map(len, waiting)) >= size:
            merged = _smallest([*([merged] if merged else []), *waiting], size)
            waiting = []
    if not waiting:
        return merged
    return _smallest([*([merged] if merged else []), *waiting], size)


def pack_part(part: Sample) -> dict[str, npt.NDArray[Any]]:
    """As arrays for `np.savez`; `about` is JSON in UTF-8 bytes."""
    about = {"version": 1, "num_classes": part.num_classes, "groups": list(part.groups.items())}
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    return {"about": text, **{name: getattr(part, name) for name in _ARRAYS}}


def unpack_part(arrays: Mapping[str, npt.NDArray[Any]]) -> Sample:
    """The part that `pack_part` packed.

    Raises:
        SampleUnreadable: arrays are missing or do not fit each other.
    """
    try:
        about = json.loads(arrays["about"].tobytes())
        version = about["version"]
        part = Sample(
            int(about["num_classes"]),
            {str(name): int(width) for name, width in about["groups"]},
            *(arrays[name] for name in _ARRAYS),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SampleUnreadable(f"this is no part of a sample: {error!r}") from error
    like = Sample.empty(part.num_classes, part.groups)
    fits = version == 1 and all(
        getattr(part, name).dtype == getattr(like, name).dtype
        and getattr(part, name).shape == (len(part.keys), *getattr(like, name).shape[1:])
        for name in _ARRAYS
    )
    if not fits or (len(part) and int(part.classes.max()) >= part.num_classes):
        raise SampleUnreadable("the arrays of this part of a sample do not fit each other")
    return part


def _smallest(parts: list[Sample], size: int) -> Sample:
    first = max(parts, key=lambda part: (len(part) > 0, len(part.groups), sorted(part.groups)))
    if any(part.num_classes != first.num_classes for part in parts):
        raise SampleUnreadable("these parts have different classes")
    if any(first.groups.get(n, w) != w for part in parts for n, w in part.groups.items()):
        raise SampleUnreadable("these parts have features of different widths")
    with_rows = [part for part in parts if part.groups == first.groups]
    keys = np.concatenate([part.keys for part in with_rows])
    classes = np.concatenate([part.classes for part in with_rows])
    rows = _order(keys)
    sorted_keys = keys[rows]
    rows = rows[np.r_[True, (sorted_keys[1:] != sorted_keys[:-1]).any(1)][: len(rows)]]
    rows = rows[_rank_in_class(classes[rows]) < size // first.num_classes]
    images = np.concatenate([part.images for part in with_rows])
    return Sample(
        first.num_classes,
        first.groups,
        keys[rows],
        images[rows],
        classes[rows],
        _rows_of_parts([part.vectors for part in with_rows], rows),
    )


def _rows_of_parts(
    parts: list[npt.NDArray[np.float16]], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float16]:
    """Rows of the parts put one after the other, without putting them one after the other."""
    chosen = np.empty((len(rows), parts[0].shape[1]), np.float16)
    start = 0
    for part in parts:
        here = (rows >= start) & (rows < start + len(part))
        chosen[here] = part[rows[here] - start]
        start += len(part)
    return chosen


def _order(keys: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The order of keys (N, 32), as bytes compare."""
    words = np.ascontiguousarray(keys).view(">u8")
    return np.lexsort(words.T[::-1])


def _rank_in_class(classes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """How many of the same class come before each."""
    by_class = np.argsort(classes, kind="stable")
    counts = np.bincount(classes, minlength=256)
    ranks = np.empty(len(classes), np.int64)
    ranks[by_class] = np.arange(len(classes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return ranks
