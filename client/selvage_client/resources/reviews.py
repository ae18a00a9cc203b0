"""Reviews of labels."""

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Literal

from api_schemas.imports import ImportFormat
from api_schemas.jobs import Job
from api_schemas.reviews import Review, ReviewItem, ReviewOrder
from selvage_client.multipart import file_part
from selvage_client.requests import reviews
from selvage_client.resources.base import AsyncResource, Resource


class Reviews(Resource):
    """`client.reviews`: labels that wait for a look, and what people decide on them."""

    def queue(
        self,
        *,
        order_by: ReviewOrder = "expected_gain",
        job: str | None = None,
        image_set: str | None = None,
    ) -> Iterator[ReviewItem]:
        """Yield labels that nobody has looked at; those first from which a look is worth most.

        Args:
            order_by: highest `expected_gain` first, or lowest `quality`.
            job: labels of this job.
            image_set: labels of the newest job that labelled this set.
        """
        return self._entries(reviews.queue(order_by, job, image_set))

    def accept(
        self, label_id: str, *, note: str | None = None, idempotency_key: str | None = None
    ) -> Review:
        """Say that a label is right; label sets prefer it to later labels of its image."""
        return self._send(reviews.decide(label_id, "accept", note, idempotency_key))

    def reject(
        self, label_id: str, *, note: str | None = None, idempotency_key: str | None = None
    ) -> Review:
        """Say that a label must not train; label sets leave it out."""
        return self._send(reviews.decide(label_id, "reject", note, idempotency_key))

    def correct(
        self,
        label_id: str,
        mask: Path | str,
        *,
        note: str | None = None,
        idempotency_key: str | None = None,
    ) -> Review:
        """Put a corrected mask in the place of a label.

        Args:
            mask: index PNG of the size of the image, with the label's classes; 255 = ignore.
        """
        part = file_part(Path(mask), Path(mask).name, "image/png")
        return self._send(reviews.correct(label_id, part, note, idempotency_key))

    def history(self, label_id: str) -> Sequence[Review]:
        """Return what was decided on a label, oldest first."""
        return self._send(reviews.history(label_id)).reviews

    def import_file(
        self,
        file: Path | str,
        format: ImportFormat,
        image_set: str,
        *,
        job: str | None = None,
        unknown_classes: Literal["refuse", "ignore"] = "refuse",
        idempotency_key: str | None = None,
    ) -> Job:
        """Bring corrected masks back; returns the job that reads them.

        Args:
            file: zip of index PNGs or CVAT (Segmentation mask 1.1), JSON of Label Studio or COCO.
            image_set: masks are matched to its images by their names.
            job: whose labels were corrected; by default the newest job that labelled the set.
            unknown_classes: refuse masks with other classes, or ignore those pixels.
        """
        part = file_part(Path(file), Path(file).name, "application/octet-stream")
        fields = {
            "image_set": image_set,
            "format": format,
            "job": job,
            "unknown_classes": unknown_classes,
        }
        return self._send(reviews.import_file(part, fields, idempotency_key))


class AsyncReviews(AsyncResource):
    """`client.reviews`: labels that wait for a look, and what people decide on them."""

    def queue(
        self,
        *,
        order_by: ReviewOrder = "expected_gain",
        job: str | None = None,
        image_set: str | None = None,
    ) -> AsyncIterator[ReviewItem]:
        """Yield labels that nobody has looked at; those first from which a look is worth most.

        Args:
            order_by: highest `expected_gain` first, or lowest `quality`.
            job: labels of this job.
            image_set: labels of the newest job that labelled this set.
        """
        return self._entries(reviews.queue(order_by, job, image_set))

    async def accept(
        self, label_id: str, *, note: str | None = None, idempotency_key: str | None = None
    ) -> Review:
        """Say that a label is right; label sets prefer it to later labels of its image."""
        return await self._send(reviews.decide(label_id, "accept", note, idempotency_key))

    async def reject(
        self, label_id: str, *, note: str | None = None, idempotency_key: str | None = None
    ) -> Review:
        """Say that a label must not train; label sets leave it out."""
        return await self._send(reviews.decide(label_id, "reject", note, idempotency_key))

    async def correct(
        self,
        label_id: str,
        mask: Path | str,
        *,
        note: str | None = None,
        idempotency_key: str | None = None,
    ) -> Review:
        """Put a corrected mask in the place of a label.

        Args:
            mask: index PNG of the size of the image, with the label's classes; 255 = ignore.
        """
        part = file_part(Path(mask), Path(mask).name, "image/png")
        return await self._send(reviews.correct(label_id, part, note, idempotency_key))

    async def history(self, label_id: str) -> Sequence[Review]:
        """Return what was decided on a label, oldest first."""
        return (await self._send(reviews.history(label_id))).reviews

    async def import_file(
        self,
        file: Path | str,
        format: ImportFormat,
        image_set: str,
        *,
        job: str | None = None,
        unknown_classes: Literal["refuse", "ignore"] = "refuse",
        idempotency_key: str | None = None,
    ) -> Job:
        """Bring corrected masks back; returns the job that reads them.

        Args:
            file: zip of index PNGs or CVAT (Segmentation mask 1.1), JSON of Label Studio or COCO.
            image_set: masks are matched to its images by their names.
            job: whose labels were corrected; by default the newest job that labelled the set.
            unknown_classes: refuse masks with other classes, or ignore those pixels.
        """
        part = file_part(Path(file), Path(file).name, "application/octet-stream")
        fields = {
            "image_set": image_set,
            "format": format,
            "job": job,
            "unknown_classes": unknown_classes,
        }
        return await self._send(reviews.import_file(part, fields, idempotency_key))
