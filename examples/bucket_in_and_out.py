"""`python -m examples.bucket_in_and_out`: label what lies in a bucket, and put the labels there.

Credentials come from the variables of AWS: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_REGION`, and `AWS_ENDPOINT_URL` for another store. The service reads the images by itself;
this script carries only the labels.
"""

import argparse
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from obstore.store import S3Store
from selvage_client import Selvage

from api_schemas.jobs import ResultLine


def _environment() -> dict[str, str | None]:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL")
    found = {name: os.environ.get(name) for name in names}
    if not (found["AWS_ACCESS_KEY_ID"] and found["AWS_SECRET_ACCESS_KEY"]):
        raise SystemExit("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY first.")
    return found


def open_bucket(bucket: str) -> S3Store:
    """Return the bucket, to write labels to."""
    given = _environment()
    endpoint = given["AWS_ENDPOINT_URL"]
    options: dict[str, Any] = {
        "access_key_id": given["AWS_ACCESS_KEY_ID"],
        "secret_access_key": given["AWS_SECRET_ACCESS_KEY"],
        "region": given["AWS_REGION"] or "us-east-1",
    }
    if endpoint is not None:
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
        options["client_options"] = {"allow_http": endpoint.startswith("http://")}
    return S3Store(bucket, **options)


@contextmanager
def connection(client: Selvage, bucket: str) -> Iterator[str]:
    """Let the service read the bucket for the time of the block; yields the connection's name."""
    given = _environment()
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    config = {
        "bucket": bucket,
        "endpoint": given["AWS_ENDPOINT_URL"],
        "region": given["AWS_REGION"] or "us-east-1",
        "access_key_id": given["AWS_ACCESS_KEY_ID"],
    }
    client.connections.create(
        name,
        "s3",
        {key: value for key, value in config.items() if value is not None},
        secrets={"secret_access_key": given["AWS_SECRET_ACCESS_KEY"] or ""},
    )
    try:
        yield name
    finally:
        client.connections.delete(name)


def label_bucket(
    client: Selvage, bucket: str, *, prefix: str, out_prefix: str, model: str
) -> tuple[int, int]:
    """Label the images below one prefix and write labels below another.

    Returns how many images have a label now, and how many there were.
    """
    with connection(client, bucket) as name:
        source = {"type": "s3_prefix", "connection": name, "prefix": prefix}
        images = client.create_image_set_from(source)
        client.wait(images.job.id)
    job = client.wait(client.generate(images.image_set.id, model).id)
    store = open_bucket(bucket)
    labelled = 0
    lines = []
    for line in client.results(job.id):
        lines.append(line.model_dump_json(exclude_none=True))
        if line.label_id is not None:
            _put(client, store, line, line.label_id, prefix, out_prefix)
            labelled += 1
    store.put(f"{out_prefix}results.jsonl", ("\n".join(lines) + "\n").encode())
    return labelled, job.counts.total


def _put(
    client: Selvage,
    store: S3Store,
    line: ResultLine,
    label_id: str,
    prefix: str,
    out_prefix: str,
) -> None:
    """Write the files of one label under the name of its image, in the same folders."""
    stem = str(PurePosixPath(line.external_id.removeprefix(prefix)).with_suffix(""))
    store.put(f"{out_prefix}{stem}.png", client.artifact(label_id, "label.png"))
    store.put(f"{out_prefix}{stem}.confidence.png", client.artifact(label_id, "confidence.png"))


def main() -> None:
    """Parse the command line, label, and say what was done."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.bucket_in_and_out", description=__doc__
    )
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--prefix", default="", help="where the images are, such as night/")
    parser.add_argument("--out-prefix", default="labels/", help="where labels go")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--url", help="address of the service; default SELVAGE_URL")
    given = parser.parse_args()
    with Selvage(given.url) as client:
        labelled, images = label_bucket(
            client,
            given.bucket,
            prefix=given.prefix,
            out_prefix=given.out_prefix,
            model=given.model,
        )
    print(f"{labelled} of {images} images have a label below {given.out_prefix}")


if __name__ == "__main__":
    main()
