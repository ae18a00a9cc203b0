"""A function for CVAT's automatic annotation: masks of labels that Selvage has stored.

    cvat-cli task auto-annotate TASK --function-module selvage_client.cvat -p profile=str:city

`SELVAGE_URL` and `SELVAGE_API_KEY` say where, unless `url` and `api_key` are given. Needs the
package `cvat-sdk`, which is not installed with this one.
"""

from itertools import groupby
from typing import Any
from urllib.parse import quote

import httpx

from selvage_client.transport import key_to_use, service_url

TIMEOUT_SECONDS = 60.0


class StoredLabels:
    """Implements `cvat_sdk.auto_annotation.DetectionFunction`.

    Args:
        profile: name of an integration: `selvage integrations create`.
        on_missing: `error` ends the annotation at an image without a label; `skip` leaves it out.
    """

    def __init__(
        self,
        profile: str,
        url: str | None = None,
        api_key: str | None = None,
        on_missing: str = "error",
    ) -> None:
        from cvat_sdk import auto_annotation as cvataa

        if on_missing not in ("error", "skip"):
            raise ValueError("on_missing is error or skip")
        self._cvataa = cvataa
        self._on_missing = on_missing
        key = key_to_use(api_key)
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._client = httpx.Client(
            base_url=service_url(url), headers=headers, timeout=TIMEOUT_SECONDS
        )
        self._path = f"/integrations/nuclio/{quote(profile, safe='')}"
        answer = self._client.get(self._path)
        answer.raise_for_status()
        self._labels = {entry["name"]: entry["id"] for entry in answer.json()["spec"]}

    @property
    def spec(self) -> Any:
        """The labels of the model."""
        return self._cvataa.DetectionFunctionSpec(
            labels=[
                self._cvataa.label_spec(name, number, type="mask")
                for name, number in self._labels.items()
            ]
        )

    def detect(self, context: Any, image: Any) -> list[Any]:
        """Return the masks of a frame, which is known by its name."""
        answer = self._client.post(self._path, json={"name": context.frame_name})
        if answer.status_code == httpx.codes.NOT_FOUND and self._on_missing == "skip":
            return []
        if answer.is_error:
            raise RuntimeError(f"Selvage: {answer.text[:500]}")
        return [
            self._cvataa.mask(self._labels[shape["label"]], run_lengths(shape["mask"]))
            for shape in answer.json()
        ]


def run_lengths(mask: list[int]) -> list[int]:
    """Return a mask of values as CVAT's SDK has it: runs that begin with background, then the box.

    >>> run_lengths([1, 1, 0, 1, 2, 1, 3, 2])
    [0, 2, 1, 1, 2, 1, 3, 2]
    """
    values, box = mask[:-4], mask[-4:]
    runs = [0] if values and values[0] else []
    runs += [len(list(group)) for _, group in groupby(values)]
    return [*runs, *box]


def create(**options: Any) -> StoredLabels:
    """Make the function; `cvat-cli` calls this with what `-p` gives."""
    return StoredLabels(**options)
