"""kill -9 of every process, loss of the broker's data, SIGTERM, hangs, deadly images.

Each time the job must end with exactly one label per image, counts that sum to the total, and the
bytes of an undisturbed run.
"""

import io
import time

import psutil
import pytest
import redis
from PIL import Image

from tests.faults.conftest import IMAGES, Reference
from tests.faults.running import Running, wait_until
from tests.support.images import image_array

SEEDS = iter(range(1, 1000))


def check_whole(running: Running, job_id: str, reference: Reference) -> None:
    """The job is as if nothing had happened."""
    job = running.wait_done(job_id)
    assert job["status"] == "succeeded", job
    assert job["counts"]["succeeded"] == IMAGES
    assert sum(job["counts"][k] for k in job["counts"] if k != "total") == job["counts"]["total"]
    assert running.label_bytes(job_id) == reference.labels


def under_way(running: Running, reference: Reference) -> str:
    """A job with labels of which others are still to come.

    Who looks may be kept waiting by a busy machine until all is over: then another one is started.
    """
    for _ in range(5):
        job_id = running.submit(reference.files, seed=next(SEEDS))
        if running.has_images(job_id, 3):
            return job_id
        running.wait_done(job_id)
    raise AssertionError("every job was over before the fault")


@pytest.mark.parametrize(
    "marker",
    [
        "workers.child",
        "workers.parent --device",
        "-m service",
        "workers.scheduler",
        "valkey-server",
    ],
)
def test_kill_9_of_a_process(running: Running, reference: Reference, marker: str) -> None:
    job_id = under_way(running, reference)
    running.kill(marker)
    check_whole(running, job_id, reference)


def test_repeated_kills_of_the_worker(running: Running, reference: Reference) -> None:
    job_id = running.submit(reference.files, seed=next(SEEDS))
    for labelled in (2, 8):
        running.wait_for_images(job_id, labelled)
        running.kill("workers.child")
    check_whole(running, job_id, reference)


def test_kill_9_in_the_pilot(running: Running, reference: Reference) -> None:
    job_id = running.submit(reference.files, seed=next(SEEDS))
    wait_until(lambda: running.job(job_id)["status"] == "running", 30, "the pilot runs")
    running.kill("workers.child")
    check_whole(running, job_id, reference)


def test_broker_loses_its_data(running: Running, reference: Reference) -> None:
    job_id = under_way(running, reference)
    redis.Redis.from_url(running.broker_url).flushall()
    check_whole(running, job_id, reference)


def test_broker_is_killed_and_its_files_are_gone(running: Running, reference: Reference) -> None:
    job_id = under_way(running, reference)
    redis.Redis.from_url(running.broker_url).flushall()
    running.kill("valkey-server")
    check_whole(running, job_id, reference)


def test_sigterm_gives_the_chunk_back_without_blame(running: Running, reference: Reference) -> None:
    """A signal may come just between two chunks, when nothing is to be given back: then again."""
    for _ in range(5):
        before = len(running.log())
        job_id = under_way(running, reference)
        wait_until(lambda: running.processes("workers.child"), 30, "a worker runs")[0].terminate()
        check_whole(running, job_id, reference)
        if "chunk given back" in running.log()[before:]:
            return
    raise AssertionError("no chunk was ever given back")


def test_a_hanging_worker_is_killed(running: Running, reference: Reference) -> None:
    job_id = under_way(running, reference)
    victim = running.processes("workers.child")[0]
    victim.suspend()
    wait_until(lambda: not victim.is_running() or victim.status() == "zombie", 30, "killed")
    check_whole(running, job_id, reference)


@pytest.mark.slow
def test_an_idle_worker_that_hangs_is_killed(running: Running, reference: Reference) -> None:
    """It may have been stopped in the middle of a transaction, and then nobody else can write."""
    job_id = running.submit(reference.files, seed=next(SEEDS))
    check_whole(running, job_id, reference)
    time.sleep(1)  # past the message that the job's last chunk was still under way
    victim = running.processes("workers.child")[0]
    victim.suspend()
    wait_until(lambda: not victim.is_running() or victim.status() == "zombie", 30, "killed")
    check_whole(running, running.submit(reference.files, seed=next(SEEDS)), reference)


def test_the_whole_service_stops_and_starts(running: Running, reference: Reference) -> None:
    job_id = under_way(running, reference)
    assert running.stop() == 0
    running.start()
    check_whole(running, job_id, reference)


def test_the_supervisor_is_killed(running: Running, reference: Reference) -> None:
    job_id = under_way(running, reference)
    assert running.process is not None
    children = [p for m in ("workers", "service", "valkey") for p in running.processes(m)]
    running.process.kill()
    running.process.wait()
    wait_until(
        lambda: not any(p.is_running() and p.status() != "zombie" for p in children),
        40,
        "no orphan is left",
    )
    running.start()
    check_whole(running, job_id, reference)


def test_api_killed_after_an_upload_keeps_one_job_per_key(
    running: Running, reference: Reference
) -> None:
    key = {"Idempotency-Key": f"fault-{next(SEEDS)}"}
    seed = next(SEEDS)
    first = running.submit(reference.files, seed, **key)
    running.kill("-m service")
    second = running.submit(reference.files, seed, **key)
    assert first == second
    check_whole(running, first, reference)


def test_an_image_that_kills_its_worker_is_set_aside(
    running: Running, reference: Reference
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(image_array(99, 64, 64)).save(buffer, "JPEG", comment=b"deadly")
    files = {**reference.files, "deadly.jpg": buffer.getvalue()}
    job_id = running.submit(files, seed=next(SEEDS))
    job = running.wait_done(job_id)
    assert job["status"] == "partial"
    assert job["counts"]["failed"] == 1
    items = running.call("GET", f"/v1/jobs/{job_id}/items?status=failed").json()["items"]
    assert [i["external_id"] for i in items] == ["deadly.jpg"]
    assert items[0]["error"]["code"] == "worker-lost"
    assert running.label_bytes(job_id) == reference.labels


def stop_with_a_lease(running: Running, reference: Reference) -> tuple[str, psutil.Process]:
    """Start a job and stop a worker that holds a chunk of it, but not the catalog.

    One that is stopped between two chunks is none: its parent kills it when it falls silent.
    """
    for _ in range(20):
        job_id = under_way(running, reference)
        sleeper = running.processes("workers.child")[0]
        sleeper.suspend()
        if running.holds_a_chunk(sleeper.pid) and running.can_be_written():
            return job_id, sleeper
        sleeper.resume()
        running.wait_done(job_id)
    raise AssertionError("no worker was ever stopped with a chunk")


def test_an_old_lease_cannot_write(running: Running, reference: Reference) -> None:
    """A worker sleeps past its lease beside one that takes over, wakes up, and is refused."""
    assert running.stop() == 0
    running.environment |= {"SELVAGE_WORKERS": "2", "SELVAGE_MAX_ITEM_SECONDS": "60"}
    running.start()
    wait_until(lambda: len(running.processes("workers.child")) == 2, 30, "two workers")
    wait_until(lambda: running.call("GET", "/readyz").json()["workers"] >= 2, 60, "both are ready")
    before = len(running.log())
    job_id, sleeper = stop_with_a_lease(running, reference)
    job = running.wait_done(job_id)
    assert job["counts"]["succeeded"] == IMAGES
    sleeper.resume()
    time.sleep(2)
    assert "took chunks back" in running.log()[before:]
    check_whole(running, job_id, reference)
