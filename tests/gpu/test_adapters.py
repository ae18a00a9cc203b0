"""Networks of other kinds: programs that were recorded on a CPU, and Hugging Face ones."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.config import PredictConfig
from models.prediction import Predictor
from models.promptable.builtin import load_built_in
from models.segmentation.base import SegmentationModel
from models.segmentation.exported import ExportedSegmenter, write_exported_model
from models.segmentation.huggingface import HuggingFaceSegmenter
from models.segmentation.with_region_features import WithRegionFeatures
from tests.gpu.device import CPU, DEVICE, MARKS, demo_model, scene
from tests.models.fakes import TinyNet, names

pytestmark = [*MARKS, pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")]

SIZE_HW = (96, 128)


def check_alike(here: SegmentationModel, there: SegmentationModel) -> None:
    image = scene(0, size_hw=SIZE_HW).image
    ((_, one),), ((_, other),) = (
        Predictor(model, PredictConfig(flip=True), with_detail=True).predict([image])
        for model in (here, there)
    )
    assert there.device.type == DEVICE.type
    assert (one.label == other.label).mean() >= 0.995
    assert np.abs(one.p_max - other.p_max).mean() <= 0.005


@pytest.mark.parametrize("kind", ["torchscript", "torch_export"])
def test_a_program_recorded_on_a_cpu(tmp_path: Path, kind: str):
    torch.manual_seed(0)
    net = TinyNet().eval()
    example = torch.rand(1, 3, *SIZE_HW)
    file = tmp_path / "program"
    if kind == "torchscript":
        torch.jit.trace(net, example).save(str(file))  # type: ignore[no-untyped-call]
    else:
        free = {"images": {2: torch.export.Dim("height"), 3: torch.export.Dim("width")}}
        file = file.with_suffix(".pt2")
        torch.export.save(torch.export.export(net, (example,), dynamic_shapes=free), file)
    write_exported_model(tmp_path / "model", file, names(3))
    check_alike(*(ExportedSegmenter.load(tmp_path / "model", one) for one in (CPU, DEVICE)))


def test_a_hugging_face_network():
    pytest.importorskip("transformers")
    from tests.models.tiny_huggingface import LABELS, tiny

    check_alike(
        *(
            HuggingFaceSegmenter(
                tiny("segformer"), names(len(LABELS)), ([0.5] * 3, [0.2] * 3), None, device
            )
            for device in (CPU, DEVICE)
        )
    )


def test_a_model_with_the_features_of_a_region_model():
    check_alike(
        *(
            WithRegionFeatures(demo_model(device), load_built_in("nano", str(device)))
            for device in (CPU, DEVICE)
        )
    )
