"""What is left of an image until the whole job has been seen: arrays for one `npz`, no pickles."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from models.connectivity.regions import Regions
from models.rle import Rle

FORMAT_VERSION: Final = 1
_REGION_ARRAYS: Final = {
    "boxes_xyxy": np.int32,
    "areas_px": np.int64,
    "classes": np.uint8,
    "votes": np.float32,
    "quality": np.float32,
    "confidence": np.float32,
}
_FEATURES: Final = "features."
_MAPS: Final = "maps."


class EvidenceUnreadable(ValueError):
    """Arrays are no evidence, or parts of it do not fit each other."""

    code = "evidence-unreadable"


@dataclass(frozen=True, eq=False)
class RegionEvidence:
    """An image after `aggregate`.

    Attributes:
        regions: of the aggregated label, which they give back.
        kept: class of the kept pixels, uint8 (H, W), 255 elsewhere.
        weight: probability that the class at this pixel is right, float32 (H, W); kept in
            steps of 1/255.
        maps: further maps, uint8 (H, W), by name; such as the class map after each stage.
        facts: whatever else finishing needs, as JSON.
    """

    regions: Regions
    kept: npt.NDArray[np.uint8]
    weight: npt.NDArray[np.float32]
    maps: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def pack_evidence(evidence: RegionEvidence) -> dict[str, npt.NDArray[Any]]:
    """As arrays for `np.savez`: maps as PNG bytes, run lengths one after the other."""
    regions = evidence.regions
    about = {
        "version": FORMAT_VERSION,
        "size_hw": list(regions.size_hw),
        "facts": evidence.facts,
    }
    arrays = {
        "about": np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8),
        "kept": _png(evidence.kept),
        "weight": _png(np.rint(evidence.weight * np.float32(255)).astype(np.uint8)),
        "rle_counts": np.concatenate(
            [np.zeros(0, np.uint32), *(rle.counts for rle in regions.rles)]
        ),
        "rle_ends": np.cumsum([len(rle.counts) for rle in regions.rles], dtype=np.int64),
    }
    arrays |= {name: getattr(regions, name) for name in _REGION_ARRAYS}
    arrays |= {_FEATURES + name: vectors for name, vectors in regions.features.items()}
    return arrays | {_MAPS + name: _png(values) for name, values in evidence.maps.items()}


def unpack_evidence(arrays: Mapping[str, npt.NDArray[Any]]) -> RegionEvidence:
    """The evidence that `pack_evidence` packed.

    Raises:
        EvidenceUnreadable: arrays are missing, damaged or do not fit each other.
    """
    try:
        about = json.loads(np.asarray(arrays["about"]).tobytes())
        if about["version"] != FORMAT_VERSION:
            raise EvidenceUnreadable(f"this program reads evidence of version {FORMAT_VERSION}")
        size_hw = int(about["size_hw"][0]), int(about["size_hw"][1])
        regions = _regions(arrays, size_hw)
        maps = {
            name.removeprefix(_MAPS): _from_png(arrays[name], size_hw)
            for name in arrays
            if name.startswith(_MAPS)
        }
        return RegionEvidence(
            regions,
            _from_png(arrays["kept"], size_hw),
            _from_png(arrays["weight"], size_hw).astype(np.float32) / np.float32(255),
            maps,
            about["facts"],
        )
    except (KeyError, TypeError, IndexError, ValueError, cv2.error) as error:
        if isinstance(error, EvidenceUnreadable):
            raise
        raise EvidenceUnreadable(f"this is no evidence of an image: {error!r}") from error


def _regions(arrays: Mapping[str, npt.NDArray[Any]], size_hw: tuple[int, int]) -> Regions:
    counts, ends = arrays["rle_counts"], arrays["rle_ends"]
    starts = np.concatenate([[0], ends[:-1]])[: len(ends)]
    rles = [Rle(size_hw, counts[a:b]) for a, b in zip(starts, ends, strict=True)]
    # One look at all of them: each must cover the image exactly.
    covered = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    whole = size_hw[0] * size_hw[1]
    fits = counts.dtype == np.uint32 and (covered[ends] - covered[starts] == whole).all()
    columns = {name: arrays[name] for name in _REGION_ARRAYS}
    features = {
        name.removeprefix(_FEATURES): arrays[name] for name in arrays if name.startswith(_FEATURES)
    }
    fits &= all(columns[name].dtype == dtype for name, dtype in _REGION_ARRAYS.items())
    fits &= all(vectors.dtype == np.float16 for vectors in features.values())
    fits &= all(len(values) == len(rles) for values in (*columns.values(), *features.values()))
    if not fits:
        raise EvidenceUnreadable("the arrays of this evidence do not fit each other")
    return Regions(size_hw=size_hw, rles=rles, features=features, **columns)


def _png(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    done, data = cv2.imencode(".png", values, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise ValueError("a map could not be written as PNG")
    return data.ravel()


def _from_png(data: npt.NDArray[np.uint8], size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    values = cv2.imdecode(np.asarray(data), cv2.IMREAD_UNCHANGED)
    if values is None or values.shape != size_hw or values.dtype != np.uint8:
        raise EvidenceUnreadable("a map of this evidence is damaged or of another size")
    return np.asarray(values, np.uint8)
