"""`Prefer: handling=strict`: one bad file fails the whole request."""

from sqlalchemy.orm import Session

from api_schemas.problems import FieldProblem, FilesRejected
from service import rendering
from service.preferences import Preferences
from storage.catalog import image_sets
from storage.catalog.tables import ImageSetRow

MAX_REASONS = 1000


def reasons(session: Session, row: ImageSetRow, limit: int = MAX_REASONS) -> list[FieldProblem]:
    """Return why files of a set were rejected, by their names in the set."""
    rejected = image_sets.list_entries(session, row.id, limit=limit, status="rejected")
    reports = [rendering.image_set_entry(entry, None) for entry in rejected]
    return [
        FieldProblem(pointer=r.external_id, detail=r.problem.detail if r.problem else "")
        for r in reports
    ]


def refuse_rejected(session: Session, row: ImageSetRow, preferences: Preferences) -> None:
    """Refuse a new set with rejected files if the client prefers that to a report.

    Raises:
        FilesRejected: with the reason for each; the caller's transaction keeps nothing.
    """
    if not preferences.is_strict or not row.rejected:
        return
    total = row.accepted + row.duplicate + row.rejected
    raise FilesRejected(
        f"{row.rejected} of {total} files cannot be used; `errors` says why. Nothing was created, "
        "as `Prefer: handling=strict` asks for. Leave them out, or prefer handling=lenient.",
        errors=reasons(session, row),
        headers=preferences.applied("handling"),
    )
