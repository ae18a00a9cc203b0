"""Register a model folder: `python -m workers.add_model FOLDER --name NAME`.

Run by `selvage models add` on the operator's machine, in a process of its own: this is where a
file that carries code (TorchScript, torch.export) is first opened.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from api_schemas.models import MODEL_NAME_PATTERN
from api_schemas.problems import StateConflict
from domain.models import reference_of
from domain.settings import Settings
from models.errors import ModelRefused
from models.segmentation.loading import check_model
from storage.catalog.engine import Catalog
from storage.catalog.migrations import upgrade
from storage.kept_objects import KeptObjects
from workers.model_folder import store_folder
from workers.region_model_folder import check_region_model, is_region_model


def main() -> None:
    """Check the model, store it, and print its reference."""
    parser = argparse.ArgumentParser(prog="selvage models add", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True, help="lower case, digits, . _ -")
    parser.add_argument("--promote", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if not re.match(MODEL_NAME_PATTERN, arguments.name):
        sys.exit(f"'{arguments.name}' is no model name: lower case letters, digits, . _ and -")
    if not arguments.folder.is_dir():
        sys.exit(f"'{arguments.folder}' is not a folder. Give the folder that holds the model.")
    try:
        facts = _checked(arguments.folder)
    except ModelRefused as error:
        sys.exit(f"The model was refused ({error.code}): {error}")
    settings = Settings()
    upgrade(settings.catalog_url)
    ontology = facts.pop("ontology")
    kind = facts.pop("kind")
    catalog = Catalog(settings.catalog_url)
    try:
        row = store_folder(
            catalog,
            KeptObjects.open_kept(settings.store_address, catalog),
            arguments.folder,
            name=arguments.name,
            facts=facts,
            ontology=ontology,
            kind=kind,
            provenance={"source": "models add"},
            promote=arguments.promote,
        )
    except StateConflict as error:
        sys.exit(error.detail)
    finally:
        catalog.close()
    if arguments.json:
        print(json.dumps({"model": reference_of(row), "digest": row.digest, "facts": row.facts}))
    else:
        classes = f"{len(row.ontology['classes'])} classes, " if row.ontology else ""
        print(f"{reference_of(row)} is ready: {kind}, {classes}{row.size_bytes} bytes")


def _checked(folder: Path) -> dict[str, Any]:
    """Return what loading the model, segmenter or region model, says about it."""
    return check_region_model(folder) if is_region_model(folder) else check_model(folder, "cpu")


if __name__ == "__main__":
    main()
