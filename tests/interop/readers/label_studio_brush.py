"""Decodes brush regions with Label Studio's SDK: `label_studio_brush.py RLE.json OUT.npy`.

`RLE.json` is a list of codes, all of one size `[[H, W], [code, …]]`; `OUT.npy` gets the alpha
planes. Prints the codes that the SDK makes of them.
"""

import json
import sys
from pathlib import Path

import numpy as np
from label_studio_sdk.converter.brush import decode_rle, mask2rle

if __name__ == "__main__":
    (height, width), codes = json.loads(Path(sys.argv[1]).read_text())
    planes = [np.asarray(decode_rle(code)).reshape(height, width, 4)[:, :, 3] for code in codes]
    np.save(sys.argv[2], np.stack(planes))
    print(json.dumps([mask2rle(plane) for plane in planes]))
