"""Reads a data set with datumaro: `datumaro_labels.py FORMAT FOLDER OUT.npz`.

`OUT.npz` gets one array an item: the index of its label, 255 where there is none. Prints the names
of the labels, and how many annotations each item has.
"""

import json
import sys

import numpy as np
from datumaro.components.annotation import AnnotationType
from datumaro.components.dataset import Dataset

if __name__ == "__main__":
    export_format, folder, out = sys.argv[1:]
    dataset = Dataset.import_from(folder, export_format)
    names = [label.name for label in dataset.categories()[AnnotationType.label]]
    arrays, counts = {}, {}
    for item in dataset:
        masks = [a for a in item.annotations if a.type == AnnotationType.mask]
        found = np.full(np.asarray(masks[0].image).shape, 255, np.uint8)
        for mask in masks:
            found[np.asarray(mask.image, bool)] = mask.label
        arrays[item.id] = found
        counts[item.id] = len(masks)
    np.savez(out, **{key.replace("/", "|"): array for key, array in arrays.items()})  # type: ignore[arg-type]
    print(json.dumps({"names": names, "annotations": counts}))
