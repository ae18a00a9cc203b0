import json

import numpy as np
import pytest
import torch

from models.errors import ModelRefused
from models.rectification.rectifier import Rectifier, field_input, weights_digest
from tests.models.fakes import RedModel, TinyNet, TinyNetModel
from tests.models.rectification.test_stage import NAMES, prediction
from tests.models.rectification.toys import doubtful_everywhere


def test_it_comes_back_from_its_description_and_tensors():
    rectifier = doubtful_everywhere(NAMES, 3, 0.7)
    config = json.loads(json.dumps(rectifier.config()))
    again = Rectifier.from_tensors(config, rectifier.tensors())
    assert again.config() == rectifier.config()
    for name, value in rectifier.tensors().items():
        np.testing.assert_array_equal(again.tensors()[name], value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format_version", 2),
        ("class_names", ["one"]),
        ("class_names", None),
        ("field", {"feature_channels": 3}),
        ("field", []),
        ("calibration", {"scale": -1.0, "shift": 0.0}),
        ("calibration", {"scale": float("nan"), "shift": 0.0}),
        ("calibration", 3),
        ("confidence_gain", "much"),
    ],
)
def test_damaged_descriptions_are_refused(key, value):
    rectifier = doubtful_everywhere(NAMES, 3, 0.7)
    with pytest.raises(ValueError, match=r"version|complete|classes|sizes|finite|float"):
        Rectifier.from_tensors({**rectifier.config(), key: value}, rectifier.tensors())


@pytest.mark.parametrize("change", ["missing", "shape", "nan"])
def test_damaged_weights_are_refused(change):
    rectifier = doubtful_everywhere(NAMES, 3, 0.7)
    tensors = rectifier.tensors()
    if change == "missing":
        del tensors["field.first.weight"]
    elif change == "shape":
        tensors["field.first.weight"] = tensors["field.first.weight"][:1]
    else:
        tensors["auxiliary.layers.0.bias"] = np.full(64, np.nan, np.float32)
    with pytest.raises(ValueError, match=r"do not fit|finite"):
        Rectifier.from_tensors(rectifier.config(), tensors)


def test_digest_knows_learned_weights_and_not_running_statistics_or_precision():
    model = TinyNetModel(TinyNet())
    digest = weights_digest(model)
    model.module.norm.running_mean.add_(1)
    assert weights_digest(model) == digest
    model.module.half().float()
    assert weights_digest(model) == digest
    with torch.no_grad():
        model.module.conv.weight.add_(0.1)
    assert weights_digest(model) != digest
    assert weights_digest(RedModel()) == ""


def test_another_model_or_another_order_of_classes_is_refused():
    rectifier = doubtful_everywhere(tuple(c.name for c in RedModel.ontology.classes), 3, 0.7)
    rectifier.check_fits(RedModel())
    with pytest.raises(ModelRefused) as refusal:
        doubtful_everywhere(("class 1", "class 0"), 3, 0.7).check_fits(RedModel())
    assert refusal.value.code == "rectifier-of-another-model"


def test_without_features_the_probabilities_are_read():
    detail = prediction(p_thing=0.75).detail
    assert detail is not None
    given = field_input(detail)
    assert given.features.shape == (1, 3, 2, 2)
    bare = field_input(type(detail)(detail.probabilities, None, (8.0, 8.0)))
    assert bare.features_cover_hw_px == bare.probabilities_cover_hw_px == (8.0, 8.0)
    torch.testing.assert_close(bare.features, bare.probabilities.log())
