"""The fusion against attention computed slowly, what a row that lacks something comes to, strides, and votes."""

import math

import pytest
import torch

from weldcache.train.recipes.supcon.network import CrossAttentionFusion, SeriesEncoder, SupConNetwork, Tokens

NAMES = ("video", "sensor")


def fusion() -> CrossAttentionFusion:
    torch.manual_seed(0)
    return CrossAttentionFusion(NAMES, width=8, num_tokens=3, num_heads=2, dropout=0.5).eval()


def tokens(num: int = 4, *, seed: int = 0, width: int = 8) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    real = torch.ones(num, 5, dtype=torch.bool)
    real[0, 3:] = False
    return Tokens(torch.randn(num, 5, width, generator=generator), real)


@torch.no_grad()
def test_it_asks_each_modality_in_turn() -> None:
    model, given = fusion(), {"video": tokens(seed=1), "sensor": tokens(seed=2)}
    found = model(given)
    asking, sizes = model.tokens, []
    for name in NAMES:
        attend, values = model.attention[name], given[name].values[0, :3]  # of the first row, without padding
        query, key, value = (
            torch.nn.functional.linear(of, weight, bias)
            for of, weight, bias in zip(
                (asking, values, values), attend.in_proj_weight.chunk(3), attend.in_proj_bias.chunk(3), strict=True
            )
        )
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            weights = (query[:, part] @ key[:, part].T / math.sqrt(4)).softmax(dim=1)
            heads.append((weights, weights @ value[:, part]))
        update = attend.out_proj(torch.cat([seen for _, seen in heads], dim=1))
        looked = (heads[0][0] + heads[1][0]) / 2
        torch.testing.assert_close(found.attention[name][0, :, :3], looked)
        asking = model.norms[name](asking + update)
        sizes.append(update.norm())
    torch.testing.assert_close(found.embedding[0], model.joined(asking.flatten()))
    torch.testing.assert_close(found.shares[0], torch.stack(sizes) / sum(sizes))


@torch.no_grad()
def test_attention_sums_to_one_over_what_is_real_and_is_none_where_nothing_is() -> None:
    model, video, sensor = fusion(), tokens(seed=1), tokens(seed=2)
    sensor.real[1] = False
    found = model({"video": video, "sensor": sensor})
    assert not found.attention["sensor"][1].any() and not found.attention["video"][0, :, 3:].any()
    torch.testing.assert_close(found.attention["video"].sum(dim=2), torch.ones(4, 3))
    torch.testing.assert_close(found.shares[1], torch.tensor([1.0, 0.0]))
    other = model({"video": video, "sensor": Tokens(sensor.values + 1.0, sensor.real)})
    assert torch.equal(other.embedding[1], found.embedding[1]) and found.embedding.isfinite().all()
    assert not torch.equal(other.embedding[2], found.embedding[2])


@torch.no_grad()
@pytest.mark.parametrize("stride", [1, 2, 7])
def test_a_series_is_read_in_strides_and_its_padding_is_not(stride: int) -> None:
    torch.manual_seed(0)
    encoder = SeriesEncoder(8, width=8, layers=2, heads=2, stride=stride, dropout=0.1, to=6).eval()
    given = tokens()
    given.real[1] = False
    found = encoder(given)
    assert found.values.shape == (4, math.ceil(5 / stride), 6) and found.values[2:].isfinite().all()
    assert found.there.tolist() == [True, False, True, True]
    spoilt = Tokens(given.values.masked_fill(~given.real.unsqueeze(-1), 1e6), given.real)
    torch.testing.assert_close(encoder(spoilt).values[found.real], found.values[found.real])


@torch.no_grad()
def test_the_transformer_knows_the_order_of_steps() -> None:
    torch.manual_seed(0)
    encoder = SeriesEncoder(8, width=8, layers=1, heads=2, stride=1, dropout=0.0, to=6).eval()
    given = Tokens(torch.randn(1, 5, 8), torch.ones(1, 5, dtype=torch.bool))
    back = encoder(Tokens(given.values.flip(1), given.real)).values.flip(1)
    assert (back - encoder(given).values).abs().max() > 1e-3


def test_the_nearest_vote_and_the_nearer_one_decides_a_tie() -> None:
    model = SupConNetwork({}, channels={}, fusion=fusion(), width=2, projection=2, num_classes=3, num_neighbours=2)
    model.voters.fill(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [-1.0, 0.0]]))
    model.voter_classes = torch.eye(3, dtype=torch.bool)[[0, 0, 1, 2]]
    logits = model.votes(torch.tensor([[1.0, 0.0], [0.3, 1.0], [-0.4, 1.0], [-1.0, 0.5]]))
    assert logits.argmax(dim=1).tolist() == [0, 1, 1, 2]
    shares = logits.softmax(dim=1)
    torch.testing.assert_close(shares[0], torch.tensor([7.0, 1.0, 1.0]) / 9, rtol=0, atol=1e-3)
