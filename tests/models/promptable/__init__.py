import models.promptable  # noqa: F401  before any test imports segment-anything
