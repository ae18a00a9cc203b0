"""Hugging Face networks with a few thousand random weights."""

from typing import Any

import torch
import transformers

# The library's classes take keywords that its type hints do not name.
hf: Any = transformers
LABELS = {0: "road", 1: "car", 2: "tree", 3: "sky", 4: "person"}
_STAGES = ["stage1", "stage2", "stage3", "stage4"]
BACKBONES: dict[str, Any] = {
    "convnext": lambda: hf.ConvNextConfig(
        depths=[1] * 4, hidden_sizes=[4, 8, 8, 16], out_features=_STAGES
    ),
    "convnextv2": lambda: hf.ConvNextV2Config(
        depths=[1] * 4, hidden_sizes=[4, 8, 8, 16], out_features=_STAGES
    ),
    "resnet": lambda: hf.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1] * 4,
        layer_type="basic",
        out_features=_STAGES,
    ),
    "swin": lambda: hf.SwinConfig(
        embed_dim=8,
        depths=[1] * 4,
        num_heads=[1, 1, 2, 2],
        window_size=4,
        image_size=64,
        out_features=_STAGES,
    ),
}
ARCHITECTURES = ["segformer", *BACKBONES]


def tiny(architecture: str) -> Any:
    """SegFormer, or UperNet with the backbone that is named; seeded, in evaluation mode."""
    torch.manual_seed(0)
    if architecture == "segformer":
        config = hf.SegformerConfig(
            id2label=LABELS,
            depths=[1] * 4,
            hidden_sizes=[8, 8, 16, 16],
            num_attention_heads=[1] * 4,
            decoder_hidden_size=12,
        )
        return hf.SegformerForSemanticSegmentation(config).eval()
    config = hf.UperNetConfig(
        id2label=LABELS,
        backbone_config=BACKBONES[architecture](),
        hidden_size=12,
        use_auxiliary_head=False,
    )
    return hf.UperNetForSemanticSegmentation(config).eval()
