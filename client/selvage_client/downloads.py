"""Labels of a job into a folder: what to fetch, where to put it, what is there already.

The folder holds `labels/NAME.png`, `confidence/NAME.png`, perhaps `regions/NAME.json`, and
`results.jsonl`: the result lines of the job with the names of their files. That record says which
label a file holds, so a download that was stopped goes on where it was, and a file of another job
is never taken for a new one.
"""

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from api_schemas.jobs import ResultLine
from selvage_client.errors import invalid_input
from selvage_client.names import SafeNames, safe_stem

RECORD_NAME: Final = "results.jsonl"
FOLDERS: Final[Mapping[str, str]] = {
    "label": "labels",
    "confidence": "confidence",
    "regions": "regions",
}
ARTIFACTS: Final[Mapping[str, str]] = {
    "label": "label.png",
    "confidence": "confidence.png",
    "regions": "regions.json",
}


@dataclass(frozen=True)
class Fetch:
    """One artefact to get, and the file to put it into."""

    label_id: str
    artifact: str
    path: Path


@dataclass(frozen=True)
class DownloadReport:
    """What a download did. Counts are files: a label has two, its map and its confidence."""

    folder: Path
    labels: int
    without_label: int
    fetched_files: int
    kept_files: int


@dataclass(frozen=True)
class DownloadPlan:
    folder: Path
    labels: int
    without_label: int
    kept_files: int
    fetches: tuple[Fetch, ...]

    def report(self) -> DownloadReport:
        """Return the report of the finished download."""
        return DownloadReport(
            self.folder, self.labels, self.without_label, len(self.fetches), self.kept_files
        )


def check_folder(folder: Path) -> None:
    """Refuse a folder that a download would spoil; cheap, so that it can come before the work.

    Raises:
        InvalidInput: it holds files that no download has put there.
    """
    _record_or_empty(folder)


def plan_download(
    folder: Path, lines: Iterable[ResultLine], *, confidence: bool, regions: bool = False
) -> DownloadPlan:
    """Write the record of a job into a folder and return what is left to fetch.

    Files that hold other labels than the job's are removed before the new record is written.

    Args:
        regions: also fetch the regions of the labels that are made of some.

    Raises:
        InvalidInput: the folder holds files that no download has put there.
    """
    before = _record_or_empty(folder)
    names = SafeNames()
    after: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    without_label = 0
    for line in lines:
        row = line.model_dump(mode="json", exclude_none=True)
        if line.label_id is None:
            without_label += 1
        else:
            stem = names.stem(line.external_id)
            kinds = {
                "label": True,
                "confidence": confidence,
                "regions": regions and line.regions_url is not None,
            }
            for kind in (kind for kind, is_wanted in kinds.items() if is_wanted):
                row[f"{kind}_file"] = f"{FOLDERS[kind]}/{stem}{_suffix(kind)}"
                after[row[f"{kind}_file"]] = line.label_id
        rows.append(row)
    _remove_outdated(folder, before, after)
    _write_record(folder, rows)
    fetches = tuple(_missing(folder, after))
    return DownloadPlan(
        folder, len(rows) - without_label, without_label, len(after) - len(fetches), fetches
    )


def _suffix(kind: str) -> str:
    return Path(ARTIFACTS[kind]).suffix


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is never seen half written, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read_record(folder: Path) -> dict[str, str] | None:
    """Return file → label id as the last download noted, or None without a record."""
    record = folder / RECORD_NAME
    files: dict[str, str] = {}
    try:
        for text in record.read_bytes().split(b"\n"):
            if text:
                files |= _files_of(json.loads(text))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise invalid_input(
            f"'{record}' was not written by a download. Choose another folder."
        ) from error
    return files


def _files_of(row: Any) -> dict[str, str]:
    """Return file → label id of one line of a record; `ValueError` for a line of another kind."""
    label_id = ResultLine.model_validate(row).label_id
    names = [row.get(f"{kind}_file") for kind in FOLDERS]
    return {name: label_id for name in names if name is not None and label_id is not None}


def _record_or_empty(folder: Path) -> dict[str, str]:
    """Return the record of the last download, `{}` for a folder without one."""
    record = _read_record(folder)
    if record is not None:
        return record
    for target in (folder / name for name in FOLDERS.values()):
        if target.exists() and any(target.iterdir()):
            raise invalid_input(
                f"'{target}' is not empty and was not written by an earlier download. "
                "Choose another folder."
            )
    return {}


def _remove_outdated(folder: Path, before: dict[str, str], after: dict[str, str]) -> None:
    for name, label_id in before.items():
        if _is_ours(name) and after.get(name) != label_id:
            (folder / name).unlink(missing_ok=True)


def _is_ours(name: str) -> bool:
    """Whether a download can have put a file there."""
    folder, _, file_name = name.partition("/")
    kind = {folder: kind for kind, folder in FOLDERS.items()}.get(folder)
    if kind is None:
        return False
    # `.png` so that a stem that itself ends like an image is taken as it is
    stem = safe_stem(file_name.removesuffix(_suffix(kind)) + ".png")
    return file_name == stem + _suffix(kind)


def _write_record(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    write_atomically(folder / RECORD_NAME, "".join(lines).encode())


def _missing(folder: Path, files: dict[str, str]) -> Iterator[Fetch]:
    kinds = {FOLDERS[kind]: ARTIFACTS[kind] for kind in FOLDERS}
    for name, label_id in files.items():
        path = folder / name
        if not path.exists():
            yield Fetch(label_id, kinds[name.split("/")[0]], path)
