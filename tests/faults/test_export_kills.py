"""kill -9 of the light worker while it writes an export: it begins anew, and nothing is half."""

import hashlib
import time

import psutil
import pytest

from tests.faults.conftest import Reference
from tests.faults.running import Running, wait_until

# Photographs become PNG in this format, which takes long enough to be killed in.
REQUEST = {"format": "cityscapes", "options": {"include_images": True, "class_map": {}}}


def label_job(running: Running, images: int) -> str:
    jobs = running.call("GET", "/v1/jobs?page_size=1000").json()["jobs"]
    return str(
        next(
            job["id"]
            for job in jobs
            if job["status"] == "succeeded"
            and job["type"] == "generate"
            and job["counts"]["total"] == images
        )
    )


def start_export(running: Running, job_id: str) -> str:
    asked = running.call("POST", "/v1/exports", json={**REQUEST, "source": {"job": job_id}})
    assert asked.status_code == 202, asked.text
    return str(asked.json()["id"])


def export(running: Running, export_id: str) -> dict:
    found: dict = running.call("GET", f"/v1/exports/{export_id}").json()
    return found


def zip_digest(running: Running, export_id: str) -> str:
    wait_until(lambda: export(running, export_id)["done"], 60, "the export ends")
    content = running.call("GET", f"/v1/exports/{export_id}/file")
    assert content.status_code == 200, content.text
    return hashlib.sha256(content.content).hexdigest()


def writing(running: Running) -> psutil.Process | None:
    """The light worker, if it has the export in hand."""
    for process in running.processes("workers.light_child"):
        if running.holds_a_chunk(process.pid):
            return process
    return None


@pytest.mark.parametrize("delay_seconds", [0.0, 0.2])
def test_kill_9_while_an_export_is_written(
    running: Running, reference: Reference, delay_seconds: float
) -> None:
    job_id = label_job(running, len(reference.labels))
    undisturbed = start_export(running, job_id)
    expected = zip_digest(running, undisturbed)
    export_id = start_export(running, job_id)
    victim = wait_until(lambda: writing(running), 30, "a light worker writes")
    time.sleep(delay_seconds)
    victim.suspend()
    assert not export(running, export_id)["done"], "the export was over before the fault"
    assert running.call("GET", f"/v1/exports/{export_id}/file").status_code == 409
    victim.kill()
    victim.resume()
    assert zip_digest(running, export_id) == expected
    done = export(running, export_id)
    assert (done["status"], done["counts"]["succeeded"]) == ("succeeded", len(reference.labels))
