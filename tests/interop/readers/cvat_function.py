"""Calls our function for CVAT with its SDK: arguments are URL, PROFILE, NAME, LABEL.npy.

Prints the labels of the spec, and by label whether the mask is the SDK's own code of it.
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
from cvat_sdk import masks
from selvage_client.cvat import create

if __name__ == "__main__":
    url, profile, name, label_file = sys.argv[1:]
    function = create(profile=profile, url=url)
    names = {label.id: label.name for label in function.spec.labels}
    label = np.load(label_file)
    found = {}
    for shape in function.detect(SimpleNamespace(frame_name=name), None):
        inside = label == shape.label_id
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        wanted = masks.encode_mask(inside, [int(edge) for edge in box])
        found[names[shape.label_id]] = [float(v) for v in shape.points] == [
            float(v) for v in wanted
        ]
    print(json.dumps([list(names.values()), found]))
