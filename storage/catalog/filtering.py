"""Comparisons of a filter as conditions of a query. Values are always bound, never part of SQL."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Any, Final

from sqlalchemy import ColumnElement, false, not_, select

from storage.catalog.tables import ImageSetEntryRow, JobItemRow, JobRow, ModelVersionRow

Value = str | float


@dataclass(frozen=True)
class Comparison:
    """`field operator value`; `key` is what follows the dot of `metadata.ticket`."""

    field: str
    operator: str
    value: Value
    key: str | None = None


Condition = Callable[[Comparison], ColumnElement[bool]]
_ORDERINGS: Final[dict[str, Callable[[Any, Any], Any]]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def compare(column: Any, comparison: Comparison) -> ColumnElement[bool]:
    """Compare a column; a row without a value is unequal to every value, and never ordered."""
    if comparison.operator == "=":
        equal: ColumnElement[bool] = column == comparison.value
        return equal
    if comparison.operator == "!=":
        unequal: ColumnElement[bool] = column.is_distinct_from(comparison.value)
        return unequal
    ordered: ColumnElement[bool] = _ORDERINGS[comparison.operator](column, comparison.value)
    return ordered


def _column(column: Any) -> Condition:
    return lambda comparison: compare(column, comparison)


def _in_document(column: Any) -> Condition:
    return lambda comparison: compare(column[comparison.key].as_string(), comparison)


def _error_code(column: Any) -> Condition:
    return lambda comparison: compare(column["code"].as_string(), comparison)


def _model(comparison: Comparison) -> ColumnElement[bool]:
    """`name` is any version of the model, `name:7` that one."""
    name, _, number = str(comparison.value).partition(":")
    found = select(ModelVersionRow.id).where(ModelVersionRow.model_name == name)
    if number:
        known = number.isascii() and number.isdigit() and len(number) < 10
        found = found.where(ModelVersionRow.version == int(number) if known else false())
    matches = JobRow.model_version_id.in_(found)
    if comparison.operator == "=":
        return matches
    return not_(matches) | JobRow.model_version_id.is_(None)


JOB_CONDITIONS: Final[Mapping[str, Condition]] = {
    "status": _column(JobRow.status),
    "type": _column(JobRow.type),
    "image_set": _column(JobRow.image_set_id),
    "model": _model,
    "pipeline": _column(JobRow.pipeline_name),
    "schedule": _column(JobRow.schedule_id),
    "retry_of": _column(JobRow.retry_of),
    "created_by": _column(JobRow.created_by),
    "priority": _column(JobRow.priority),
    "created_at": _column(JobRow.created_at),
    "started_at": _column(JobRow.started_at),
    "finished_at": _column(JobRow.finished_at),
    "metadata": _in_document(JobRow.job_metadata),
    "error": _error_code(JobRow.error),
}
ITEM_CONDITIONS: Final[Mapping[str, Condition]] = {
    "status": _column(JobItemRow.status),
    "external_id": _column(JobItemRow.external_id),
    "quality": _column(JobItemRow.quality),
    "attempts": _column(JobItemRow.attempts),
    "error": _error_code(JobItemRow.error),
}
ENTRY_CONDITIONS: Final[Mapping[str, Condition]] = {
    "status": _column(ImageSetEntryRow.status),
    "external_id": _column(ImageSetEntryRow.external_id),
    "file_name": _column(ImageSetEntryRow.file_name),
    "image_digest": _column(ImageSetEntryRow.image_digest),
    "problem": _error_code(ImageSetEntryRow.problem),
}


def conditions_of(
    comparisons: list[Comparison], known: Mapping[str, Condition]
) -> list[ColumnElement[bool]]:
    """Return the conditions that a row has to meet, all of them."""
    return [known[comparison.field](comparison) for comparison in comparisons]
