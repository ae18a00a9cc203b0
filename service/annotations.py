"""Annotations: true labels in, as a zip of index PNGs, each set with its purpose."""

import hashlib
from typing import get_args

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from api_schemas.annotations import AnnotationEntry, AnnotationSet, AnnotationSetReport, Purpose
from api_schemas.ontologies import Ontology
from api_schemas.problems import (
    FieldProblem,
    Gone,
    InputProblem,
    NotFound,
    NoUsableImage,
    ValidationProblem,
)
from domain import annotations as use_cases
from domain import quotas
from domain.jobs import get_ready_set
from formats.archives import ArchiveMember, iter_zip_members
from formats.classes_json import OntologyFile, parse_classes_json
from formats.errors import InputRefused
from formats.index_png import decode_label_png, encode_label_png
from service import openapi, rendering
from service.idempotency import IdempotencyKey, Ticket, fingerprint_of
from service.principals import Caller, Principal
from service.state import ServiceState, State
from service.uploads import Upload, fingerprint, read_upload
from storage.catalog import image_sets
from storage.catalog.annotations import get_annotation_set
from storage.objects import annotation_key

router = APIRouter(prefix="/v1", tags=["annotations"])
CLASSES_FILE = "classes.json"


@router.post(
    "/image-sets/{image_set_id}/annotations",
    status_code=201,
    response_model=AnnotationSetReport,
    summary="Upload true labels: a zip of index PNGs and classes.json",
    openapi_extra=openapi.multipart_body(
        "file",
        many=False,
        fields={
            "purpose": openapi.PURPOSE_FIELD,
            "stored_ignore_value": openapi.IGNORE_FIELD,
        },
        required=["purpose"],
    ),
)
async def create_annotations(
    image_set_id: str,
    request: Request,
    state: State,
    caller: Caller,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """PNGs are matched to images by file stem. Labels of purpose `evaluation` never train."""
    fields = {"purpose", "stored_ignore_value"}
    async with read_upload(request, state, file_field="file", fields=fields) as upload:
        content = await fingerprint(upload)
        path = f"/v1/image-sets/{image_set_id}/annotations"
        ticket = Ticket(state, idempotency_key, fingerprint_of("POST", path, content))
        return await run_in_threadpool(_create, state, caller, image_set_id, upload, ticket)


@router.get("/annotation-sets/{annotation_set_id}", summary="One annotation set")
def get_annotations(annotation_set_id: str, state: State) -> AnnotationSet:
    with state.catalog.read() as session:
        row = get_annotation_set(session, annotation_set_id)
        if row is None:
            raise NotFound(f"There is no annotation set '{annotation_set_id[:80]}'.")
        if row.deleted_at is not None:
            raise Gone(f"Annotation set '{annotation_set_id}' was deleted. Upload it again.")
        return rendering.annotation_set(row)


def _create(
    state: ServiceState, caller: Principal, image_set_id: str, upload: Upload, ticket: Ticket
) -> Response:
    purpose = _purpose(upload)
    stored = ticket.replay()
    if stored is not None:
        return stored
    with ticket:
        with state.catalog.read() as session:
            get_ready_set(session, image_set_id)
            images = use_cases.images_by_stem(session, image_set_id)
        ontology = _classes(state, upload)
        ignore_value = _ignore_value(upload, ontology)
        reader = _Reader(state, images, ontology, ignore_value)
        for member in iter_zip_members(upload.files[0].file, state.archive_limits):
            if member.name.rsplit("/", 1)[-1] != CLASSES_FILE:
                reader.read(member)
        if not reader.accepted:
            raise NoUsableImage(
                "No file of the zip is a label of an image of this set; `errors` says why.",
                errors=[
                    FieldProblem(pointer=e.file_name, detail=e.problem.detail if e.problem else "")
                    for e in reader.entries[:100]
                ],
            )
        with state.catalog.write() as session:
            get_ready_set(session, image_set_id)  # again: it may have been deleted meanwhile
            row = use_cases.store(
                session,
                image_set_id=image_set_id,
                purpose=purpose,
                ontology=_wire(ontology).model_dump(mode="json"),
                annotations=reader.accepted,
                rejected=len(reader.entries) - len(reader.accepted),
                created_by=caller.id,
            )
            quotas.reserve_bytes(session, state.settings, caller.id, upload.size_bytes)
            rendered = rendering.annotation_set(row)
            report = AnnotationSetReport(**rendered.model_dump(), files=reader.entries)
            body = report.model_dump_json()
            location = f"/v1/annotation-sets/{row.id}"
            ticket.complete(session, 201, location, body)
    return Response(body, 201, {"Location": location}, media_type="application/json")


def _purpose(upload: Upload) -> str:
    purpose = upload.fields.get("purpose", "")
    if purpose not in get_args(Purpose):
        raise ValidationProblem(
            f"The form field 'purpose' must be one of {', '.join(get_args(Purpose))}.",
            errors=[FieldProblem(pointer="/purpose", detail="missing or unknown")],
        )
    if len(upload.files) != 1:
        raise ValidationProblem("Send exactly one zip in the part 'file'.")
    return purpose


def _classes(state: ServiceState, upload: Upload) -> OntologyFile:
    for member in iter_zip_members(upload.files[0].file, state.archive_limits):
        if member.name.rsplit("/", 1)[-1] == CLASSES_FILE:
            with member.open() as file:
                return parse_classes_json(file.read())
    raise ValidationProblem(
        "The zip has no classes.json. Add one that names the classes of the PNG values: "
        '{"classes": [{"id": 0, "name": "road"}, …]}'
    )


def _ignore_value(upload: Upload, ontology: OntologyFile) -> int:
    text = upload.fields.get("stored_ignore_value")
    if text is None:
        return ontology.stored_ignore_value
    if not (text.isascii() and text.isdigit() and int(text) <= 255):
        raise ValidationProblem("stored_ignore_value must be a number from 0 to 255.")
    if int(text) < len(ontology.classes):
        raise ValidationProblem(
            f"stored_ignore_value {text} is a class of classes.json. "
            "Give the value that means ignore."
        )
    return int(text)


def _wire(ontology: OntologyFile) -> Ontology:
    classes = [
        {"id": c.id, "name": c.name, "kind": c.kind, "color": c.color} for c in ontology.classes
    ]
    return Ontology.model_validate({"name": ontology.name, "classes": classes})


class _Reader:
    """Reads label PNGs, checks them against their image, and stores them with 255 = ignore."""

    def __init__(
        self,
        state: ServiceState,
        images: dict[str, tuple[str, str]],
        ontology: OntologyFile,
        ignore_value: int,
    ) -> None:
        self._state = state
        self._images = images
        self._ontology = ontology
        self._ignore_value = ignore_value
        self._taken: set[str] = set()
        self.entries: list[AnnotationEntry] = []
        self.accepted: list[tuple[str, str, str]] = []

    def read(self, member: ArchiveMember) -> None:
        try:
            external_id, digest, key = self._store(member)
        except InputRefused as error:
            problem = InputProblem(error.code, str(error)).problem()
            self.entries.append(
                AnnotationEntry(file_name=member.name, status="rejected", problem=problem)
            )
            return
        self.accepted.append((external_id, digest, key))
        self.entries.append(
            AnnotationEntry(file_name=member.name, external_id=external_id, status="accepted")
        )

    def _store(self, member: ArchiveMember) -> tuple[str, str, str]:
        external_id, digest = self._match(member.name)
        with member.open() as file:
            data = file.read()
        label = decode_label_png(
            data, self._state.image_limits, len(self._ontology.classes), self._ignore_value
        )
        with self._state.catalog.read() as session:
            image = image_sets.get_image(session, digest)
        if image is None or label.shape != (image.height_px, image.width_px):
            size = f"{image.width_px}×{image.height_px}" if image else "unknown"
            raise InputRefused(
                "label-invalid",
                f"The label is {label.shape[1]}×{label.shape[0]} pixels, its image {size} "
                "(upright). Export the label at the size of the image.",
            )
        normalised = encode_label_png(label, self._ontology.palette)
        key = annotation_key(hashlib.sha256(normalised).hexdigest())
        self._state.objects.put_new(key, normalised)
        self._taken.add(digest)
        return external_id, digest, key

    def _match(self, name: str) -> tuple[str, str]:
        stem = name.rsplit(".", 1)[0]
        found = self._images.get(stem) or self._images.get(stem.rsplit("/", 1)[-1])
        if found is None:
            raise InputRefused(
                "label-invalid",
                f"No image of the set is named '{stem}'. A label has the file name of its image, "
                "with .png.",
            )
        if found[1] in self._taken:
            raise InputRefused("label-invalid", "Another file of the zip labels the same image.")
        return found
