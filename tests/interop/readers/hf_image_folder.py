"""Reads an image folder with Hugging Face `datasets`: `hf_image_folder.py FOLDER CACHE OUT.npz`.

`OUT.npz` gets the labels by external id. Prints the columns and how many images could be opened.
"""

import json
import os
import sys

if __name__ == "__main__":
    folder, cache, out = sys.argv[1:]
    os.environ.update(HF_HOME=cache, HF_DATASETS_OFFLINE="1", HF_HUB_OFFLINE="1")
    import numpy as np
    from datasets import load_dataset

    rows = load_dataset("imagefolder", data_dir=folder, cache_dir=cache)
    arrays, opened = {}, 0
    for row in rows["train"]:
        arrays[row["external_id"].replace("/", "|")] = np.asarray(row["label"])
        assert np.asarray(row["image"]).shape[:2] == np.asarray(row["confidence"]).shape
        opened += 1
    np.savez(out, **arrays)  # type: ignore[arg-type]
    print(json.dumps({"columns": sorted(rows["train"].column_names), "rows": opened}))
