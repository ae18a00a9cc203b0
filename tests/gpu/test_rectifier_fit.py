"""A rectifier that is fitted on predictions of a GPU is like one of a CPU's."""

import numpy as np
import torch

from models.config import PredictConfig
from models.prediction import Predictor
from models.rectification.config import RectifyConfig
from models.rectification.rectifier import Rectifier
from models.rectification.source_fit import SourceFitSettings, fit_rectifier
from models.rectification.stage import rectify
from models.rectification.training import TrainingSettings
from tests.gpu.device import CPU, DEVICE, MARKS, demo_model, scene

pytestmark = MARKS

SIZE_HW = (120, 160)
SETTINGS = SourceFitSettings(
    styles=3, style_images=8, points=256, training=TrainingSettings(steps=20, views=4, points=256)
)


def fitted(device: torch.device) -> tuple[Rectifier, dict]:
    scenes = [scene(200 + number, "night", SIZE_HW) for number in range(12)]
    labelled = [(f"{place}", one.image, one.label) for place, one in enumerate(scenes)]
    return fit_rectifier(demo_model(device), labelled, PredictConfig(), settings=SETTINGS)


def test_it_is_like_that_of_a_cpu_and_works_on_both():
    (here, of_here), (there, of_there) = fitted(CPU), fitted(DEVICE)
    print("auroc", of_here["held_out"]["auroc"], of_there["held_out"]["auroc"])
    assert of_there["views"] == of_here["views"]
    assert abs(of_there["wrong_fraction"] - of_here["wrong_fraction"]) <= 0.005
    assert abs(of_there["held_out"]["auroc"] - of_here["held_out"]["auroc"]) <= 0.03
    assert all(np.isfinite(values).all() for values in there.tensors().values())
    image = scene(300, "night", SIZE_HW).image
    answers = []
    for device, rectifier in ((CPU, here), (DEVICE, there), (CPU, there)):
        model = demo_model(device)
        rectifier.check_fits(model)
        ((_, prediction),) = Predictor(model, PredictConfig(), with_detail=True).predict([image])
        assert rectifier.on(device).device.type == device.type
        answers.append(
            rectify(prediction, rectifier.on(device), RectifyConfig(relabel=False)).p_max
        )
    assert np.abs(answers[0] - answers[1]).mean() <= 0.03
    assert np.abs(answers[1] - answers[2]).mean() <= 0.01
