"""Labels of purpose `source` for a model with random weights."""

from tests.support.api import (
    get_items,
    get_png,
    index_png,
    post_annotations,
    post_images,
)
from tests.support.installation import Installation


def post_source(site: Installation, images: dict[str, bytes], *, wrong: bool = True) -> str:
    """Upload as truth what the model `tiny` says of images, and return the annotation set.

    Args:
        images: of 48 x 64.
        wrong: have another class in a corner, so that the model errs there.
    """
    created = post_images(site, images, pipeline={"select": None})
    site.settle()
    files = {}
    for name, item in get_items(site, created["job"]["id"]).items():
        truth = get_png(site, item["label_id"]).copy()
        if wrong:
            truth[:24, :32] = (truth[:24, :32] + 1) % 3
        files[name] = index_png(truth)
    made = post_annotations(site, created["image_set"]["id"], files, purpose="source")
    return str(made.json()["id"])
