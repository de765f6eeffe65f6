"""Spaces: how they are written, what is drawn from them, and what is refused before anything runs."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from weldcache.errors import NotFoundError, SettingsError
from weldcache.evaluate.sweeps import request as sweep_request
from weldcache.evaluate.sweeps.request import SweepRequest, load_request, require_sense, settings_of, with_quick
from weldcache.evaluate.sweeps.space import Choice, FloatRange, IntRange, drawn, grid
from weldcache.settings import Settings, load_settings

SHOWN = sweep_request.__doc__ or ""


@pytest.fixture
def base(tmp_path: Path) -> Settings:
    return load_settings(folder=tmp_path)


def request_of(folder: Path, text: str) -> SweepRequest:
    (folder / "mine.yaml").write_text(text)
    return load_request(str(folder / "mine.yaml"))


def test_what_the_docstring_shows_is_a_space(tmp_path: Path, base: Settings) -> None:
    request = request_of(tmp_path, dedent(SHOWN.split("\n\n")[1]))
    assert request.question == "Which pace and which dropout suit the head?"
    assert (request.trials, request.sampler, request.pruner, request.seeds) == (40, "tpe", "median", 3)
    assert [type(each) for each in request.space.values()] == [FloatRange, IntRange, Choice, IntRange]
    require_sense(request, base, overrides=())


def test_a_parameter_that_depends_on_another_is_drawn_with_it_alone() -> None:
    width = IntRange(low=16, high=64, step=16, when={"recipe.sensor_encoder": ["mamba"]})
    parameters = {"recipe.sensor_encoder": Choice(values=["mamba", "gru"]), "recipe.sensor_hidden": width}
    for encoder, asked in (("mamba", True), ("gru", False)):
        values = drawn(parameters, lambda key, _, encoder=encoder: encoder if key.endswith("encoder") else 32)
        assert ("recipe.sensor_hidden" in values) == asked


def test_a_grid_is_every_combination_that_there_is(tmp_path: Path) -> None:
    request = request_of(
        tmp_path,
        "sampler: grid\nspace:\n  recipe.film: {kind: choice, values: [shared, 'off']}\n"
        "  recipe.sensor_hidden: {kind: int, low: 16, high: 48, step: 16, when: {recipe.film: [shared]}}\n"
        "  recipe.dropout: {kind: float, low: 0.0, high: 0.2, step: 0.1}\n",
    )
    points = grid(request.space, origin=request.origin)
    assert len(points) == 3 * 3 + 3 and len({str(point) for point in points}) == 12
    assert points[0] == {"recipe.film": "shared", "recipe.sensor_hidden": 16, "recipe.dropout": 0.0}
    assert [point["recipe.dropout"] for point in points[-3:]] == pytest.approx([0, 0.1, 0.2])
    assert "recipe.sensor_hidden" not in points[-1]


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("train.lr=1e-5..1e-2", "train.lr", FloatRange(low=1e-5, high=1e-2, log=True)),
        ("train.lr=1..2", "train.lr", FloatRange(low=1, high=2)),  # the setting's own numbers have fractions
        ("recipe.dropout=0..0.5", "recipe.dropout", FloatRange(low=0, high=0.5)),
        ("recipe.num_layers=1..4", "recipe.num_layers", IntRange(low=1, high=4)),
        ("recipe.d_model=32..512", "recipe.d_model", IntRange(low=32, high=512, log=True)),
        ("recipe.gate=true,false", "recipe.gate", Choice(values=[True, False])),
        ("recipe.blocks=[10],[10,21]", "recipe.blocks", Choice(values=[[10], [10, 21]])),
    ],
)
def test_a_quick_range_is_what_its_ends_say(text: str, key: str, expected: Any, base: Settings) -> None:
    assert with_quick(load_request(None), [text], settings=base).space == {key: expected}


@pytest.mark.parametrize("text", ["train.lr", "train.lr=", "train.lr=a..b", "train.lr=2..1", "recipe.gate=true,true"])
def test_what_is_no_range_is_refused(text: str, base: Settings) -> None:
    with pytest.raises(SettingsError, match=f"--sweep {text.partition('=')[0]}"):
        with_quick(load_request(None), [text], settings=base)


def test_two_quick_ranges_of_one_setting_are_refused(base: Settings) -> None:
    with pytest.raises(SettingsError, match=r"train\.lr is given twice"):
        with_quick(load_request(None), ["train.lr=1..2", "train.lr=3..4"], settings=base)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("train.lr: {kind: float, low: 2, high: 1}", "low = 2 is above high = 1"),
        ("train.lr: {kind: float, low: 0, high: 1, log: true}", "logarithm"),
        ("train.lr: {kind: float, low: 1, high: 2, log: true, step: 1}", "no step"),
        ("train.lr: {kind: floot, low: 1, high: 2}", "train.lr"),
        ("train.lr: {kind: float, low: 1, height: 2}", "height"),
        ("train.lr: {kind: choice, values: []}", "values"),
        ("train.lr: {kind: float, low: -1, high: 1}", "train.lr = -1"),
        ("train.epohcs: {kind: int, low: 1, high: 2}", "train.epochs"),
        ("train.split: {kind: choice, values: [official]}", "train.split cannot be drawn"),
        ("evaluate.target_fpr: {kind: float, low: 0.1, high: 0.2}", "cannot be drawn"),
        ("recipe.name: {kind: choice, values: [causal_flim]}", "causal_film"),
        ("recipe.dropout: {kind: float, low: 0, high: 0.1, when: {recipe.gate: [true]}}", "recipe.gate"),
        (
            "recipe.num_layers: {kind: int, low: 1, high: 3}\n"
            "  recipe.dropout: {kind: float, low: 0, high: 0.1, when: {recipe.num_layers: [2, 4]}}",
            r"recipe\.dropout: .*num_layers = 4, which is never drawn",
        ),
        (
            "recipe.dropout: {kind: float, low: 0, high: 0.4, step: 0.2}\n"
            "  recipe.num_layers: {kind: int, low: 1, high: 3, when: {recipe.dropout: [0.2, 0.3]}}",
            r"recipe\.dropout = 0\.3, which is never drawn",
        ),
        (
            "recipe.gate: {kind: choice, values: [true, false]}\n"
            "  recipe.num_layers: {kind: int, low: 1, high: 3, when: {recipe.gate: []}}",
            "names no value of recipe.gate",
        ),
    ],
)
def test_a_space_without_sense_is_refused_by_name(line: str, named: str, tmp_path: Path, base: Settings) -> None:
    with pytest.raises(SettingsError, match=named):
        require_sense(request_of(tmp_path, f"space:\n  {line}\n"), base, overrides=())


def test_what_is_set_for_all_is_not_drawn(tmp_path: Path, base: Settings) -> None:
    line = "space: {train.lr: {kind: float, low: 0.1, high: 0.2}}\n"
    with pytest.raises(SettingsError, match="set for all"):
        require_sense(request_of(tmp_path, f"set: {{train.lr: 0.1}}\n{line}"), base, overrides=())
    with pytest.raises(SettingsError, match="set for all"):
        require_sense(request_of(tmp_path, line), base, overrides=["train.lr=0.1"])
    with pytest.raises(SettingsError, match="no setting to draw"):
        require_sense(load_request(None), base, overrides=())
    with pytest.raises(NotFoundError, match=r"nowhere\.yaml"):
        load_request("nowhere.yaml")


def test_a_grid_of_a_range_without_steps_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"train\.lr.*step"):
        grid({"train.lr": FloatRange(low=0.1, high=0.2)}, origin="mine.yaml")
    with pytest.raises(SettingsError, match="10,000"):
        grid({name: IntRange(low=1, high=30) for name in ("a", "b", "c")}, origin="mine.yaml")


def test_a_grid_is_counted_before_it_is_listed() -> None:
    for wide in (IntRange(low=1, high=10**12), FloatRange(low=0, high=1, step=1e-12)):
        with pytest.raises(SettingsError, match=r"more than 10,000 points"):
            grid({"train.warmup": wide}, origin="mine.yaml")


@pytest.mark.parametrize(("value", "holds"), [(0.1, True), (0.2, True), (0.25, False), (0.4, False), ("a", False)])
def test_a_range_in_steps_holds_its_points(value: object, holds: bool) -> None:
    stepped = FloatRange(low=0.1, high=0.3, step=0.1)
    assert stepped.holds(value) == holds and all(map(stepped.holds, stepped.points()))


def test_a_misspelt_setting_is_blamed_alone(tmp_path: Path, base: Settings) -> None:
    request = request_of(
        tmp_path,
        "space:\n  train.lr: {kind: float, low: 0.1, high: 0.2}\n  recipe.num_layerz: {kind: int, low: 1, high: 2}\n",
    )
    with pytest.raises(SettingsError, match=r"num_layerz.*Did you mean") as refused:
        require_sense(request, base, overrides=())
    assert "train.lr" not in str(refused.value)


def test_a_trial_of_another_recipe_has_its_settings_alone(base: Settings) -> None:
    settings = settings_of(base, {"recipe.name": "nearest", "recipe.k": 7}, origin="here")
    assert settings.recipe.model_dump(include={"name", "k"}) == {"name": "nearest", "k": 7}
    with pytest.raises(SettingsError, match=r"nearest.*train\.lr"):
        settings_of(base, {"recipe.name": "nearest", "train.lr": 0.1}, origin="here")
