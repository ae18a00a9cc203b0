"""kill -9 of the light worker while it takes in corrected masks: none is lost, none taken twice."""

from collections import Counter

import numpy as np
import pytest

from formats.index_png import encode_label_png
from tests.faults.conftest import IMAGES, Reference
from tests.faults.running import Running, wait_until
from tests.faults.test_export_kills import writing
from tests.support.api import classes_json
from tests.support.images import zip_bytes

SEED = 910_001


def corrected_masks(reference: Reference) -> bytes:
    """A mask of stripes for each image, each of other widths."""
    files = {"classes.json": classes_json()}
    for number, name in enumerate(sorted(reference.files)):
        mask = (np.arange(360)[:, None] // (number + 5) + np.zeros(480, int)) % 3
        palette = [(128, 64, 128), (70, 130, 180), (0, 0, 142)]
        files[name.replace(".jpg", ".png")] = encode_label_png(mask.astype(np.uint8), palette)
    return zip_bytes(files)


@pytest.mark.slow
def test_kill_9_while_masks_come_back(running: Running, reference: Reference) -> None:
    job_id = running.submit(reference.files, seed=SEED)
    image_set = running.wait_done(job_id)["image_set"]
    asked = running.call(
        "POST",
        "/v1/imports",
        files={"file": ("masks.zip", corrected_masks(reference))},
        data={"image_set": image_set, "format": "index_png", "job": job_id},
    )
    assert asked.status_code == 202, asked.text
    import_id = asked.json()["id"]
    victim = wait_until(lambda: writing(running), 30, "a light worker reads")
    victim.suspend()
    assert not running.job(import_id)["done"], "the import was over before the fault"
    victim.kill()
    victim.resume()
    done = running.wait_done(import_id)
    assert (done["status"], done["counts"]["succeeded"]) == ("succeeded", IMAGES)
    results = running.call("GET", f"/v1/jobs/{job_id}/items?page_size=1000").json()["items"]
    decisions = Counter(
        tuple(
            one["decision"]
            for one in running.call("GET", f"/v1/labels/{item['label_id']}/reviews").json()[
                "reviews"
            ]
        )
        for item in results
    )
    assert decisions == {("corrected",): IMAGES}
