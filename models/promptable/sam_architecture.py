"""The shape of a SAM, and the network of `segment-anything` that has it.

Kirillov et al., "Segment Anything", ICCV 2023. All sizes are built from the package's own classes:
the three official ones, and a nano SAM that a CPU runs.
"""

from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import Any

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import nn

MASK_CHANNELS = 16
NUM_MULTIMASK_OUTPUTS = 3


@dataclass(frozen=True)
class SamArchitecture:
    """Sizes of a SAM; the defaults are what the official three share.

    Attributes:
        encoder_dim: channels of the image encoder.
        encoder_depth: its number of transformer blocks.
        encoder_heads: attention heads of a block.
        global_attention: indices of the blocks that attend over the whole image.
        image_px: side of the square that the longest side of an image is scaled to.
        patch_px: side of a patch; the embedding has `image_px / patch_px` places a side, and
            masks come out four times as fine.
        window: side of the attention windows of the other blocks, in patches.
        mlp_ratio: hidden channels of a block's MLP over `encoder_dim`.
        prompt_dim: channels of embedding and prompts; a multiple of 2 times `decoder_heads`.
        decoder_depth: two-way blocks of the mask decoder.
        decoder_heads: their attention heads.
        decoder_mlp_dim: hidden channels of their MLP.
        iou_hidden_dim: hidden channels of the head that estimates a mask's IoU.
        decoder_downsample: by how much the decoder's cross attention narrows `prompt_dim`.
    """

    encoder_dim: int
    encoder_depth: int
    encoder_heads: int
    global_attention: tuple[int, ...]
    image_px: int = 1024
    patch_px: int = 16
    window: int = 14
    mlp_ratio: float = 4.0
    prompt_dim: int = 256
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    iou_hidden_dim: int = 256
    decoder_downsample: int = 2

    @property
    def grid_px(self) -> int:
        """Places of the embedding along one side."""
        return self.image_px // self.patch_px

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "global_attention": list(self.global_attention)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SamArchitecture":
        """Raises ValueError on unknown or missing keys and on values of another type."""
        if set(data) - {f.name for f in fields(cls)}:
            raise ValueError(f"unknown keys {sorted(set(data) - {f.name for f in fields(cls)})}")
        values = {**data, "global_attention": tuple(data.get("global_attention", ()))}
        numbers = [v for k, v in values.items() if k not in ("global_attention", "mlp_ratio")]
        numbers += values["global_attention"]
        if not all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in numbers):
            raise ValueError("sizes are whole numbers")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from error


VIT_B = SamArchitecture(768, 12, 12, (2, 5, 8, 11))
VIT_L = SamArchitecture(1024, 24, 16, (5, 11, 17, 23))
VIT_H = SamArchitecture(1280, 32, 16, (7, 15, 23, 31))
OFFICIAL = {"sam_vit_b": VIT_B, "sam_vit_l": VIT_L, "sam_vit_h": VIT_H}

NANO = SamArchitecture(
    encoder_dim=192,
    encoder_depth=6,
    encoder_heads=3,
    global_attention=(1, 3, 5),
    image_px=256,
    patch_px=8,
    window=8,
    mlp_ratio=4.0,
    prompt_dim=96,
    decoder_heads=6,
    decoder_mlp_dim=192,
    iou_hidden_dim=96,
    decoder_downsample=1,
)


def build_sam(architecture: SamArchitecture) -> Sam:
    """A freshly initialised network of this shape, as `segment_anything.build_sam` builds it.

    Raises:
        ValueError: if no network has this shape.
    """
    a = architecture
    if a.image_px % a.patch_px or a.prompt_dim % (2 * a.decoder_heads) or a.prompt_dim % 8:
        raise ValueError("image_px is a multiple of patch_px, prompt_dim one of 8 and 2·heads")
    if a.encoder_dim % a.encoder_heads:
        raise ValueError("encoder_dim is a multiple of encoder_heads")
    embedding_hw = (a.grid_px, a.grid_px)
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=a.image_px,
            patch_size=a.patch_px,
            embed_dim=a.encoder_dim,
            depth=a.encoder_depth,
            num_heads=a.encoder_heads,
            mlp_ratio=a.mlp_ratio,
            out_chans=a.prompt_dim,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=a.window,
            global_attn_indexes=a.global_attention,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=a.prompt_dim,
            image_embedding_size=embedding_hw,
            input_image_size=(a.image_px, a.image_px),
            mask_in_chans=MASK_CHANNELS,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=NUM_MULTIMASK_OUTPUTS,
            transformer=TwoWayTransformer(
                depth=a.decoder_depth,
                embedding_dim=a.prompt_dim,
                mlp_dim=a.decoder_mlp_dim,
                num_heads=a.decoder_heads,
                attention_downsample_rate=a.decoder_downsample,
            ),
            transformer_dim=a.prompt_dim,
            iou_head_depth=3,
            iou_head_hidden_dim=a.iou_hidden_dim,
        ),
    )


def num_parameters(network: torch.nn.Module) -> int:
    """Number of learned values."""
    return sum(p.numel() for p in network.parameters())
