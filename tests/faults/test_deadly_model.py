"""A model that kills every worker that tries it, beside work that must go on."""

import re

from tests.faults.conftest import Reference
from tests.faults.running import Running
from tests.support.images import zip_bytes
from tests.support.model_files import bundle_files, changed_json


def post_model(running: Running, files: dict[str, bytes]) -> str:
    answer = running.call(
        "POST", "/v1/models/deadly/versions", files=[("file", ("m.zip", zip_bytes(files)))]
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_it_is_rejected_and_the_others_go_on(running: Running, reference: Reference) -> None:
    good = bundle_files()
    bundle = changed_json(good["bundle.json"], provenance={"mark": "deadly-model"})
    before = len(running.log())
    deadly = post_model(running, {**good, "bundle.json": bundle})
    labelling = running.submit(reference.files, seed=424242)
    fine = post_model(running, good)
    job = running.wait_done(deadly)
    assert (job["status"], job["error"]["code"]) == ("failed", "model-kills-worker")
    version = running.call("GET", "/v1/models/deadly/versions/1").json()
    assert (version["status"], version["problem"]["code"]) == ("rejected", "model-kills-worker")
    assert len(re.findall("the worker died; starting another", running.log()[before:])) >= 3
    assert running.wait_done(labelling)["status"] == "succeeded"
    assert running.label_bytes(labelling) == reference.labels
    assert running.wait_done(fine)["result"]["model"] == "deadly:2"
