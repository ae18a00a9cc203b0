"""Region models in memory, found by digest: those that are built in and those of the catalog."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from storage.catalog.tables import ModelVersionRow
from workers.model_cache import ModelCache

if TYPE_CHECKING:
    from models.promptable.base import RegionModel

LOADED_REGION_MODELS: Final = 2


class RegionModelCache:
    """Loads each region model once. Used by one thread of one process."""

    def __init__(self, models: ModelCache) -> None:
        self._models = models
        self._loaded: OrderedDict[str, RegionModel] = OrderedDict()

    def is_loaded(self, digest: str) -> bool:
        return digest in self._loaded

    def drop_loaded(self) -> None:
        """Give the memory back."""
        self._loaded.clear()

    def load_built_in(self, name: str, digest: str) -> "RegionModel":
        """Return a region model that ships with the program, ready on the device.

        Raises:
            ModelRefused: what it needs is not installed here.
        """
        from models.promptable.builtin import load_built_in

        if digest not in self._loaded:
            self._make_room()
            self._loaded[digest] = load_built_in(name, self._models.device)
        return self._used(digest)

    def load_version(self, version: ModelVersionRow) -> "RegionModel":
        """Return a region model of the catalog, ready on the device.

        Raises:
            ModelDamaged: the stored files are gone, or not those that were registered.
            ModelRefused: the files cannot be loaded.
            StorageUnavailable: the store failed.
        """
        from models.promptable.folder import load_region_model

        if version.digest not in self._loaded:
            self._make_room()
            folder = self._models.folder_of(version)
            self._loaded[version.digest] = load_region_model(folder, self._models.device)
        return self._used(version.digest)

    def _make_room(self) -> None:
        while len(self._loaded) >= LOADED_REGION_MODELS:
            self._loaded.popitem(last=False)

    def _used(self, digest: str) -> "RegionModel":
        self._loaded.move_to_end(digest)
        return self._loaded[digest]
