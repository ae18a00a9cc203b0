from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import models.normalisation
from models.bundle import Bundle, write_bundle
from models.errors import ModelRefused, OutOfMemory
from models.normalisation import save_model
from models.prediction import to_tensor
from models.segmentation.base import SegmentationModel, SegmentationOutput, batch_norms
from models.segmentation.bundled import BundledSegmenter
from models.segmentation.compact import CompactSegmenter
from models.segmentation.exported import ExportedSegmenter, ProgramInput
from models.segmentation.huggingface import HuggingFaceSegmenter
from tests.models.fakes import RedModel, TinyNet, TinyNetModel, names
from tests.models.tiny_huggingface import ARCHITECTURES, tiny

CPU = torch.device("cpu")


def adapt(model: SegmentationModel, images: Iterable[np.ndarray]) -> Any:
    return models.normalisation.reestimate_batch_statistics(model, images)


def pictures(count: int, height: int = 12, width: int = 10, low: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(count)
    return [random.integers(low, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def tiny_model() -> TinyNetModel:
    torch.manual_seed(0)
    return TinyNetModel(TinyNet())


def test_statistics_are_the_plain_average_over_batches():
    model = tiny_model()
    images = pictures(10)
    result = adapt(model, iter(images))
    assert (result.changed, result.images, result.batches) == (True, 10, 2)
    assert result.note == "Re-estimated 1 of 1 layers on 10 images."
    with torch.no_grad():
        seen = [model.module.conv(to_tensor(part, CPU)) for part in (images[:8], images[8:])]
    mean = torch.stack([x.mean(dim=(0, 2, 3)) for x in seen]).mean(dim=0)
    variance = torch.stack([x.var(dim=(0, 2, 3)) for x in seen]).mean(dim=0)
    norm = result.model.module.norm
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)


def test_the_given_model_and_all_weights_stay_as_they_are():
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    result = adapt(model, pictures(3))
    for name, tensor in model.module.state_dict().items():
        assert torch.equal(tensor, before[name])
    after = result.model.module.state_dict()
    changed = {name for name in before if not torch.equal(after[name], before[name])}
    assert changed == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    assert not any(module.training for module in result.model.module.modules())
    assert result.model.module.norm.momentum == model.module.norm.momentum == 0.1
    assert not result.model.module.norm._forward_pre_hooks


def test_the_same_images_in_the_same_order_give_the_same_bytes():
    images = pictures(5) + pictures(4, 7, 30)
    first, second = (adapt(tiny_model(), images).model for _ in range(2))
    for a, b in zip(first.module.buffers(), second.module.buffers(), strict=True):
        assert torch.equal(a, b)


def test_other_layers_stay_in_evaluation_mode():
    """With dropout at work two runs would differ."""
    module = nn.Sequential(nn.Dropout2d(0.9), TinyNet())
    result = [adapt(TinyNetModel(module), pictures(4)).model for _ in range(2)]
    assert torch.equal(result[0].module[1].norm.running_mean, result[1].module[1].norm.running_mean)
    assert result[0].module[1].norm.running_mean.abs().min() > 0


def test_neighbours_of_one_shape_form_a_batch_and_large_images_are_cut():
    class Recorder(TinyNetModel):
        shapes: list[tuple[int, ...]] = []

        def forward(self, images: Tensor) -> SegmentationOutput:
            self.shapes.append(tuple(images.shape))
            return super().forward(images)

    images = pictures(2, 6, 5) + pictures(1, 5, 6) + pictures(1, 6, 5) + pictures(1, 1500, 4)
    result = adapt(Recorder(TinyNet()), images)
    assert Recorder.shapes == [(2, 3, 6, 5), (1, 3, 5, 6), (1, 3, 6, 5), (2, 3, 750, 4)]
    assert (result.images, result.batches) == (5, 4)


def test_batches_are_at_most_four_megapixels():
    image = np.zeros((1000, 1000, 3), np.uint8)
    batches = list(models.normalisation._batches([image] * 5))
    assert [len(batch) for batch in batches] == [4, 1]


class Bottleneck(nn.Module):
    """Normalises a map and its mean, as pyramid pooling does: the mean is one value per image."""

    def __init__(self) -> None:
        super().__init__()
        self.map_norm = nn.BatchNorm2d(3)
        self.mean_norm = nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        means: Tensor = self.mean_norm(images.mean(dim=(2, 3), keepdim=True))
        maps: Tensor = self.map_norm(images)
        return maps + means


def test_a_layer_that_sees_one_value_keeps_its_statistics():
    module = Bottleneck()
    module.mean_norm.running_mean = torch.full((3,), 0.25)
    result = adapt(TinyNetModel(module), pictures(1))
    assert result.changed
    assert result.note == "Re-estimated 1 of 2 layers on 1 image."
    assert result.model.module.mean_norm.running_mean.tolist() == [0.25] * 3
    assert result.model.module.map_norm.running_mean.tolist() != [0] * 3
    result = adapt(TinyNetModel(module), pictures(2))
    assert result.note == "Re-estimated 2 of 2 layers on 2 images."


def test_one_image_of_one_pixel_changes_nothing():
    model = TinyNetModel(Bottleneck())
    result = adapt(model, pictures(1, 1, 1))
    assert not result.changed
    assert result.model is model
    assert "stay as they were" in result.note


def test_no_images_change_nothing():
    model = tiny_model()
    result = adapt(model, [])
    assert (result.changed, result.model, result.images) == (False, model, 0)


def test_a_network_without_batch_statistics_is_answered_with_a_note():
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.GroupNorm(1, 3))
    model = TinyNetModel(module, has_norm=False)
    result = adapt(model, pictures(2))
    assert (result.changed, result.model) == (False, model)
    assert "no batch statistics" in result.note


def test_exported_programs_are_refused(tmp_path):
    program = ExportedSegmenter(lambda x: x, names(3), ProgramInput(), CPU)
    for action in (
        lambda: adapt(program, pictures(1)),
        lambda: save_model(program, tmp_path),
    ):
        with pytest.raises(ModelRefused) as caught:
            action()
        assert caught.value.code == "model-is-exported"
    with pytest.raises(ModelRefused):
        save_model(RedModel(), tmp_path)


class Greedy(TinyNetModel):
    """Runs out of memory behind the normalisation, when statistics have been counted already."""

    most = 2

    def forward(self, images: Tensor) -> SegmentationOutput:
        output = super().forward(images)
        if images.shape[0] > self.most:
            raise MemoryError
        return output


def test_a_batch_that_does_not_fit_is_halved_without_a_trace():
    torch.manual_seed(0)
    result = adapt(Greedy(TinyNet()), pictures(8))
    assert result.batches == 4
    images = pictures(8)
    with torch.no_grad():
        seen = [tiny_model().module.conv(to_tensor(images[i : i + 2], CPU)) for i in (0, 2, 4, 6)]
    mean = torch.stack([x.mean(dim=(0, 2, 3)) for x in seen]).mean(dim=0)
    torch.testing.assert_close(result.model.module.norm.running_mean, mean)


def test_one_image_that_does_not_fit_is_an_error(monkeypatch):
    monkeypatch.setattr(Greedy, "most", 0)
    with pytest.raises(OutOfMemory, match="12 px"):
        adapt(Greedy(TinyNet()), pictures(1))


def load_tiny(architecture: str, folder: Any) -> Any:
    if architecture == "compact":
        torch.manual_seed(0)
        write_bundle(folder, CompactSegmenter(3, width=6, feature_channels=8), names(3), {"a": 1})
        return BundledSegmenter.load(folder, CPU)
    tiny(architecture).save_pretrained(folder)
    return HuggingFaceSegmenter.load(folder, CPU)


@pytest.mark.parametrize("architecture", ["compact", *ARCHITECTURES])
@pytest.mark.parametrize("sizes", [[(40, 50)], [(40, 50), (40, 50), (1, 1)]])
def test_real_networks_are_adapted_saved_and_loaded(architecture, sizes, tmp_path):
    model = load_tiny(architecture, tmp_path / "before")
    images = [image for height, width in sizes for image in pictures(1, height, width, 128)]
    result = adapt(model, images)
    assert result.changed
    save_model(result.model, tmp_path / "after")
    again = type(model).load(tmp_path / "after", CPU)
    assert again.ontology == model.ontology
    x = to_tensor(pictures(1, 40, 50), CPU)
    with torch.inference_mode():
        before, after = model.forward(x).logits, result.model.forward(x).logits
        assert not torch.equal(before, after)
        assert torch.equal(again.forward(x).logits, after)
    assert len(batch_norms(again.module)) == len(batch_norms(model.module)) > 0


def test_a_bundle_keeps_its_provenance(tmp_path):
    module = CompactSegmenter(3, width=6, feature_channels=8)
    model = BundledSegmenter(Bundle(module, names(3), {"from": "here"}), CPU)
    save_model(model, tmp_path)
    assert BundledSegmenter.load(tmp_path, CPU).provenance == {"from": "here"}
