"""The region models that ship with the program."""

from models.promptable.base import RegionModel
from models.promptable.folder import load_region_model
from models.promptable.graph import GraphRegionModel
from models.region_models import BUILT_IN, built_in_digest, nano_folder

__all__ = ["BUILT_IN", "built_in_digest", "load_built_in"]


def load_built_in(name: str, device: str = "cpu") -> RegionModel:
    """The region model of this name, ready on `device`.

    Raises:
        ModelRefused: `region-model-missing`, see `models.region_models.built_in_digest`; or its
            weights are damaged.
    """
    digest = built_in_digest(name)
    if name == "nano":
        return load_region_model(nano_folder(), device)
    return GraphRegionModel(digest)
