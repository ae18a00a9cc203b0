"""The published checkpoints of Segment Anything that `selvage models pull` knows. No torch."""

from dataclasses import dataclass
from typing import Final

_PUBLISHED_AT: Final = "https://dl.fbaipublicfiles.com/segment_anything/"


@dataclass(frozen=True)
class Checkpoint:
    """A published file of weights.

    Attributes:
        name: of the model that it becomes, and of its architecture.
        url: where its authors publish it.
        sha256: in hex; what has another is not used.
        size_bytes: None where it is not known for sure.
    """

    name: str
    url: str
    sha256: str
    size_bytes: int | None = None

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]


CHECKPOINTS: Final = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint(
            "sam_vit_b",
            _PUBLISHED_AT + "sam_vit_b_01ec64.pth",
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            375_042_383,
        ),
        Checkpoint(
            "sam_vit_l",
            _PUBLISHED_AT + "sam_vit_l_0b3195.pth",
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
        Checkpoint(
            "sam_vit_h",
            _PUBLISHED_AT + "sam_vit_h_4b8939.pth",
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            2_564_550_879,
        ),
    )
}
