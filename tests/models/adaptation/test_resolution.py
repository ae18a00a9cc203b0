"""Between images and maps."""

import torch

from models.adaptation.resolution import labels_at, upsampled


def test_labels_at_takes_the_centres_of_cells():
    labels = torch.tensor([[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]])
    assert labels_at(labels, (2, 2)).tolist() == [[[5, 7], [13, 15]]]
    assert labels_at(labels, (4, 4)).equal(labels)


def test_upsampled_cuts_what_the_network_padded():
    logits = torch.arange(4.0).view(1, 1, 2, 2)
    whole = upsampled(logits, (4, 4))
    padded = upsampled(logits, (3, 4), covers_hw_px=(4, 4))
    assert padded.equal(whole[..., :3, :])
