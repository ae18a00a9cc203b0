"""Reads COCO instances with pycocotools: `coco_labels.py ANNOTATIONS.json OUT.npz`.

`OUT.npz` gets one array an image, by file name: category id less one, 255 where there is none.
Prints the scores and areas of all annotations, and areas counted anew.
"""

import json
import sys

import numpy as np
from pycocotools import mask as masks
from pycocotools.coco import COCO

if __name__ == "__main__":
    coco = COCO(sys.argv[1])
    arrays, facts = {}, []
    for image in coco.loadImgs(coco.getImgIds()):
        found = np.full((image["height"], image["width"]), 255, np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds([image["id"]])):
            mask = coco.annToMask(annotation).astype(bool)
            found[mask] = annotation["category_id"] - 1
            box = masks.toBbox(coco.annToRLE(annotation)).tolist()
            facts.append([annotation["area"], int(mask.sum()), annotation["bbox"] == box])
        arrays[image["file_name"].replace("/", "|")] = found
    np.savez(sys.argv[2], **arrays)  # type: ignore[arg-type]
    names = [c["name"] for c in coco.loadCats(coco.getCatIds())]
    print(json.dumps({"names": names, "facts": facts}))
