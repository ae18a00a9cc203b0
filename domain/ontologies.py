"""Use-cases of ontologies: store one, find one."""

from sqlalchemy.orm import Session

from api_schemas.ids import new_id
from api_schemas.ontologies import OntologyEntry, ontology_digest
from api_schemas.problems import NotFound
from storage.catalog import ontologies
from storage.catalog.tables import LOCAL, OntologyRow


def create(
    session: Session, name: str, classes: tuple[OntologyEntry, ...], created_by: str = LOCAL
) -> tuple[OntologyRow, bool]:
    """Store an ontology; returns the row that stands for this content and whether it is new."""
    digest = ontology_digest(name, classes)
    values = {
        "id": new_id("ont"),
        "name": name,
        "digest": digest,
        "document": {"name": name, "classes": [c.model_dump(mode="json") for c in classes]},
        "created_by": created_by,
    }
    is_new = ontologies.add_ontology(session, values)
    row = ontologies.find_ontology(session, digest)
    if row is None:
        raise LookupError(f"ontology {digest} vanished")
    return row, is_new


def get_ontology(session: Session, ontology_id: str) -> OntologyRow:
    """Return an ontology.

    Raises:
        NotFound: with what to do.
    """
    row = ontologies.get_ontology(session, ontology_id)
    if row is None:
        raise NotFound(f"There is no ontology '{ontology_id[:80]}'. List them: GET /v1/ontologies.")
    return row
