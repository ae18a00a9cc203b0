import json
import secrets
import traceback
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from selvage_client import requests
from selvage_client.calls import Moment, moment
from selvage_client.errors import InvalidInput
from selvage_client.requests.pipelines import pipeline_json

from api_schemas.image_sets import UploadSource
from api_schemas.pipelines import PipelineConfig
from tests.client.fake_service import ANNOTATION_SET_ID, SET_ID


@pytest.mark.parametrize(
    ("pipeline", "sent"),
    [
        ({"select": None}, {"select": None}),
        ({"predict": {"flip": True}}, {"predict": {"flip": True}}),
        (PipelineConfig(), {}),
        (PipelineConfig(seed=3), {"seed": 3}),
    ],
)
def test_a_pipeline_is_sent_as_far_as_it_is_given(
    pipeline: requests.Pipeline, sent: dict[str, Any]
) -> None:
    assert pipeline_json(pipeline) == sent


def test_a_wrong_pipeline_names_its_fields() -> None:
    with pytest.raises(InvalidInput) as caught:
        pipeline_json({"predict": {"scales": []}, "typo": 1})
    assert [error.pointer for error in caught.value.problem.errors] == ["/predict/scales", "/typo"]
    assert "/typo" in str(caught.value)


def test_what_is_not_given_is_left_to_the_service() -> None:
    request = requests.jobs.generate(SET_ID, "demo", None, {"priority": 5, "metadata": None})
    call = requests.jobs.create_job(request, "k")
    assert call.json == {"type": "generate", "image_set": SET_ID, "model": "demo", "priority": 5}
    assert call.headers == {"Idempotency-Key": "k"}


def test_an_evaluate_job_may_have_a_pipeline() -> None:
    request = requests.jobs.evaluate(ANNOTATION_SET_ID, None, "demo:1", {"select": None}, {})
    assert requests.jobs.create_job(request, None).json == {
        "type": "evaluate",
        "annotation_set": ANNOTATION_SET_ID,
        "model": "demo:1",
        "pipeline": {"select": None},
    }


def test_a_wrong_job_is_not_sent() -> None:
    with pytest.raises(InvalidInput, match="image_set"):
        requests.jobs.create_job(requests.jobs.adapt("nonsense", "demo", {}), None)


def test_every_post_has_a_key_of_its_own() -> None:
    keys = {requests.jobs.cancel("job_1").headers["Idempotency-Key"] for _ in range(3)}
    assert len(keys) == 3


def test_ids_cannot_leave_their_place_in_the_path() -> None:
    assert requests.jobs.job("../models?x#y").path == "/v1/jobs/..%2Fmodels%3Fx%23y"
    assert requests.labels.artifact("lab_1", "stages/predict.png").path == (
        "/v1/labels/lab_1/artifacts/stages/predict.png"
    )


def test_an_upload_states_its_length_and_fields() -> None:
    call = requests.images.pseudo_labels(
        [],
        model="demo",
        pipeline={"keep_stages": True},
        metadata={"run": "7"},
        name="night",
        priority=3,
        idempotency_key=None,
        on_bytes=None,
    )
    assert call.body is not None
    assert call.headers["Content-Length"] == str(len(b"".join(call.body)))
    text = b"".join(call.body).decode()
    for value in ("demo", json.dumps({"keep_stages": True}), json.dumps({"run": "7"}), "night"):
        assert f"\r\n\r\n{value}\r\n" in text


def test_pages_follow_their_token() -> None:
    listing = requests.jobs.jobs("running", None)
    assert listing.page(None).params == {"page_size": 200, "status": "running"}
    assert listing.page("t").params == {"page_size": 200, "status": "running", "page_token": "t"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, None),
        ("2026-11-20T02:00:00Z", "2026-11-20T02:00:00Z"),
        (datetime(2026, 11, 20, 2, tzinfo=timezone(timedelta(hours=1))), "2026-11-20T01:00:00Z"),
    ],
)
def test_times_are_sent_with_their_zone(given: Moment | None, sent: str | None) -> None:
    assert moment("schedule_at", given) == sent


def test_a_timedelta_counts_from_now() -> None:
    sent = moment("deadline_at", timedelta(hours=2))
    assert sent is not None
    ahead = datetime.fromisoformat(sent) - datetime.now(UTC)
    assert timedelta(minutes=119) < ahead <= timedelta(hours=2)


def test_a_time_without_a_zone_is_refused() -> None:
    request = requests.jobs.generate(SET_ID, "demo", None, {"deadline_at": datetime(2026, 1, 1)})
    with pytest.raises(InvalidInput, match="deadline_at has no time zone"):
        requests.jobs.create_job(request)


def test_a_secret_is_in_no_repr_and_no_traceback() -> None:
    config = {"base_url": "https://data.example.com/"}
    secret = secrets.token_hex()
    call = requests.connections.create("web", "http", config, {"bearer_token": secret})
    assert call.json["secrets"] == {"bearer_token": secret}
    assert secret not in repr(call)
    with pytest.raises(InvalidInput, match="/secrets") as caught:
        requests.connections.create("web", "http", config, {"wrong_name": secret})
    assert secret not in "".join(traceback.format_exception(caught.value))


def test_a_source_is_sent_as_far_as_it_is_given() -> None:
    source = {"type": "s3_prefix", "connection": "lab", "prefix": "n/", "max_files": 3}
    assert requests.images.create_image_set_from(source).json == {"source": source}
    model = UploadSource(type="upload", upload="upl_01J9Z3N6V1QG8T2B4C5D6E7F8G")
    call = requests.images.create_image_set_from(model, name="night")
    assert call.json == {"name": "night", "source": model.model_dump()}
    with pytest.raises(InvalidInput, match="/source"):
        requests.images.create_image_set_from({"type": "urls"})
