import pytest
import torch

from models.promptable.decoding import all_masks, answer_prompts, some_masks
from models.promptable.two_way import answer_prompts_of_image, chosen_masks
from tests.models.promptable.tiny import tiny_sam


@pytest.mark.parametrize("tokens", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 7])
def test_answers_and_masks_are_those_of_the_package(tokens, count):
    sam = tiny_sam()
    generator = torch.Generator().manual_seed(tokens)
    embedding = torch.randn(32, 8, 8, generator=generator)
    sparse = torch.randn(count, tokens, 32, generator=generator)
    everything, iou = sam.mask_decoder.predict_masks(
        embedding[None],
        sam.prompt_encoder.get_dense_pe(),
        sparse,
        sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1),
    )
    ours = answer_prompts_of_image(sam, embedding, sparse)
    plain = answer_prompts(sam, embedding.expand(count, -1, -1, -1), sparse)
    for answers in (ours, plain):
        torch.testing.assert_close(answers.iou, iou, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.source, plain.source, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours.tokens, plain.tokens, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(all_masks(sam, plain), everything, atol=1e-3, rtol=1e-3)
    # Not all prompts, not all masks, and two masks of one prompt.
    prompts = torch.tensor([0, 0, count - 1])
    masks = torch.tensor([3, 1, 0])
    for some in (some_masks, chosen_masks):
        found = some(sam, ours, prompts, masks)
        torch.testing.assert_close(found, everything[prompts, masks], atol=1e-3, rtol=1e-3)
