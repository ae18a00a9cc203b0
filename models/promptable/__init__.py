"""Region models: an image and prompts, or an image and a grid, to class-agnostic masks."""

from models.torchvision_operators import ensure_torchvision_operators

# Before any module of this package imports segment-anything, which imports torchvision.
ensure_torchvision_operators()
