"""Load a model folder, run one image, print what it says: `python -m workers.check_model FOLDER`.

For processes without torch. One JSON object goes to standard output; a model that is refused ends
with exit code 65 and the reason on standard error.
"""

import json
import sys
from pathlib import Path
from typing import Final

from models.errors import ModelRefused
from models.segmentation.loading import check_model

REFUSED: Final = 65


def main() -> None:
    """Check the folder that the command line names."""
    try:
        facts = check_model(Path(sys.argv[1]), "cpu")
    except ModelRefused as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        sys.exit(REFUSED)
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
