"""Loaded by every Python of the service under test: an image or a model with a mark kills its
worker.

The service's own code is untouched; Pillow's `load` is where the mark of an image is seen, and the
JSON reader that of a bundle.
"""

import json
import os
import signal

if "SELVAGE_PROGRESS_FD" in os.environ:
    from PIL import ImageFile

    _load = ImageFile.ImageFile.load

    def _load_or_die(self, *args, **kwargs):
        if self.info.get("comment") == b"deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return _load(self, *args, **kwargs)

    ImageFile.ImageFile.load = _load_or_die  # type: ignore[method-assign]

    _loads = json.loads

    def _loads_or_die(*args, **kwargs):
        content = _loads(*args, **kwargs)
        if isinstance(content, dict) and content.get("provenance") == {"mark": "deadly-model"}:
            os.kill(os.getpid(), signal.SIGKILL)
        return content

    json.loads = _loads_or_die
