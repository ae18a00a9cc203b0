"""Whose labels an export takes: resolved when it is asked for, walked page by page.

A page holds at most 500 labels, so that memory does not grow with their number. What an export is
asked for does not change between two walks: jobs that are done and label sets never change, and of
an image set only jobs count that are older than the export.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from api_schemas.exports import ExportFilters, ExportSource
from api_schemas.problems import FieldProblem, NotFound, StateConflict, ValidationProblem
from domain import job_states, jobs, label_sets, reviews
from domain.label_selection import LEAST_SHARE
from domain.models import reference_of
from storage.catalog import exports, image_sets
from storage.catalog import label_sets as label_set_rows
from storage.catalog.engine import Catalog
from storage.catalog.models import get_version
from storage.catalog.tables import JobRow, LabelRow, ModelVersionRow

PAGE_ROWS = 500


@dataclass(frozen=True)
class Resolved:
    """What an export works with.

    Attributes:
        ontology: the classes of its labels.
        expected: at most so many labels.
        origin: what made them, for people: a model, or a label set.
    """

    ontology: dict[str, Any]
    expected: int
    origin: str


@dataclass(frozen=True)
class ExportedLabel:
    """A label that may get in: files in the store, and figures. Of people's there are few."""

    external_id: str
    image_digest: str
    label_key: str
    confidence_key: str | None = None
    label_id: str | None = None
    quality: float | None = None
    coverage: float | None = None
    reviewed: bool = False


@dataclass(frozen=True)
class LeftOut:
    """A label that does not get in."""

    reason: str


Found = ExportedLabel | LeftOut


def resolve(session: Session, source: ExportSource) -> Resolved:
    """Return what the labels of a source are; they are kept from being deleted meanwhile.

    Raises:
        NotFound, Gone, StateConflict: it is unknown, deleted, or not done.
    """
    if source.label_set is not None:
        row = label_sets.get_label_set(session, source.label_set, to_refer=True)
        return Resolved(row.ontology, row.images, f"label set {row.name or row.id}")
    if source.image_set is not None:
        image_set = jobs.get_ready_set(session, source.image_set)
        job = exports.newest_labelling_job(session, image_set.id)
        if job is None:
            raise StateConflict(
                f"No finished job has given image set '{image_set.id}' labels. Start one: POST "
                "/v1/jobs with type `generate`."
            )
        version = _version_of(session, job)
        total = image_set.accepted + image_set.duplicate
        return Resolved(version.ontology, total, reference_of(version))
    job = jobs.get_job(session, source.job or "", to_refer=True)
    if job.type not in jobs.LABELLING_TYPES or not job_states.is_done(job):
        raise StateConflict(
            f"Job '{job.id}' is a {job.type} job in state {job.status}; labels are exported of "
            "generate and refine jobs that are done."
        )
    version = _version_of(session, job)
    return Resolved(version.ontology, job.succeeded, reference_of(version))


def check_classes(ontology: dict[str, Any], filters: ExportFilters) -> None:
    """Refuse a filter that names a class which the labels do not have.

    Raises:
        ValidationProblem: with the classes that there are.
    """
    names = [c["name"] for c in ontology["classes"]]
    unknown = [name for name in filters.classes or () if name not in names]
    if unknown:
        raise ValidationProblem(
            f"The labels have no class '{unknown[0]}'; they have {', '.join(names[:20])}.",
            errors=[FieldProblem(pointer="/filters/classes", detail="unknown class")],
        )


def _version_of(session: Session, job: JobRow) -> ModelVersionRow:
    version = get_version(session, job.model_version_id or "")
    if version is None:
        raise NotFound(f"The model of job '{job.id}' is gone.")
    return version


def walk(
    catalog: Catalog,
    source: ExportSource,
    filters: ExportFilters,
    ontology: dict[str, Any],
    before_job: str,
) -> Iterator[list[Found]]:
    """Yield the labels of a source in their order, page by page, with those left out."""
    names = [c["name"] for c in ontology["classes"]]
    wanted = None if filters.classes is None else [names.index(name) for name in filters.classes]
    judge = _Judge(catalog, names, filters, wanted)
    after = -1
    while True:
        with catalog.read() as session:
            if source.label_set is not None:
                after, rows = _of_label_set(session, source.label_set, after)
            elif source.image_set is not None:
                after, rows = _of_image_set(session, source.image_set, after, before_job)
                rows = _reviewed(session, rows, names)
            else:
                after, rows = _of_job(session, source.job or "", after)
                rows = _reviewed(session, rows, names)
        if not rows:
            return
        yield [judge.judge(row) for row in rows]


