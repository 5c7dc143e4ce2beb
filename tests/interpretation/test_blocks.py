"""A block opened computes what it does closed."""

from __future__ import annotations

import pytest
import torch

from tests.models.tiny import clip, randomise, tiny_network
from timesformer.interpretation.blocks import attention_in
from timesformer.models.attention import ATTENTION_SCHEMES


@pytest.mark.parametrize("scheme", ATTENTION_SCHEMES.names())
def test_the_logits_are_equal(scheme: str) -> None:
    network = tiny_network(scheme, img_size=(24, 40), num_frames=3).eval()
    randomise(network)
    pixels = clip(2, 3, 24, 40)
    tokens, grid = network.embed(pixels)
    for block in network.blocks:
        is_last = block is network.blocks[-1]
        tokens, record = attention_in(block, tokens, grid, only_cls=is_last)
        for calls in record.values():
            for matrix in calls:
                torch.testing.assert_close(matrix.sum(dim=-1), torch.ones(matrix.shape[:-1]))
    cls_token = network.scheme.cls_token_of(tokens, grid)
    cls_token = cls_token.mean(dim=1) if cls_token.ndim == 3 else cls_token
    with torch.no_grad():
        expected = network(pixels)
    # float32 sums in another order
    torch.testing.assert_close(
        network.head(network.norm(cls_token)), expected, rtol=1e-4, atol=1e-5
    )
