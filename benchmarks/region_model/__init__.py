"""Trains and scores the nano SAM: a promptable region model that a CPU runs."""

import models.promptable  # noqa: F401  (makes segment-anything importable beside any torch)
