"""Models and their versions: what can be asked for."""

from typing import Annotated

from fastapi import APIRouter, Path

from api_schemas.models import Model, ModelPage, ModelVersion, ModelVersionPage
from domain import models as use_cases
from service import rendering
from service.paging import PageSize, PageToken, decode_token, encode_token
from service.path_types import VERSION
from service.state import State
from storage.catalog import models

router = APIRouter(prefix="/v1/models", tags=["models"])
VersionNumber = Annotated[int, Path(ge=1, le=999_999_999)]


@router.get("", summary="List models by name")
def list_models(state: State, page_size: PageSize = 100, page_token: PageToken = None) -> ModelPage:
    with state.catalog.read() as session:
        rows = models.list_models(session, decode_token(page_token), page_size + 1)
        page = rows[:page_size]
        found = [rendering.model(row, models.count_versions(session, row.name)) for row in page]
    more = len(rows) > page_size
    return ModelPage(models=found, next_page_token=encode_token(page[-1].name) if more else None)


@router.get("/{name}", summary="One model")
def get_model(name: str, state: State) -> Model:
    with state.catalog.read() as session:
        row = use_cases.get_model(session, name)
        return rendering.model(row, models.count_versions(session, name))


@router.get("/{name}/versions", summary="All versions of a model")
def list_versions(name: str, state: State) -> ModelVersionPage:
    with state.catalog.read() as session:
        use_cases.get_model(session, name)
        rows = models.list_versions(session, name)
    return ModelVersionPage(versions=[rendering.model_version(row) for row in rows])


@router.post(f"/{{name}}/versions/{VERSION}:promote", summary="Let the bare name mean this version")
def promote_version(name: str, number: VersionNumber, state: State) -> Model:
    row = use_cases.promote(state.catalog, name, number)
    with state.catalog.read() as session:
        return rendering.model(row, models.count_versions(session, name))


@router.get(f"/{{name}}/versions/{VERSION}", summary="One version of a model")
def get_version(name: str, number: VersionNumber, state: State) -> ModelVersion:
    with state.catalog.read() as session:
        return rendering.model_version(use_cases.get_version(session, name, number))
