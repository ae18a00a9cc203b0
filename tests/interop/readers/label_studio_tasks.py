"""Checks tasks with Label Studio's SDK: `label_studio_tasks.py CONFIG.xml TASKS.json OUT.npz`.

Every prediction is validated against the labelling configuration and decoded. `OUT.npz` gets one
array a task: the index of its label in the configuration, 255 where there is none.
"""

import json
import sys
from pathlib import Path

import numpy as np
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface import LabelInterface

if __name__ == "__main__":
    config = LabelInterface(Path(sys.argv[1]).read_text())
    tasks = json.loads(Path(sys.argv[2]).read_text())
    names = list(config.get_control("seg").labels)
    arrays: dict[str, np.ndarray] = {}
    problems = []
    for number, task in enumerate(tasks):
        (prediction,) = task["predictions"]
        problems += config.validate_prediction(prediction, return_errors=True)
        for region in prediction["result"]:
            shape = region["original_height"], region["original_width"]
            found = arrays.setdefault(f"t{number}", np.full(shape, 255, np.uint8))
            alpha = np.asarray(decode_rle(region["value"]["rle"])).reshape(*shape, 4)[:, :, 3]
            (name,) = region["value"]["brushlabels"]
            found[alpha > 127] = names.index(name)
    np.savez(sys.argv[3], **arrays)  # type: ignore[arg-type]
    print(json.dumps({"names": names, "problems": problems, "tasks": len(tasks)}))
