"""Modules are the same in every test."""

import pytest


@pytest.fixture(autouse=True)
def starting_weights_of_modules(fixed_starting_weights: None) -> None:
    pass
