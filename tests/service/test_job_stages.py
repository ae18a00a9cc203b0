"""How the stages of a job are counted, before and after the join."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from api_schemas.pipelines import PipelineConfig
from service.rendering import _stages

CONFIG = PipelineConfig.model_validate({"aggregate": {}, "correct": {}})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # 3 of 10 wait for the join, one failed on the way there
        (
            {"succeeded": 0, "evidence_ready": 3, "stage_failed": {"aggregate": 1}},
            {"predict": (4, 0), "select": (4, 0), "aggregate": (3, 1), "correct": (0, 0)},
        ),
        # all through: one has failed at each of two stages
        (
            {"succeeded": 7, "evidence_ready": 8, "stage_failed": {"predict": 2, "correct": 1}},
            {"predict": (8, 2), "select": (8, 0), "aggregate": (8, 0), "correct": (7, 1)},
        ),
        # one pass
        (
            {"succeeded": 5, "evidence_ready": 0, "stage_failed": {"correct": 1}},
            {"predict": (6, 0), "select": (6, 0), "aggregate": (6, 0), "correct": (5, 1)},
        ),
    ],
)
def test_an_image_is_done_with_the_stages_before_the_one_it_fails_at(
    row: dict[str, Any], expected: dict[str, tuple[int, int]]
) -> None:
    found = _stages(cast(Any, SimpleNamespace(**row)), CONFIG)
    assert {s.name: (s.done, s.failed) for s in found} == expected
