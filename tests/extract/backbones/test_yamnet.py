"""YAMNet: the published shape, log-mel frames against a slow reference, layers as blocks, only real sound counted."""

from math import ceil

import numpy as np
import pytest
import torch

from weldcache.errors import BackboneError
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.spec import AudioBackbone
from weldcache.extract.backbones.yamnet import (
    LogMelPreparation,
    Yamnet,
    YamnetConfig,
    log_mel,
)
from weldcache.extract.decode.decoded import AudioWindows
from weldcache.extract.features.settings import BackboneSettings

WINDOW = 163_840  # samples of 10.24 s


def backbone_of(loader: BackboneLoader, block: int | None, model: str = "demo-yamnet") -> AudioBackbone:
    return loader.sound(BackboneSettings(model=model), key="features.audio", block=block)


def windows_of(*num_valid: int) -> AudioWindows:
    samples = np.zeros((len(num_valid), WINDOW), dtype=np.float32)
    generator = np.random.default_rng(0)
    for row, valid in zip(samples, num_valid, strict=True):
        row[:valid] = generator.uniform(-0.5, 0.5, valid)
    return AudioWindows(samples, np.array(num_valid), active=np.array([np.nan, np.nan]))


def test_it_has_the_published_number_of_parameters() -> None:
    """3,751,369 (Plakal and Ellis), of which norms have no scale; here they have one, of 1, and statistics apart."""
    with torch.device("meta"):
        model = Yamnet(YamnetConfig())
    scales = sum(values.numel() for name, values in model.named_parameters() if name.endswith("norm.weight"))
    statistics = sum(values.numel() for values in model.buffers())
    assert sum(values.numel() for values in model.parameters()) - scales + statistics == 3_751_369
    assert model.layers[5].pointwise.weight.shape == (256, 256, 1, 1)


def test_frames_are_those_of_a_slow_reference() -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, 1_000).astype(np.float32)
    found = log_mel(samples)
    assert found.shape == (1 + (1_000 - 400) // 160, 64)

    def mel(hertz: float) -> float:
        return 1127 * np.log(1 + hertz / 700)

    edges = np.linspace(mel(125), mel(7_500), 66)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    for place in (0, 3):
        cut = np.zeros(512)
        cut[:400] = samples[place * 160 : place * 160 + 400] * window
        magnitudes = np.abs(np.fft.fft(cut))[:257]
        for band in (0, 20, 63):
            low, middle, high = edges[band : band + 3]
            energy = 0.0
            for frequency in range(1, 257):
                at = mel(frequency * 16_000 / 512)
                energy += magnitudes[frequency] * max(
                    0, min((at - low) / (middle - low), (high - at) / (high - middle))
                )
            assert found[place, band] == pytest.approx(np.log(energy + 0.001), abs=1e-4)


def test_what_is_no_recording_is_quiet() -> None:
    frames = LogMelPreparation()(windows_of(WINDOW, 16_000, 10))
    assert frames.shape == (3, 1022, 64) and frames.dtype == torch.float32
    assert (frames[1, 98:] == np.float32(np.log(0.001))).all() and (frames[1, :98] > -6).all()
    assert (frames[2, 1:] == np.float32(np.log(0.001))).all()


@pytest.mark.parametrize(("block", "stride", "dim"), [(1, 2, 16), (6, 8, 16), (14, 32, 64), (None, 32, 64)])
def test_layers_are_blocks(loader: BackboneLoader, block: int | None, stride: int, dim: int) -> None:
    backbone = backbone_of(loader, block)
    assert isinstance(backbone, AudioBackbone)
    assert (backbone.num_tokens, backbone.dim) == (ceil(1022 / stride), dim)
    made = backbone(backbone.preparation(windows_of(WINDOW, 50_000)))
    assert made["tokens"].shape == (2, backbone.num_tokens, dim) and made["tokens"].dtype == torch.float32
    torch.testing.assert_close(made["embedding"], made["tokens"].mean(dim=1))
    assert 0.01 < made["tokens"].std() < 100
    assert [backbone.num_valid_tokens(valid) for valid in (0, 1, WINDOW)] == [0, 1, backbone.num_tokens]
    assert backbone.num_valid_tokens(16_000) == ceil(98 / stride)


def test_a_piece_depends_on_its_own_second_alone(loader: BackboneLoader) -> None:
    backbone = backbone_of(loader, 6)
    frames = backbone.preparation(windows_of(WINDOW))
    before = backbone(frames)["tokens"]
    frames[0, 96:192] += 1
    changed = (backbone(frames)["tokens"] != before).any(dim=2)[0]
    assert changed.nonzero().flatten().tolist() == list(range(12, 24))


def test_deeper_layers_cost_more(loader: BackboneLoader) -> None:
    assert 0 < backbone_of(loader, 3).flops() < backbone_of(loader, 14).flops()


def test_layers_that_are_not_there_are_refused(loader: BackboneLoader) -> None:
    with pytest.raises(BackboneError, match=r"has 14 blocks.*features\.audio"):
        backbone_of(loader, 15)
    with pytest.raises(BackboneError, match=r"features\.audio\.block = 2: .*gives its last block alone"):
        backbone_of(loader, 2, model="demo")
