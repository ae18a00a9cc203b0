"""Checks predictions with Label Studio's SDK: arguments are PREDICTIONS.json and OUT.npz.

`PREDICTIONS.json` is `{"config": "<View>…", "predictions": […]}`. `OUT.npz` gets, for each
prediction and label, the alpha plane (`0.road`). Prints what the validator found wrong.
"""

import json
import sys
from pathlib import Path

import numpy as np
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface

if __name__ == "__main__":
    document = json.loads(Path(sys.argv[1]).read_text())
    interface = LabelInterface(document["config"])
    errors: list[object] = []
    planes: dict[str, np.ndarray] = {}
    for number, prediction in enumerate(document["predictions"]):
        found = interface.validate_prediction(prediction, return_errors=True)
        errors += found if isinstance(found, list) else [] if found else ["refused"]
        for region in prediction["result"]:
            height, width = region["original_height"], region["original_width"]
            plane = np.asarray(decode_rle(region["value"]["rle"])).reshape(height, width, 4)
            planes[f"{number}.{region['value']['brushlabels'][0]}"] = plane[:, :, 3]
    np.savez(sys.argv[2], **planes)  # type: ignore[arg-type]
    print(json.dumps(errors))
