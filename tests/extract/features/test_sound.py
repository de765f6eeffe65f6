"""Audio: the tokens of all windows in order, padded once at the end, and how many of them are real."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from weldcache.errors import DecodeError
from weldcache.extract.backbones.spec import BackboneSpec
from weldcache.extract.decode.decoded import AudioWindows
from weldcache.extract.features.kind import Prepared
from weldcache.extract.features.settings import SoundSettings
from weldcache.extract.features.sound import SoundEncoder
from weldcache.extract.sources.source import Sample

WINDOW = 163_840  # samples in 10.24 s
NUM_TOKENS = 4


def first_sample_of_each_window(decoded: AudioWindows) -> Tensor:
    """As if every window's spectrogram were its first sample."""
    return torch.from_numpy(decoded.samples[:, :1, None].copy())


@dataclass
class Telling:
    """A backbone whose token t of a window that begins with x is (x, t)."""

    spec = BackboneSpec("ast", "telling", "local", "0" * 64, True, "float32", {}, {})
    preparation = staticmethod(first_sample_of_each_window)
    num_tokens = NUM_TOKENS
    dim = 2

    def load(self) -> None:
        """Nothing to load."""

    def flops(self) -> int:
        return 7

    def __call__(self, batch: Tensor) -> dict[str, Tensor]:
        firsts = batch[:, 0, 0]
        tokens = torch.stack([firsts[:, None].expand(-1, NUM_TOKENS), torch.arange(4.0).expand(len(firsts), -1)], -1)
        return {"tokens": tokens, "embedding": torch.stack([firsts, firsts * 0 + 1], -1)}

    def num_valid_tokens(self, num_valid: int) -> int:
        return -(-num_valid * NUM_TOKENS // WINDOW)


def encode(encoder: SoundEncoder, *prepared: Prepared) -> Sequence[dict[str, Tensor]]:
    """Features of each recording, by array."""
    made = encoder.encode(prepared, feature_sets=frozenset({"audio"}))["audio"]
    return [{name: values[place] for name, values in made.items()} for place in range(len(prepared))]


@pytest.fixture
def encoder() -> SoundEncoder:
    return SoundEncoder("audio", SoundSettings(max_seconds=40.96), backbone=Telling(), dtype="float32")


@pytest.fixture
def record(tmp_path: Path) -> Callable[[float], Sample]:
    """A weld whose recording lasts so long and holds, in window w, the value (w + 1) / 8."""

    def make(seconds: float) -> Sample:
        path = tmp_path / f"{seconds}.flac"
        waveform = (np.arange(round(seconds * 16_000)) // WINDOW + 1) / 8
        soundfile.write(path, waveform, 16_000)
        return Sample("day/0", "train", "day", {"audio": (path,)})

    return make


@pytest.mark.parametrize(
    ("seconds", "length"),
    [(0.01, 1), (2.0, 1), (2.57, 2), (10.24, 4), (10.25, 5), (25.6, 10), (40.96, 16)],
)
def test_tokens_are_in_order_and_their_number_is_told(
    encoder: SoundEncoder, record: Callable[[float], Sample], seconds: float, length: int
) -> None:
    (features,) = encode(encoder, encoder.reader(record(seconds)))
    tokens = np.asarray(features["tokens"])
    assert int(features["tokens_length"]) == length
    assert tokens.shape == (16, 2) == encoder.specs[0].arrays[0].shape
    expected = [((1 + place // NUM_TOKENS) / 8, place % NUM_TOKENS) for place in range(length)]
    np.testing.assert_allclose(tokens[:length], expected)
    assert (tokens[length:] == 0).all()
    np.testing.assert_allclose(features["mean"], np.mean(expected, axis=0), rtol=1e-6)


def test_recordings_of_other_lengths_share_a_batch_and_nothing_else(
    encoder: SoundEncoder, record: Callable[[float], Sample]
) -> None:
    prepared = [encoder.reader(record(seconds)) for seconds in (25.6, 2.0, 15.0)]
    together = encode(encoder, *prepared)
    for item, features in zip(prepared, together, strict=True):
        (alone,) = encode(encoder, item)
        for name in alone:
            np.testing.assert_array_equal(features[name], alone[name])


def test_the_embedding_weighs_windows_by_what_is_real_of_them(
    encoder: SoundEncoder, record: Callable[[float], Sample]
) -> None:
    (features,) = encode(encoder, encoder.reader(record(15.36)))  # a window and a half
    np.testing.assert_allclose(features["embedding"], [(1 / 8) * (2 / 3) + (2 / 8) * (1 / 3), 1], rtol=1e-6)


def test_a_recording_that_the_store_has_no_room_for_is_refused_not_cut(
    encoder: SoundEncoder, record: Callable[[float], Sample]
) -> None:
    with pytest.raises(DecodeError, match=r"max_seconds"):
        encoder.reader(record(41.0))


def test_what_a_recording_costs_grows_with_its_windows(
    encoder: SoundEncoder, record: Callable[[float], Sample]
) -> None:
    audio = frozenset({"audio"})
    assert [encoder.flops(encoder.reader(record(seconds)), feature_sets=audio) for seconds in (5, 25)] == [7, 21]


def test_the_file_behind_a_recording_is_named(encoder: SoundEncoder, record: Callable[[float], Sample]) -> None:
    sample = record(1.0)
    assert encoder.reader.files(sample) == sample.files["audio"]
