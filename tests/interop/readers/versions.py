"""Prints the versions of the readers of other tools."""

import json
from importlib.metadata import version

PEERS = ("label-studio-sdk", "cvat-sdk", "datumaro", "pycocotools", "datasets")

if __name__ == "__main__":
    print(json.dumps({name: version(name) for name in PEERS}))
