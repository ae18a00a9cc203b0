"""Student and teacher: two copies of one model, of which the second follows the first.

Source of the teacher: Tarvainen and Valpola, "Mean teachers are better role models" (2017).
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.adaptation.terms import Dense
from models.errors import ModelOutputInvalid
from models.segmentation.base import ModuleModel, batch_norms


def look(model: ModuleModel, images: Tensor) -> Dense:
    """Logits and features of images, float32 [B, 3, H, W]; with gradient if torch records it.

    Raises:
        ModelOutputInvalid: the model gives no features.
    """
    output = model.forward(images)
    if output.features is None:
        raise ModelOutputInvalid("the model gives no features, which training needs")
    return Dense(output.logits, output.features, output.covers_hw_px)


def student_looks(
    student: ModuleModel, parts: Mapping[str, Tensor], normalisation: str
) -> dict[str, Dense]:
    """The student's answers to several batches of images, with gradient.

    Args:
        student: in training mode.
        parts: images [B, 3, H, W] by name.
        normalisation: see `Recipe.normalisation`; "mixed" looks at all of one size together.
    """
    first = next(iter(parts.values()))
    alike = all(images.shape[1:] == first.shape[1:] for images in parts.values())
    if normalisation == "separate" or not alike:
        return {name: look(student, images) for name, images in parts.items()}
    whole = look(student, torch.cat(list(parts.values())))
    found, begin = {}, 0
    for name, images in parts.items():
        own = slice(begin, begin + len(images))
        found[name] = Dense(whole.logits[own], whole.features[own], whole.covers_hw_px)
        begin = own.stop
    return found


def set_training_mode(model: ModuleModel, normalisation: str) -> None:
    """Training mode; with "frozen" the layers with batch statistics keep theirs."""
    model.module.train()
    if normalisation == "frozen":
        for layer in batch_norms(model.module):
            layer.eval()


def teacher_of(student: ModuleModel) -> ModuleModel:
    """A copy that never gets a gradient."""
    teacher = copy.deepcopy(student)
    teacher.module.requires_grad_(False)
    return teacher


def teacher_momentum(step: int, momentum: float) -> float:
    """min(1 - 1/(step + 1), momentum): the first steps count alike."""
    return min(1 - 1 / (step + 1), momentum)


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """teacher ← momentum · teacher + (1 - momentum) · student, weights alone.

    Batch statistics are the teacher's own: it sees other images than the student does.
    """
    for mean, value in zip(teacher.parameters(), student.parameters(), strict=True):
        mean.lerp_(value, 1 - momentum)


@contextmanager
def teaching(teacher: ModuleModel, normalisation: str) -> Iterator[None]:
    """While entered, the teacher is ready to label batches of the target.

    Its layers with batch statistics use those of the batch, unless they are frozen: running ones
    would lag behind weights that change with every step. Dropout stays off.
    """
    layers = [] if normalisation == "frozen" else batch_norms(teacher.module)
    teacher.module.eval()
    for layer in layers:
        layer.train()
    try:
        with torch.no_grad():
            yield
    finally:
        teacher.module.eval()
