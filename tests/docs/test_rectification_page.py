"""docs/rectification.md: its command works, its table names the settings that exist."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from api_schemas.jobs import JobCreate
from api_schemas.labels import Rectified
from api_schemas.pipelines import PipelineConfig, RectifyConfig
from tests.docs.source_block import ROOT, facts_after

PAGE = (ROOT / "docs" / "rectification.md").read_text()


@pytest.mark.slow
def test_the_command_makes_a_version_with_a_rectifier(tmp_path: Path) -> None:
    assert facts_after(PAGE, tmp_path)["has_rectifier"] is True


def test_every_setting_is_explained_with_its_default() -> None:
    for name, field in RectifyConfig.model_fields.items():
        said = re.search(rf"\| `{name}` \| `?(\w+)`? \|", PAGE)
        assert said is not None, name
        assert said[1] == str(field.default).lower(), name


def test_the_documents_of_the_page_are_valid() -> None:
    (pipeline,) = re.findall(r"`(\{\"rectify\": \{\}, .*?\})`", PAGE)
    assert PipelineConfig.model_validate_json(pipeline).rectify == RectifyConfig()
    job, record = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert TypeAdapter(JobCreate).validate_json(job).type == "fit_rectifier"
    (rectified,) = re.findall(r"\"rectified\": (\{.*?\})", record)
    Rectified.model_validate_json(rectified)


def test_nothing_promises_a_reproduction() -> None:
    assert "IR2F-style reconstruction" in PAGE
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    code = (ROOT / "models" / "rectification").glob("*.py")
    for path in (*pages, *code):
        text = path.read_text().lower()
        for paragraph in text.split("\n\n"):
            assert not ("ir2f" in paragraph and "reproduc" in paragraph), path
