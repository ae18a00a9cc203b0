import pytest
import torch

from models.adaptation.losses import labelled_loss
from models.adaptation.resolution import upsampled
from models.adaptation.translation import translated
from models.errors import ConfigError
from tests.models.adaptation.steps import one_step, term, train


@pytest.mark.parametrize("name", ["style_ce", "pull"])
@pytest.mark.parametrize("setting", ["source_free", "black_box"])
def test_without_source_there_is_nothing_to_translate(name, setting):
    with pytest.raises(ConfigError, match="source"):
        term(name, setting)


def test_the_loss_is_cross_entropy_on_source_images_in_target_style():
    style_ce = term("style_ce", engine="colour")
    found = one_step([style_ce])
    inputs = found.outputs.inputs
    assert inputs.source is not None
    ((name, images),) = found.outputs.extra_images.items()
    expected = translated(inputs.source.weak_images, inputs.target.images, "colour", 0.01)
    assert torch.equal(images, expected)
    # The target of the toys is half as bright.
    assert images.mean() < 0.7 * inputs.source.weak_images.mean()
    logits = upsampled(found.outputs.extra[name].logits, (16, 16))
    torch.testing.assert_close(
        found.losses["style_ce"], labelled_loss(logits, inputs.source.labels).detach()
    )


def test_methods_of_one_translation_share_a_look():
    terms = [term("style_ce"), term("pull")]
    assert len(one_step(terms).outputs.extra) == 1
    terms = [term("style_ce"), term("pull", window_share=0.1)]
    assert len(one_step(terms).outputs.extra) == 2


def test_it_falls():
    _, reports = train({"style_ce": {}}, steps=40)
    losses = [report.losses["style_ce"] for report in reports]
    assert sum(losses[-8:]) < 0.9 * sum(losses[:8])
