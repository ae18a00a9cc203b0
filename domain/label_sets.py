"""Use-cases of label sets: freeze a selection of labels, read it again.

Freezing takes several transactions of at most 500 rows: the set is opened, its entries are
written, and the last one makes it ready. Who dies in between leaves a set that nobody sees;
retention removes it, or who froze it for a round takes it over. A label that is in a set is kept
by it, whatever becomes of its job.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.label_sets import MAX_LABELS, LabelSelection, LabelSetCreate
from api_schemas.problems import (
    EmptySelection,
    FieldProblem,
    Gone,
    NotFound,
    OntologyMismatch,
    StateConflict,
    ValidationProblem,
)
from domain import job_states, jobs, label_selection, reviews
from domain.annotated_jobs import get_set
from domain.label_selection import Candidate
from storage.catalog import label_sets
from storage.catalog.annotations import list_annotations
from storage.catalog.engine import Catalog, db_now
from storage.catalog.label_sets import Entry
from storage.catalog.locks import hold
from storage.catalog.models import get_version
from storage.catalog.tables import LOCAL, JobRow, LabelRow, LabelSetRow

BATCH_ROWS: Final = 500
Finish = Callable[[Session, LabelSetRow], None]


class LabelsMissing(StateConflict):
    code, title = "labels-missing", "Labels of the set were deleted"


def get_label_set(session: Session, label_set_id: str, *, to_refer: bool = False) -> LabelSetRow:
    """Return a label set that is ready; `to_refer` keeps it from being deleted meanwhile.

    Raises:
        NotFound: unknown, or not frozen to its end.
        Gone: it was deleted.
    """
    row = label_sets.get_label_set(session, label_set_id)
    if row is None or row.status != "ready":
        raise NotFound(f"There is no label set '{label_set_id}'. List them: GET /v1/label-sets.")
    if to_refer:
        hold(session, row)
    if row.deleted_at is not None:
        raise Gone(f"Label set '{label_set_id}' was deleted. Freeze another: POST /v1/label-sets.")
    return row


def require_whole(session: Session, label_set_id: str) -> LabelSetRow:
    """Return a label set, kept from being deleted, none of whose labels is missing.

    Raises:
        NotFound, Gone: see `get_label_set`.
        LabelsMissing: some of its labels were deleted by force: its digest is true no more.
    """
    row = get_label_set(session, label_set_id, to_refer=True)
    missing = label_sets.count_missing(session, row.id)
    if missing:
        raise LabelsMissing(
            f"{missing} labels of label set '{row.id}' were deleted. Freeze another set: POST "
            "/v1/label-sets."
        )
    return row


def entries_of(
    session: Session, label_set_id: str, *, after_position: int = -1, limit: int = BATCH_ROWS
) -> list[Entry]:
    """Return entries in their order, each with its label row, or none if it is by people."""
    return label_sets.list_entries(
        session, label_set_id, after_position=after_position, limit=limit
    )


def create(catalog: Catalog, request: LabelSetCreate, created_by: str, finish: Finish) -> str:
    """Freeze a selection; returns the id of the set.

    Args:
        finish: called in the transaction that makes the set ready.

    Raises:
        ProblemError: unknown or unfinished jobs, another purpose, classes that differ, no label.
    """
    with catalog.write() as session:
        row = open_set(session, request, created_by)
    try:
        fill(catalog, row.id, row.freezer, finish)
    except BaseException:
        _forget(catalog, row.id, row.freezer)
        raise
    return row.id


def open_set(
    session: Session, request: LabelSetCreate, created_by: str = LOCAL, made_for: str | None = None
) -> LabelSetRow:
    """Insert a set without entries, which nobody sees yet; jobs and annotations are checked.

    Raises:
        ProblemError: see `create`.
    """
    ontology = _ontology_of(session, request)
    names = [c["name"] for c in ontology["classes"]]
    unknown = [name for name in request.selection.classes or () if name not in names]
    if unknown:
        raise ValidationProblem(
            f"The labels have no class '{unknown[0]}'; they have {', '.join(names)}.",
            errors=[FieldProblem(pointer="/selection/classes", detail="unknown class")],
        )
    now = session.scalar(select(db_now())) or 0.0
    row = LabelSetRow(
        id=new_id("lbs"),
        name=request.name,
        status="freezing",
        freezer=new_id("req"),
        ontology=ontology,
        jobs=list(request.jobs),
        annotation_set_id=request.annotation_set,
        selection=request.selection.model_dump(mode="json"),
        images=0,
        reviewed=0,
        class_pixels={},
        class_images={},
        made_for=made_for,
        touched_at=now,
        created_at=now,
        created_by=created_by,
    )
    label_sets.add_label_set(session, row)
    return row


def take_over(catalog: Catalog, label_set_id: str) -> str:
    """Begin again with a set whose freezing was cut off; returns the new freezer."""
    freezer = new_id("req")
    with catalog.write() as session:
        row = label_sets.lock_label_set(session, label_set_id)
        if row is not None and row.status == "freezing":
            row.freezer = freezer
    while True:
        with catalog.write() as session:
            _require_mine(session, label_set_id, freezer)
            if not label_sets.clear_some_entries(session, label_set_id):
                return freezer


def fill(catalog: Catalog, label_set_id: str, freezer: str, finish: Finish) -> None:
    """Choose the labels of an open set, write them batch by batch, and make the set ready.

    Raises:
        EmptySelection: no label is left.
        ValidationProblem: too many.
        StateConflict: somebody else has taken the set over.
    """
    with catalog.read() as session:
        row = label_sets.get_label_set(session, label_set_id)
        if row is None:
            raise NotFound(f"There is no label set '{label_set_id}'.")
        chosen = _choose(session, row)
    kept: list[Candidate] = []
    for start in range(0, len(chosen), BATCH_ROWS):
        batch = chosen[start : start + BATCH_ROWS]
        with catalog.write() as session:
            _require_mine(session, label_set_id, freezer)
            live = label_sets.hold_labels(session, [c.label_id for c in batch if c.label_id])
            found = [c for c in batch if c.label_id is None or c.label_id in live]
            rows = [_entry(len(kept) + i, candidate) for i, candidate in enumerate(found)]
            label_sets.add_entries(session, label_set_id, rows)
            label_sets.touch(session, label_set_id)
        kept += found
    if not kept:
        raise EmptySelection(
            "No label of these jobs meets the selection. Lower min_quality or min_coverage, name "
            "more classes, or keep more pixels with the stage `select` of the pipeline."
        )
    with catalog.write() as session:
        row = _require_mine(session, label_set_id, freezer)
        _make_ready(row, kept)
        session.flush()
        finish(session, row)


def _make_ready(row: LabelSetRow, kept: Sequence[Candidate]) -> None:
    names = [c["name"] for c in row.ontology["classes"]]
    figures = asdict(label_selection.figures_of(kept))
    for name in ("class_pixels", "class_images"):
        figures[name] = {names[index]: n for index, n in figures[name].items()}
    for name, value in figures.items():
        setattr(row, name, value)
    row.digest = label_selection.digest_of(names, kept)
    row.status = "ready"


def _entry(position: int, candidate: Candidate) -> dict[str, Any]:
    return {
        "position": position,
        "external_id": candidate.external_id,
        "image_digest": candidate.image_digest,
        "label_id": candidate.label_id,
        "annotation_key": candidate.annotation_key,
        "weight": candidate.weight,
        "reviewed": candidate.reviewed,
    }


def _require_mine(session: Session, label_set_id: str, freezer: str) -> LabelSetRow:
    row = label_sets.lock_label_set(session, label_set_id)
    if row is None or row.status != "freezing" or row.freezer != freezer:
        raise StateConflict(f"Label set '{label_set_id}' is being frozen by somebody else.")
    return row


def _forget(catalog: Catalog, label_set_id: str, freezer: str) -> None:
    with catalog.write() as session:
        row = label_sets.lock_label_set(session, label_set_id)
        if row is not None and row.status == "freezing" and row.freezer == freezer:
            row.deleted_at = session.scalar(select(db_now()))


def _choose(session: Session, row: LabelSetRow) -> list[Candidate]:
    selection = LabelSelection.model_validate(row.selection)
    names = [c["name"] for c in row.ontology["classes"]]
    wanted = [names.index(name) for name in selection.classes] if selection.classes else None
    found: dict[str, Candidate] = {}
    for job_id in row.jobs:
        for candidate in _labels_of_job(session, job_id):
            found[candidate.image_digest] = candidate
    found = _reviewed(session, found, names, selection.reviewed_weight)
    if row.annotation_set_id is not None:
        weight = selection.reviewed_weight
        for candidate in _annotations(session, row.annotation_set_id, weight):
            found[candidate.image_digest] = candidate
    chosen = label_selection.select(found.values(), selection, wanted)
    if len(chosen) > MAX_LABELS:
        raise ValidationProblem(
            f"The selection has {len(chosen)} labels; a set holds at most {MAX_LABELS}. Give "
            "selection.max_images."
        )
    return chosen


def _labels_of_job(session: Session, job_id: str) -> list[Candidate]:
    found: list[Candidate] = []
    after = -1
    while page := label_sets.labels_of_job(session, job_id, after_position=after, limit=BATCH_ROWS):
        found += [_candidate(external_id, label) for _, external_id, label in page]
        after = page[-1][0]
        session.expunge_all()  # a job may have any number of labels
    return found


def _candidate(external_id: str, label: LabelRow) -> Candidate:
    return Candidate(
        external_id=external_id,
        image_digest=label.image_digest,
        content=label.digest,
        label_id=label.id,
        quality=label.quality,
        coverage=label.coverage,
        pixels=label.width_px * label.height_px,
        class_pixels={int(index): n for index, n in label.class_pixels.items() if n},
    )


def _reviewed(
    session: Session, found: dict[str, Candidate], class_names: list[str], weight: float
) -> dict[str, Candidate]:
    """Return the candidates with what people stand behind in place of what jobs made of an image,
    and without what people refused.
    """
    kept: dict[str, Candidate] = {}
    digests = list(found)
    for start in range(0, len(digests), BATCH_ROWS):
        batch = digests[start : start + BATCH_ROWS]
        verdicts = reviews.verdicts(session, batch, class_names)
        for digest in batch:
            candidate, verdict = found[digest], verdicts.get(digest)
            if verdict is None:
                kept[digest] = candidate
            elif verdict.best is not None:
                best = _candidate(candidate.external_id, verdict.best)
                kept[digest] = replace(best, reviewed=True, weight=weight)
            elif candidate.label_id not in verdict.rejected:
                kept[digest] = candidate
    return kept


def _annotations(session: Session, annotation_set_id: str, weight: float) -> list[Candidate]:
    found: list[Candidate] = []
    after = -1
    while page := list_annotations(session, annotation_set_id, after_position=after):
        found += [
            Candidate(
                external_id=annotation.external_id,
                image_digest=annotation.image_digest,
                content=annotation.object_key,
                annotation_key=annotation.object_key,
                weight=weight,
                reviewed=True,
            )
            for annotation in page
        ]
        after = page[-1].position
    return found


def _ontology_of(session: Session, request: LabelSetCreate) -> dict[str, Any]:
    """Return the classes of all sources, which must be the same in the same order."""
    found: list[tuple[str, dict[str, Any]]] = []
    for job_id in request.jobs:
        job = jobs.get_job(session, job_id, to_refer=True)
        found.append((f"job '{job_id}'", _ontology_of_job(session, job)))
    if request.annotation_set is not None:
        labels = get_set(session, request.annotation_set, "initial", "Label sets are frozen from")
        found.append((f"annotation set '{labels.id}'", labels.ontology))
    first, ontology = found[0]
    names = [c["name"] for c in ontology["classes"]]
    for other, another in found[1:]:
        others = [c["name"] for c in another["classes"]]
        if others != names:
            raise OntologyMismatch(
                f"The classes of {first} ({', '.join(names)}) are not those of {other} in the same "
                f"order ({', '.join(others)}). A label set has one list of classes."
            )
    return ontology


def _ontology_of_job(session: Session, job: JobRow) -> dict[str, Any]:
    if job.type not in jobs.LABELLING_TYPES or not job_states.is_done(job):
        raise StateConflict(
            f"Job '{job.id}' is a {job.type} job in state {job.status}; a label set is frozen from "
            "generate or refine jobs that are done."
        )
    version = get_version(session, job.model_version_id or "")
    if version is None:
        raise NotFound(f"The model of job '{job.id}' is gone.")
    return version.ontology
