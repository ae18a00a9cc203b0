"""`selvage review list | accept | reject | correct | history | import`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich.table import Table

from api_schemas.imports import ImportFormat
from api_schemas.reviews import Review, ReviewItem
from selvage_client.cli.options import ApiKey, Json, Limit, Url
from selvage_client.cli.printing import plain_table, print_list, tell
from selvage_client.cli.tables import local_time
from selvage_client.errors import invalid_input
from selvage_client.sync_client import Selvage

LabelIds = Annotated[list[str], typer.Argument(metavar="LABEL…", help="Ids of labels, lab_….")]
LabelId = Annotated[str, typer.Argument(metavar="LABEL", help="Id of a label, lab_….")]
Note = Annotated[str | None, typer.Option(help="Why; kept with the decision.")]


def group() -> typer.Typer:
    """Return the commands about reviews."""
    reviews = typer.Typer(help="Look at labels, the doubtful ones first.", no_args_is_help=True)
    reviews.command("list")(list_queue)
    reviews.command("accept")(accept)
    reviews.command("reject")(reject)
    reviews.command("correct")(correct)
    reviews.command("history")(history)
    reviews.command("import")(import_file)
    return reviews


def list_queue(
    job: Annotated[str | None, typer.Option(help="Labels of this job.")] = None,
    image_set: Annotated[
        str | None, typer.Option(help="Labels of the newest job that labelled this set.")
    ] = None,
    by_quality: Annotated[
        bool, typer.Option("--by-quality", help="Lowest quality first, not highest gain.")
    ] = False,
    limit: Limit = 50,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """List labels that nobody has looked at."""
    if job is not None and image_set is not None:
        raise invalid_input("Give either --job or --image-set.")
    with Selvage(url, api_key) as client:
        found = client.reviews.queue(
            order_by="quality" if by_quality else "expected_gain", job=job, image_set=image_set
        )
        empty = "No label waits for a review."
        print_list(found, json=json, table=_table, empty=empty, limit=limit)


def accept(
    labels: LabelIds, note: Note = None, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """Say that labels are right: they go before later labels of their images."""
    with Selvage(url, api_key) as client:
        for label in labels:
            review = client.reviews.accept(label, note=note)
            tell(review, f"{label} accepted", json=json)


def reject(
    labels: LabelIds, note: Note = None, url: Url = None, api_key: ApiKey = None, json: Json = False
) -> None:
    """Say that labels must not train."""
    with Selvage(url, api_key) as client:
        for label in labels:
            review = client.reviews.reject(label, note=note)
            tell(review, f"{label} rejected", json=json)


def correct(
    label: LabelId,
    mask: Annotated[Path, typer.Argument(help="Index PNG of the size of the image; 255 = ignore.")],
    note: Note = None,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Put a corrected mask in the place of a label; prints the id of the new one."""
    with Selvage(url, api_key) as client:
        review = client.reviews.correct(label, mask, note=note)
    tell(review, review.corrected_label or "", json=json)


def history(label: LabelId, url: Url = None, api_key: ApiKey = None, json: Json = False) -> None:
    """List what was decided on a label, oldest first."""
    with Selvage(url, api_key) as client:
        found = client.reviews.history(label)
    print_list(found, json=json, table=_history_table, empty="Nobody has looked at this label.")


def import_file(
    image_set: Annotated[str, typer.Argument(metavar="IMAGE-SET", help="Its images, set_….")],
    file: Annotated[Path, typer.Argument(help="What the tool exported.")],
    file_format: Annotated[
        str, typer.Option("--format", help="index_png, label_studio, cvat or coco.")
    ],
    job: Annotated[
        str | None,
        typer.Option(help="Whose labels were corrected; default: the newest of the set."),
    ] = None,
    ignore_unknown: Annotated[
        bool, typer.Option("--ignore-unknown", help="Ignore pixels of classes that are not known.")
    ] = False,
    url: Url = None,
    api_key: ApiKey = None,
    json: Json = False,
) -> None:
    """Bring masks back that were corrected in a tool; prints the id of the job."""
    formats = get_args(ImportFormat)
    if file_format not in formats:
        raise invalid_input(f"--format is one of {', '.join(formats)}.")
    with Selvage(url, api_key) as client:
        made = client.reviews.import_file(
            file,
            cast(ImportFormat, file_format),
            image_set,
            job=job,
            unknown_classes="ignore" if ignore_unknown else "refuse",
        )
    tell(made, made.id, json=json)


def _table(items: Iterable[ReviewItem]) -> Table:
    rows = [
        [item.label, item.external_id, f"{item.expected_gain:.1%}",
         "–" if item.quality is None else f"{item.quality:.1%}", f"{item.coverage:.1%}"]
        for item in items
    ]  # fmt: skip
    return plain_table(["label", "image", "expected gain", "quality", "coverage"], rows)


def _history_table(reviews: Iterable[Review]) -> Table:
    rows = [
        [one.decision, one.corrected_label or "", one.source, one.created_by, one.note or "",
         local_time(one.created_at)]
        for one in reviews
    ]  # fmt: skip
    return plain_table(["decision", "corrected label", "source", "by", "note", "at"], rows)
