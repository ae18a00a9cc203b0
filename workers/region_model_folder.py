"""Finds out whether a folder holds a region model that works, and what is told about it."""

import json
import time
from pathlib import Path
from typing import Any

from api_schemas.models import REGION_MODEL_KIND

REGION_MODEL_FILE = "region_model.json"


def is_region_model(folder: Path) -> bool:
    return (folder / REGION_MODEL_FILE).is_file()


def check_region_model(folder: Path) -> dict[str, Any]:
    """Load a region model; returns {"kind", "ontology" (none), "architecture", "seconds"}.

    Raises:
        ModelRefused: with the reason and what to do about it.
    """
    from models.promptable.folder import load_region_model

    started = time.monotonic()
    load_region_model(folder, "cpu")
    content = json.loads((folder / REGION_MODEL_FILE).read_bytes())
    return {
        "kind": REGION_MODEL_KIND,
        "ontology": {},
        "architecture": content["architecture"],
        "seconds": time.monotonic() - started,
    }
