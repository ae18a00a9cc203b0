"""Model versions in memory, on the device of a worker."""

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from storage.catalog.tables import ModelVersionRow
from storage.objects import Objects
from workers.model_files import ModelFiles

if TYPE_CHECKING:
    from models.segmentation.base import SegmentationModel

LOADED_MODELS = 2


class ModelCache(ModelFiles):
    """Loads as well. Used by one thread of one process."""

    def __init__(self, folder: Path, objects: Objects, max_bytes: int, device: str) -> None:
        super().__init__(folder, objects, max_bytes)
        self.device = device
        self._loaded: OrderedDict[str, SegmentationModel] = OrderedDict()

    def is_loaded(self, version: ModelVersionRow) -> bool:
        return version.digest in self._loaded

    def drop_loaded(self) -> None:
        """Give the memory back; the files stay."""
        self._loaded.clear()

    def load(self, version: ModelVersionRow) -> "SegmentationModel":
        """Return the model, ready on the device.

        Raises:
            ModelDamaged: the stored files are gone, or not those that were registered.
            ModelRefused: the files cannot be loaded.
            StorageUnavailable: the store failed.
        """
        from models.segmentation.loading import load_model

        if version.digest not in self._loaded:
            while len(self._loaded) >= LOADED_MODELS:
                self._loaded.popitem(last=False)
            self._loaded[version.digest] = load_model(self.folder_of(version), self.device)
        self._loaded.move_to_end(version.digest)
        return self._loaded[version.digest]

    def load_unshared(self, version: ModelVersionRow) -> "SegmentationModel":
        """Return a copy that the caller may change; errors as in `load`."""
        from models.segmentation.loading import load_model

        return load_model(self.folder_of(version), self.device)