@dataclass(frozen=True)
class _Row:
    external_id: str
    image_digest: str | None
    label: LabelRow | None = None
    annotation_key: str | None = None
    reviewed: bool = False
    rejected: bool = False


def _reviewed(session: Session, rows: list[_Row], class_names: list[str]) -> list[_Row]:
    """Return the rows with what people stand behind in place of what jobs made of an image."""
    digests = sorted({row.image_digest for row in rows if row.image_digest})
    verdicts = reviews.verdicts(session, digests, class_names)
    found = []
    for row in rows:
        verdict = verdicts.get(row.image_digest or "")
        if verdict is not None and verdict.best is not None:
            row = replace(row, label=verdict.best, reviewed=True)
        elif verdict is not None and row.label and row.label.id in verdict.rejected:
            row = replace(row, rejected=True)
        found.append(row)
    return found


def _of_job(session: Session, job_id: str, after: int) -> tuple[int, list[_Row]]:
    page = label_set_rows.labels_of_job(session, job_id, after_position=after, limit=PAGE_ROWS)
    rows = [_Row(external_id, label.image_digest, label) for _, external_id, label in page]
    return (page[-1][0] if page else after), rows


def _of_label_set(session: Session, label_set_id: str, after: int) -> tuple[int, list[_Row]]:
    page = label_set_rows.list_entries(session, label_set_id, after_position=after, limit=PAGE_ROWS)
    rows = [
        _Row(e.row.external_id, e.row.image_digest, e.label, e.row.annotation_key, e.row.reviewed)
        for e in page
    ]
    return (page[-1].row.position if page else after), rows


def _of_image_set(
    session: Session, image_set_id: str, after: int, before_job: str
) -> tuple[int, list[_Row]]:
    page = image_sets.list_entries(session, image_set_id, after_position=after, limit=PAGE_ROWS)
    usable = [entry for entry in page if entry.image_digest is not None]
    digests = sorted({entry.image_digest for entry in usable if entry.image_digest})
    found = exports.newest_labels(session, image_set_id, digests, before_job)
    rows = [
        _Row(entry.external_id, entry.image_digest, found.get(entry.image_digest or ""))
        for entry in page
    ]
    return (page[-1].position if page else after), rows


class _Judge:
    """Decides which labels get in."""

    def __init__(
        self, catalog: Catalog, names: list[str], filters: ExportFilters, wanted: list[int] | None
    ) -> None:
        self._catalog = catalog
        self._names = names
        self._filters = filters
        self._wanted = wanted
        self._same_classes: dict[str, bool] = {}  # by model version: there are few

    def judge(self, row: _Row) -> Found:
        if row.annotation_key is not None and row.image_digest is not None:
            return ExportedLabel(
                row.external_id, row.image_digest, row.annotation_key, reviewed=True
            )
        label = row.label
        if label is None:
            return LeftOut("no-label")
        reason = self._against(row, label)
        if reason is not None:
            return LeftOut(reason)
        return ExportedLabel(
            external_id=row.external_id,
            image_digest=label.image_digest,
            label_key=label.artifacts["label.png"],
            confidence_key=label.artifacts.get("confidence.png"),
            label_id=label.id,
            quality=label.quality,
            coverage=label.coverage,
            reviewed=row.reviewed,
        )

    def _against(self, row: _Row, label: LabelRow) -> str | None:
        """Return why a label does not get in."""
        filters = self._filters
        if row.rejected:
            return "rejected"
        if filters.reviewed_only and not row.reviewed:
            return "not-reviewed"
        if not self._has_same_classes(label.model_version_id):
            return "other-classes"
        if not row.reviewed and (reason := self._too_poor(label)):
            return reason
        if self._wanted is not None and not self._shows_wanted(label):
            return "without-the-classes"
        return None

    def _too_poor(self, label: LabelRow) -> str | None:
        least = self._filters.min_quality
        if least is not None and (label.quality is None or label.quality < least):
            return "low-quality"
        return "low-coverage" if label.coverage < self._filters.min_coverage else None

    def _shows_wanted(self, label: LabelRow) -> bool:
        least = max(1.0, LEAST_SHARE * label.width_px * label.height_px)
        return any(label.class_pixels.get(str(c), 0) >= least for c in self._wanted or ())

    def _has_same_classes(self, version_id: str) -> bool:
        if version_id not in self._same_classes:
            with self._catalog.read() as session:
                version = get_version(session, version_id)
            names = [c["name"] for c in version.ontology["classes"]] if version else None
            self._same_classes[version_id] = names == self._names
        return self._same_classes[version_id]
