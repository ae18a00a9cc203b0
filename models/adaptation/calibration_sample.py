"""The last answers about held-out pixels, kept to calibrate by when a run ends."""

import torch
from torch import Tensor, nn

from models.rectification.calibration import PlattScaling, fit_platt


class CalibrationSample(nn.Module):
    """A ring of the newest logits and of whether the class was right, as buffers.

    Args:
        size: how many are kept.
    """

    logits: Tensor
    right: Tensor
    added: Tensor

    def __init__(self, size: int = 20_000) -> None:
        super().__init__()
        self.register_buffer("logits", torch.zeros(size))
        self.register_buffer("right", torch.zeros(size, dtype=torch.bool))
        self.register_buffer("added", torch.zeros((), dtype=torch.int64))

    def add(self, logits: Tensor, right: Tensor) -> None:
        """Keeps answers, float [N] and bool [N]; those that are not finite are left out."""
        finite = torch.isfinite(logits)
        logits, right = logits.detach()[finite], right[finite]
        places = (int(self.added) + torch.arange(len(logits), device=logits.device)) % len(
            self.logits
        )
        self.logits[places], self.right[places] = logits.to(self.logits), right
        self.added += len(logits)

    def calibration(self) -> PlattScaling | None:
        """Scale and shift that fit them best; None if they tell none, or that r says nothing."""
        count = min(int(self.added), len(self.logits))
        logits, right = self.logits[:count].cpu().numpy(), self.right[:count].cpu().numpy()
        if not count or right.all() or not right.any():
            return None
        found = fit_platt(logits, right)
        return found if found.scale > 0 else None
