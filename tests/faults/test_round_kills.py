"""A scheduler that is killed in the middle of a campaign: no step has two jobs, none is lost."""

from functools import partial
from typing import Any

import pytest

from tests.faults.running import Running, wait_until
from tests.support.images import jpeg_bytes

RECIPE = {"crop_hw": [32, 48], "batch_size": 1, "statistics_images": 2}
LONG_SECONDS = 180


def start(running: Running) -> str:
    files = [("files", (f"{i}.jpg", jpeg_bytes(900 + i, 120, 160))) for i in range(6)]
    target = running.call("POST", "/v1/image-sets", files=files).json()["id"]
    body = {"model": "tiny", "target": target, "setting": "source_free", "rounds": 2, "steps": 4,
            "pipeline": {"select": None}, "recipe": RECIPE,
            "gates": {"max_class_share": 1.0, "max_collapsed_classes": 255,
                      "max_label_drift": 1.0}}  # fmt: skip
    answer = running.call("POST", "/v1/campaigns", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def get(running: Running, campaign: str, path: str = "") -> Any:
    return running.call("GET", f"/v1/campaigns/{campaign}{path}").json()


def at_step(running: Running, campaign: str, number: int, step: str) -> bool:
    """Whether a campaign has come to a step, or is beyond it."""
    found = get(running, campaign)
    if found["done"]:
        return True
    progress = found["progress"]
    return bool((progress["round"], progress["step"]) == (number, step))


@pytest.mark.timeout(900)
def test_kill_9_of_the_scheduler_at_every_job(running: Running) -> None:
    campaign = start(running)
    for number, step in (
        (1, "adapt"), (1, "generate"), (1, "train"), (2, "generate"), (2, "train"),
    ):  # fmt: skip
        wait_until(partial(at_step, running, campaign, number, step), LONG_SECONDS, step)
        running.kill("workers.scheduler")
    wait_until(
        lambda: get(running, campaign)["done"], LONG_SECONDS, f"the end\n{running.log()[-3000:]}"
    )
    ended = get(running, campaign)
    assert ended["status"] == "succeeded", ended["reason"]
    rounds = get(running, campaign, "/rounds")["rounds"]
    assert [one["status"] for one in rounds] == ["promoted", "promoted"]
    named = [step["job"] for one in rounds for step in one["steps"] if step["job"]]
    query = {"filter": f"metadata.campaign={campaign}"}
    made = running.call("GET", "/v1/jobs", params=query).json()["jobs"]
    assert sorted(named) == sorted(job["id"] for job in made)
    assert len(named) == 5
    assert all(job["status"] == "succeeded" for job in made)
    sets = running.call("GET", "/v1/label-sets").json()["label_sets"]
    mine = sorted(one["round"] for one in sets if one["campaign"] == campaign)
    assert mine == [1, 2]
