"""Small Causal-FiLMs and what goes into them."""

from collections.abc import Callable

import pytest
import torch

from weldcache.train.recipes.causal_film.network import CausalFilmDims, FilmInputs


@pytest.fixture(autouse=True)
def starting_weights_of_modules(fixed_starting_weights: None) -> None:
    pass


@pytest.fixture
def small_dims() -> CausalFilmDims:
    """The whole architecture at widths that run in milliseconds."""
    return CausalFilmDims(
        video_width=12, audio_width=10, image_width=20, width=16, hidden_width=24, sensor_hidden=16, text_width=8
    )


@pytest.fixture
def make_batch(generator: torch.Generator) -> Callable[..., FilmInputs]:
    """Inputs of a small `CausalFilm`: 5 video tokens, 7 of audio (the last 2 padding), 2 blocks, 3 views."""

    def make(batch: int = 4) -> FilmInputs:
        audio_padding = torch.zeros(batch, 7, dtype=torch.bool)
        audio_padding[:, 5:] = True
        return FilmInputs(
            video=torch.randn(batch, 5, 12, generator=generator),
            audio=torch.randn(batch, 7, 10, generator=generator),
            audio_padding=audio_padding,
            sensor=torch.randn(batch, 33, 6, generator=generator),
            patches=tuple(torch.randn(2, batch, 3, 9, 20, generator=generator)),
            view_mask=torch.ones(batch, 3, dtype=torch.bool),
        )

    return make
