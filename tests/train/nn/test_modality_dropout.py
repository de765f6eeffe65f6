"""Modality dropout: at the rate asked for, of what is there, and never of everything."""

import torch

from weldcache.train.nn.modality_dropout import drop_modalities


def test_hides_at_the_rate_what_is_there(generator: torch.Generator) -> None:
    present = {"video": torch.ones(20_000, dtype=torch.bool), "audio": torch.rand(20_000, generator=generator) < 0.5}
    left = drop_modalities(present, probability=0.3, generator=generator)
    assert left.keys() == present.keys()
    assert not (left["audio"] & ~present["audio"]).any()
    both = present["audio"]
    # Of two modalities the first is hidden unless both draws are below 0.3 and its own is the higher: 0.3 - 0.09 / 2.
    assert abs((~left["video"][both]).float().mean().item() - 0.255) < 0.02
    assert left["video"][~both].all()


def test_never_hides_all_that_a_row_has(generator: torch.Generator) -> None:
    present = {name: torch.rand(500, generator=generator) < 0.6 for name in ("video", "audio", "image", "sensor")}
    left = drop_modalities(present, probability=0.99, generator=generator)
    had, has = (torch.stack(list(masks.values())).any(dim=0) for masks in (present, left))
    assert torch.equal(had, has)
    assert torch.stack(list(left.values())).sum(dim=0).float().mean() < 1.1


def test_of_none_nothing_is_hidden(generator: torch.Generator) -> None:
    present = {"video": torch.tensor([True, False]), "audio": torch.tensor([False, False])}
    left = drop_modalities(present, probability=0.0, generator=generator)
    assert {name: mask.tolist() for name, mask in left.items()} == {"video": [True, False], "audio": [False, False]}
