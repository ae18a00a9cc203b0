"""What each format writes, where no reader of its own looks at it (`tests/interop` has those)."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from formats.classes_json import OntologyFileClass, parse_classes_json
from formats.coco_rle import mask_pixels
from formats.components import components_by_size
from formats.exports.base import Entry, LabelledImage
from formats.exports.cityscapes_labels import LABELS, label_named
from formats.exports.names import TakenNames, plain_stem, stems_like
from tests.support.exports import CLASSES, exporter, street, write_export

LABEL = np.array([[0, 2, 1, 2], [255, 2, 1, 1], [3, 3, 1, 2]], np.uint8)


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def losses(form: str, classes=CLASSES, **options) -> dict[str, bool]:
    return {loss.code: loss.is_loss for loss in exporter(form, classes, **options).planned_losses()}


class TestComponents:
    def test_the_largest_comes_first_and_diagonals_connect(self):
        mask = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], bool)
        assert components_by_size(mask).tolist() == [
            [2, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0],
        ]  # fmt: skip

    def test_an_empty_mask_has_none(self):
        assert components_by_size(np.zeros((2, 2), bool)).max() == 0


class TestCityscapes:
    def test_official_ids_by_name(self, tmp_path):
        write_export(tmp_path, "cityscapes", {"a.png": LABEL})
        base = tmp_path / "gtFine/train/selvage/selvage_000000_000001_gtFine"
        ids = read(Path(f"{base}_labelIds.png"))
        assert ids.tolist() == [[7, 26, 23, 26], [0, 26, 23, 23], [19, 19, 23, 26]]
        train_ids = read(Path(f"{base}_labelTrainIds.png"))
        assert train_ids.tolist() == [[0, 13, 10, 13], [255, 13, 10, 10], [6, 6, 10, 13]]
        instances = read(Path(f"{base}_instanceIds.png"))
        assert instances.dtype == np.uint16
        assert instances.tolist() == [
            [7, 26000, 23, 26001], [0, 26000, 23, 23], [19, 19, 23, 26002],
        ]  # fmt: skip
        colours = read(Path(f"{base}_color.png"))
        assert colours.shape == (3, 4, 3)
        assert colours[0, 0].tolist() == [128, 64, 128]
        assert colours[1, 0].tolist() == [0, 0, 0]
        (line,) = (tmp_path / "manifest.jsonl").read_text().splitlines()
        assert json.loads(line)["external_id"] == "a.png"
        assert json.loads(line)["label"].endswith("selvage_000000_000001_gtFine_labelIds.png")

    def test_names_of_cityscapes_stay(self):
        made = exporter("cityscapes", city="night")
        own = next(made.stems("aachen/aachen_000001_000019_leftImg8bit.png", 5))
        assert own == "aachen/aachen_000001_000019"
        assert next(made.stems("5.png", 5)) == "night/night_000000_000005"
        assert next(made.stems("5.png", 1_000_002)) == "night/night_000001_000002"

    def test_what_cityscapes_does_not_have(self, tmp_path):
        classes = [OntologyFileClass(0, "sea", "stuff", (0, 0, 9)), *CLASSES[1:]]
        assert losses("cityscapes", classes)["classes-unmapped"] is True
        mapped = {"sea": "terrain", "traffic light": "sky"}
        assert losses("cityscapes", classes, class_map=mapped)["classes-merged"] is True
        assert "classes-unmapped" not in losses("cityscapes", classes, class_map=mapped)
        write_export(tmp_path, "cityscapes", {"a.png": LABEL}, classes)
        label = "gtFine/train/selvage/selvage_000000_000001_gtFine_labelIds.png"
        assert read(tmp_path / label)[0, 0] == 0

    def test_a_thousand_instances(self, tmp_path):
        label = np.zeros((80, 80), np.uint8)
        label[::2, ::2] = 2  # 1,600 cars of one pixel
        (loss,) = write_export(tmp_path, "cityscapes", {"a.png": label})
        assert loss.code == "instances-merged"
        path = tmp_path / "gtFine/train/selvage/selvage_000000_000001_gtFine_instanceIds.png"
        found = read(path)
        assert np.unique(found[label == 2]).tolist() == [26, *range(26000, 27000)]

    def test_the_table(self):
        assert [label.id for label in LABELS] == list(range(34))
        trained = {label.train_id: label.id for label in LABELS if label.train_id != 255}
        assert [trained[i] for i in range(19)] == [
            7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33,
        ]  # fmt: skip
        assert {label.id for label in LABELS if label.has_instances} == set(range(24, 34))
        assert label_named("Traffic-Light") == LABELS[19]
        assert label_named("pedestrian") == LABELS[24]
        assert label_named("Selvage") is None


class TestCvat:
    def test_more_than_255_objects_are_whole_classes(self, tmp_path):
        label = np.zeros((40, 40), np.uint8)
        label[::2, ::2] = 2
        (loss,) = write_export(tmp_path, "cvat-mask", {"a.png": label})
        assert (loss.code, loss.is_loss) == ("objects-merged", False)
        objects = np.asarray(Image.open(tmp_path / "SegmentationObject/a.png"))
        assert np.unique(objects).tolist() == [1, 2]

    def test_files(self, tmp_path):
        write_export(tmp_path, "cvat-mask", {"b/a.png": LABEL, "c.png": LABEL})
        assert (tmp_path / "labelmap.txt").read_text().splitlines()[1:] == [
            "background:0,0,0::", "road:128,64,128::", "sky:70,130,180::", "car:0,0,142::",
            "traffic light:250,170,30::",
        ]  # fmt: skip
        listed = tmp_path / "ImageSets/Segmentation/default.txt"
        assert listed.read_text() == "b/a\nc\n"
        classes = read(tmp_path / "SegmentationClass/b/a.png")
        assert classes.tolist() == [[1, 3, 2, 3], [0, 3, 2, 2], [4, 4, 2, 3]]

    def test_names_without_spaces_in_the_dialect_of_cityscapes(self, tmp_path):
        classes = [
            OntologyFileClass(0, "a b", "stuff", (1, 1, 1)),
            OntologyFileClass(1, "ab", "stuff", (2, 2, 2)),
            OntologyFileClass(2, "a  b", "stuff", (3, 3, 3)),
            OntologyFileClass(3, "c", "stuff", (4, 4, 4)),
        ]
        assert losses("cityscapes-cvat", classes)["class-names-changed"] is True
        write_export(tmp_path, "cityscapes-cvat", {"a.png": LABEL}, classes)
        lines = (tmp_path / "label_colors.txt").read_text().splitlines()
        assert lines == ["0 0 0 background", "1 1 1 ab_2", "2 2 2 ab", "3 3 3 ab_3", "4 4 4 c"]

    def test_no_loss_where_nothing_is_lost(self):
        assert not any(losses("cvat-mask").values())


class TestOthers:
    @pytest.mark.parametrize("components", [False, True])
    def test_the_score_of_coco_is_the_mean_confidence_of_a_mask(self, components):
        confidence = np.arange(LABEL.size, dtype=np.uint8).reshape(LABEL.shape) * 20
        image = LabelledImage(
            number=1, stem="a", external_id="a.png", label=LABEL, confidence=confidence, facts={}
        )
        pieces = exporter("coco", CLASSES, components=components).pieces(image)
        entries = [p for p in pieces if isinstance(p, Entry) and p.section == "annotations"]
        assert len(entries) == (6 if components else 4)
        for found in map(json.loads, (entry.text for entry in entries)):
            inside = mask_pixels(found["segmentation"]["counts"], LABEL.size)
            mask = np.isin(np.arange(LABEL.size), inside).reshape(LABEL.shape, order="F")
            assert (LABEL[mask] == found["category_id"] - 1).all()
            assert found["score"] == pytest.approx(confidence[mask].mean() / 255, abs=1e-6)

    def test_panoptic_ids_are_colours(self, tmp_path):
        write_export(tmp_path, "coco-panoptic", {"a.png": LABEL})
        rgb = read(tmp_path / "annotations/panoptic_train/a.png").astype(int)
        ids = rgb @ [1, 256, 65536]
        document = json.loads((tmp_path / "annotations/panoptic_train.json").read_text())
        (annotation,) = document["annotations"]
        areas = {s["id"]: s["area"] for s in annotation["segments_info"]}
        assert areas == {int(i): int((ids == i).sum()) for i in np.unique(ids) if i}
        assert {s["category_id"] for s in annotation["segments_info"]} == {1, 2, 3, 4}
        assert len(areas) == 6  # three cars
        assert ids[1, 0] == 0
        assert [c["isthing"] for c in document["categories"]] == [0, 0, 1, 1]

    def test_a_pipeline_of_transformers(self, tmp_path):
        write_export(tmp_path, "hf-segmentation", {"a.png": LABEL})
        (line,) = (tmp_path / "segmentation.jsonl").read_text().splitlines()
        found = json.loads(line)
        assert [s["label"] for s in found["segments"]] == [c.name for c in CLASSES]
        for class_id, segment in enumerate(found["segments"]):
            mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(segment["mask"]))))
            np.testing.assert_array_equal(mask, np.where(class_id == LABEL, 255, 0))
            assert segment["score"] is None

    def test_soft_labels(self, tmp_path):
        write_export(tmp_path, "soft-labels", {"b/a.png": LABEL})
        with np.load(tmp_path / "soft/b/a.npz") as found:
            np.testing.assert_array_equal(found["idx"], LABEL[None])
            assert found["prob"].dtype == np.float16
            np.testing.assert_allclose(found["prob"][0][LABEL != 255], 200 / 255, atol=1e-3)
            assert found["prob"][0][1, 0] == 0
            assert found["classes"].tolist() == [c.name for c in CLASSES]

    def test_classes_json_is_read_again(self, tmp_path):
        write_export(tmp_path, "mask-png", {"a.png": LABEL})
        parsed = parse_classes_json((tmp_path / "classes.json").read_bytes())
        assert parsed.classes == CLASSES
        assert read(tmp_path / "labels/a.png").tolist() == LABEL.tolist()

    def test_one_region_a_class_where_parts_would_freeze_the_editor(self, tmp_path):
        label = np.zeros((40, 40), np.uint8)
        label[::2, ::2] = 2
        write_export(tmp_path, "label-studio", {"a.png": label}, components=True)
        (task,) = json.loads((tmp_path / "tasks.json").read_text())
        assert len(task["predictions"][0]["result"]) == 2

    @pytest.mark.parametrize("form", ["coco", "label-studio", "hf-segmentation", "cvat-mask"])
    def test_no_label_at_all_is_a_file_all_the_same(self, tmp_path, form):
        write_export(tmp_path, form, {})
        for path in tmp_path.rglob("*.json"):
            json.loads(path.read_text())

    def test_only_ignored_pixels(self, tmp_path):
        label = np.full((3, 4), 255, np.uint8)
        for form in ("coco", "coco-panoptic", "cvat-mask", "cityscapes", "label-studio"):
            write_export(tmp_path / form, form, {"a.png": label})

    def test_equal_labels_give_equal_bytes(self, tmp_path):
        for form in ("soft-labels", "label-studio", "cityscapes"):
            for folder in ("a", "b"):
                write_export(tmp_path / folder / form, form, {"a.png": street()})
        for path in (tmp_path / "a").rglob("*"):
            if path.is_file():
                again = tmp_path / "b" / path.relative_to(tmp_path / "a")
                assert path.read_bytes() == again.read_bytes()


class TestNames:
    @pytest.mark.parametrize(
        ("given", "stem"),
        [
            ("night/0.png", "night/0"),
            ("../../etc/passwd", "etc/passwd"),
            ("C:\\a\\b.JPG", "a/b"),
            ("a:b?.png", "a_b_"),
            ("con.png", "_con"),
            ("frame.0001.jpg", "frame.0001"),
            ("x. .png", "x"),
            ("\u202egnp.exe", "gnp.exe"),
            ("", "unnamed"),
            (".png", "_"),
        ],
    )
    def test_stems(self, given, stem):
        assert plain_stem(given) == stem

    def test_no_two_are_alike_on_any_disk(self):
        names = TakenNames()
        given = ["a.png", "A.jpg", "a_2.png", "a.bmp"]
        assert [names.first_free(stems_like(name)) for name in given] == [
            "a", "A_2", "a_2_2", "a_3",
        ]  # fmt: skip

    def test_long_names_are_cut_and_stay_different(self):
        first, second = plain_stem("x" * 300 + "1.png"), plain_stem("x" * 300 + "2.png")
        assert first != second
        assert len(first.encode()) < 200
