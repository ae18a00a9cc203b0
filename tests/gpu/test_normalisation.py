"""Batch statistics that are re-estimated on a GPU are those of a CPU."""

import torch

from models.normalisation import reestimate_batch_statistics
from models.segmentation.base import batch_norms
from tests.gpu.device import CPU, DEVICE, MARKS, demo_model, three_images

pytestmark = MARKS


def test_statistics_are_those_of_a_cpu():
    of_cpu, of_device = (
        reestimate_batch_statistics(demo_model(device), three_images()).model
        for device in (CPU, DEVICE)
    )
    layers = [batch_norms(one.module) for one in (of_cpu, of_device)]  # type: ignore[attr-defined]
    for here, there in zip(*layers, strict=True):
        assert here.running_mean is not None
        assert here.running_var is not None
        assert there.running_mean is not None
        assert there.running_var is not None
        assert there.running_mean.device.type == DEVICE.type
        spread = here.running_var.sqrt()
        apart = (there.running_mean.cpu() - here.running_mean).abs() / spread
        assert float(apart.max()) <= 0.02
        torch.testing.assert_close(there.running_var.cpu(), here.running_var, rtol=0.05, atol=1e-4)
