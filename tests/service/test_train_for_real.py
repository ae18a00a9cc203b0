"""Trainings with the process that really trains, from the request to a label of the new model."""

from typing import Any

import pytest

from tests.support.api import get_job, post_images
from tests.support.images import png_bytes
from tests.support.installation import Installation
from tests.support.trainings import freeze, start_training, train, trained_on_source
from workers.training import chunk
from workers.training.process import TrainerProcess

QUICK: dict[str, Any] = {
    "crop_hw": [48, 64],
    "batch_size": 2,
    "statistics_images": 4,
    "checkpoint_every_steps": 2,
}


def test_from_a_label_set_to_a_label_of_the_new_model(tiny_site: Installation) -> None:
    site = tiny_site
    object.__setattr__(site.settings, "training_module", "models.adaptation")
    object.__setattr__(site.settings, "training_threads", 1)
    job = trained_on_source(site, recipe=QUICK, steps=3, promote=True)
    assert job["status"] == "succeeded", job["error"]
    assert job["result"]["model"] == "tiny:2"
    assert job["training"]["step"] == 3
    assert set(job["training"]["figures"]["pseudo_iou"]) <= {"road", "sky", "car"}
    assert job["training"]["losses"]
    created = post_images(site, {"a.png": png_bytes(7, 48, 64)}, model="tiny")
    site.settle()
    labelled = get_job(site, created["job"]["id"])
    assert (labelled["status"], labelled["model"]) == ("succeeded", "tiny:2")


@pytest.mark.parametrize("recipe", [{"terms": {"no-such-term": {"weight": 1.0}}}])
def test_what_only_the_process_knows(tiny_site: Installation, recipe: dict[str, Any]) -> None:
    object.__setattr__(tiny_site.settings, "training_module", "models.adaptation")
    job = trained_on_source(tiny_site, recipe={**QUICK, **recipe}, steps=3)
    assert (job["status"], job["error"]["code"]) == ("failed", "bad-spec")
    assert "no-such-term" in job["error"]["detail"]


@pytest.mark.slow
def test_killed_after_a_checkpoint_it_ends_with_the_same_bytes(
    tiny_site: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tiny_site
    object.__setattr__(site.settings, "training_module", "models.adaptation")
    object.__setattr__(site.settings, "training_threads", 1)
    asked: dict[str, Any] = {"label_set": freeze(site), "recipe": QUICK, "steps": 9}
    calm = train(site, **asked)
    assert calm["status"] == "succeeded", calm["error"]
    killed: list[int | None] = []

    class Mortal(TrainerProcess):
        """Dies once, as soon as it has left a checkpoint."""

        def exit_code(self) -> int | None:
            found = super().exit_code()
            if not killed and site.training.run_folder(job["id"]).whole_checkpoints():
                killed.append(found)
                self.kill()
            return found

    monkeypatch.setattr(chunk, "TrainerProcess", Mortal)
    job = start_training(site, **asked)
    site.settle()
    assert killed == [None]  # it ran when it was killed
    done = get_job(site, job["id"])
    assert done["status"] == "succeeded", done["error"]
    assert done["result"]["model"] == calm["result"]["model"]
