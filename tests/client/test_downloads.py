import json
from pathlib import Path

import pytest
from selvage_client.downloads import Fetch, check_folder, plan_download, write_atomically
from selvage_client.errors import InvalidInput

from api_schemas.jobs import ResultLine
from tests.client.fake_service import make_label_line


def fill(folder: Path, lines: list[ResultLine], **options: bool) -> list[str]:
    """Plan a download and do it with the label's id as content; return the fetched paths."""
    plan = plan_download(folder, lines, confidence=options.get("confidence", True))
    for fetch in plan.fetches:
        write_atomically(fetch.path, fetch.label_id.encode())
    return [fetch.path.relative_to(folder).as_posix() for fetch in plan.fetches]


def test_the_plan_names_labels_and_confidence(tmp_path: Path) -> None:
    failed = make_label_line("b.png", "").model_copy(update={"label_id": None, "status": "failed"})
    plan = plan_download(tmp_path, [make_label_line("n/a.png", "lab_1"), failed], confidence=True)
    assert plan.fetches == (
        Fetch("lab_1", "label.png", tmp_path / "labels/n_a.png"),
        Fetch("lab_1", "confidence.png", tmp_path / "confidence/n_a.png"),
    )
    assert (plan.labels, plan.without_label, plan.kept_files) == (1, 1, 0)
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert rows[0]["label_file"] == "labels/n_a.png"
    assert rows[0]["confidence_file"] == "confidence/n_a.png"
    assert rows[0]["quality"] == 0.5
    assert rows[1] == {
        "external_id": "b.png",
        "file_name": "b.png",
        "status": "failed",
        "quality": 0.5,
        "coverage": 0.25,
    }


def test_regions_are_fetched_where_there_are_some(tmp_path: Path) -> None:
    lines = [
        make_label_line("a.png", "lab_1", regions_url="/v1/labels/lab_1/artifacts/regions.json"),
        make_label_line("b.png", "lab_2"),
    ]
    plan = plan_download(tmp_path, lines, confidence=False, regions=True)
    assert plan.fetches == (
        Fetch("lab_1", "label.png", tmp_path / "labels/a.png"),
        Fetch("lab_1", "regions.json", tmp_path / "regions/a.json"),
        Fetch("lab_2", "label.png", tmp_path / "labels/b.png"),
    )
    write_atomically(tmp_path / "regions/a.json", b"{}")
    plan_download(tmp_path, [make_label_line("a.png", "lab_3")], confidence=False)
    assert not (tmp_path / "regions/a.json").exists()


def test_a_second_download_fetches_only_what_is_missing(tmp_path: Path) -> None:
    lines = [make_label_line("a.png", "lab_1"), make_label_line("b.png", "lab_2")]
    assert len(fill(tmp_path, lines)) == 4
    (tmp_path / "confidence/b.png").unlink()
    assert fill(tmp_path, lines) == ["confidence/b.png"]
    assert fill(tmp_path, lines) == []


def test_labels_of_another_job_are_replaced_even_after_an_interrupt(tmp_path: Path) -> None:
    fill(tmp_path, [make_label_line("a.png", "lab_1"), make_label_line("gone.png", "lab_2")])
    new = [make_label_line("a.png", "lab_9")]
    plan_download(tmp_path, new, confidence=True)  # interrupted before the first file
    assert sorted(fill(tmp_path, new)) == ["confidence/a.png", "labels/a.png"]
    assert (tmp_path / "labels/a.png").read_text() == "lab_9"
    assert not (tmp_path / "labels/gone.png").exists()


def test_images_that_share_a_stem_or_a_label_have_files_of_their_own(tmp_path: Path) -> None:
    lines = [make_label_line("a.png", "lab_1"), make_label_line("a.jpg", "lab_1")]
    fetched = fill(tmp_path, lines, confidence=False)
    assert fetched[0] == "labels/a.png"
    assert len(set(fetched)) == 2


@pytest.mark.parametrize("name", ["labels", "confidence"])
def test_a_folder_with_other_files_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.png").write_bytes(b"by hand")
    with pytest.raises(InvalidInput, match="is not empty"):
        check_folder(tmp_path)
    with pytest.raises(InvalidInput, match="is not empty"):
        plan_download(tmp_path, [], confidence=True)


@pytest.mark.parametrize("text", ["not json\n", "[1]\n[2]\n", '{"label_file": "labels/a.png"}\n'])
def test_a_foreign_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.jsonl").write_text(text)
    with pytest.raises(InvalidInput, match=r"results\.jsonl' was not written by a download"):
        check_folder(tmp_path)


def test_a_record_cannot_make_us_remove_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (folder / "labels").mkdir(parents=True)
    kept = [tmp_path / "x.png", folder / "x.png"]
    for path in kept:
        path.write_bytes(b"")
    names = ["../x.png", "labels/../x.png", "labels/../../x.png", str(tmp_path / "x.png")]
    row = make_label_line("x.png", "lab_1").model_dump()
    rows = [json.dumps({**row, "label_file": name}) for name in names]
    (folder / "results.jsonl").write_text("\n".join(rows))
    plan_download(folder, [], confidence=True)
    assert all(path.exists() for path in kept)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
