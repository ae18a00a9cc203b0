"""Identifiers: a prefix that says what the thing is, and a ULID that sorts by time."""

from typing import Annotated, Final, Literal

from pydantic import StringConstraints
from ulid import ULID

Prefix = Literal[
    "set", "img", "job", "itm", "chk", "lab", "ver", "mod", "ann", "wrk", "req", "ont",
    "key", "con", "upl", "sch", "lbs", "cmp", "rev", "whe", "dlv", "msg", "int",
]  # fmt: skip

ULID_PATTERN: Final = "[0-9A-HJKMNP-TV-Z]{26}"


def new_id(prefix: Prefix) -> str:
    """Return a fresh id such as ``job_01J9Z3N6V1QG8T2B4C5D6E7F8G``."""
    return f"{prefix}_{ULID()}"


ImageSetId = Annotated[str, StringConstraints(pattern=f"^set_{ULID_PATTERN}$")]
JobId = Annotated[str, StringConstraints(pattern=f"^job_{ULID_PATTERN}$")]
LabelId = Annotated[str, StringConstraints(pattern=f"^lab_{ULID_PATTERN}$")]
AnnotationSetId = Annotated[str, StringConstraints(pattern=f"^ann_{ULID_PATTERN}$")]
UploadId = Annotated[str, StringConstraints(pattern=f"^upl_{ULID_PATTERN}$")]
ReviewId = Annotated[str, StringConstraints(pattern=f"^rev_{ULID_PATTERN}$")]
LabelSetId = Annotated[str, StringConstraints(pattern=f"^lbs_{ULID_PATTERN}$")]
