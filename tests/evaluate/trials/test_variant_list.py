"""Lists of variants: the shipped ones hold, and a wrong one is refused in words."""

from pathlib import Path

import pytest

from weldcache.errors import NotFoundError, SettingsError
from weldcache.evaluate.trials.variant_list import Recorded, load_variant_list, parse_seeds, parse_splits, shipped_lists
from weldcache.settings import DEFAULT_PRESET, preset_names


def write(folder: Path, text: str, name: str = "mine.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def field_of(name: str) -> str:
    """The field of which a preset or a list is by its name; "" for those of the usual features."""
    return next((field for field in ("anovox", "cub", "modelnet") if name.startswith(field)), "")


@pytest.mark.parametrize("name", shipped_lists())
def test_shipped_lists_hold_for_every_variant_on_every_preset_of_their_field(name: str, tmp_path: Path) -> None:
    variants = load_variant_list(name)
    assert variants.question and variants.seeds == (0, 1, 2)
    for preset in (preset for preset in preset_names() if name == "seeds" or field_of(preset) == field_of(name)):
        write(tmp_path, f"preset: {preset}\n", "weldcache.yaml")
        found = [variants.resolve(variant, folder=tmp_path) for variant in variants.variants]
        assert len(found) >= 4 or name == "seeds"  # which asks nothing of any field
        if preset == DEFAULT_PRESET:  # two names for the same
            assert all(one != other for position, one in enumerate(found) for other in found[:position])


def test_the_recorded_history_is_what_the_originals_wrote_down() -> None:
    recorded = {
        (name, variant): entry.recorded
        for name in shipped_lists()
        for variant, entry in load_variant_list(name).variants.items()
        if entry.recorded != Recorded()
    }
    assert recorded[("presets", "stage1")] == Recorded(val=0.9036)
    assert recorded[("presets", "stage2")] == Recorded(val=0.8970)
    assert recorded[("blocks", "21+32")] == Recorded(val=0.9064, test=0.8696)
    assert recorded[("pooling", "mean+max of 21")] == Recorded(val=0.9124, test=0.8868)
    assert recorded[("pooling", "mean+gem of 21, gem of 32")] == Recorded(val=0.9161, test=0.8834)
    assert {recorded[("blocks", name)].val for name in ("10+21", "22+32", "20+28")} == {0.874, 0.900, 0.86}


def test_later_settings_win(tmp_path: Path) -> None:
    write(tmp_path, "preset: demo-random\ntrain: {epochs: 7, patience: 3}\n", "weldcache.yaml")
    write(tmp_path, "recipe: {d_model: 32}\n", "own.yaml")
    path = write(
        tmp_path,
        "set: {train.epochs: 8, train.lr: 2e-5}\n"
        "variants:\n"
        "  a: {config: stage1}\n"
        "  b: {config: own.yaml, set: {train.epochs: 9}}\n",
    )
    variants = load_variant_list(path)  # stage1 says a patience too, and is laid over the folder's
    first, second = (variants.resolve(name, folder=tmp_path) for name in ("a", "b"))
    assert (first.train.epochs, first.train.lr, first.train.patience) == (8, 2e-5, 8)
    assert first.recipe.blocks == (8, 12) and first.features["video"].model == "demo"
    assert (second.train.epochs, second.recipe.d_model) == (9, 32)
    assert variants.resolve("b", overrides=["train.epochs=10"], folder=tmp_path).train.epochs == 10
    assert variants.name == "mine" and variants.question == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variants: {a: {}}\nseed: [1]\n", r"mine.yaml: there is no key seed. Did you mean seeds\?"),
        ("variants: {a: {sett: {}}}\n", r"there is no key variants.a.sett. Did you mean set\?"),
        ("variants: {a: {recorded: {tset: 0.9}}}\n", r"no key variants.a.recorded.tset. Did you mean test\?"),
        ("variants: {a: {set: {recipe: {gate: false}}}}\n", r"variant 'a': recipe holds settings; .* recipe.key"),
        ("variants: {a: {set: {train.seed: 1}}}\n", r"variant 'a': train.seed is not a variant's to set"),
        ("variants:\n  a: {}\n  b: {}\n  a: {set: {}}\n", r"mine.yaml, line 4: a stands twice"),
        ("variants: {a: {set: {recipe.gate: 1, recipe.gate: 0}}}\n", r"recipe.gate stands twice"),
        ("splits: [a, a]\nvariants: {a: {}}\n", r"splits: a, a name one twice"),
        ("seeds: [1, 1]\nvariants: {a: {}}\n", r"seeds \[1, 1\] name one twice"),
        ("seeds: []\nvariants: {a: {}}\n", r"mine.yaml: seeds"),
        ("seeds: [-1]\nvariants: {a: {}}\n", r"seeds.0: Input should be greater than or equal to 0, got -1"),
        ("variants: {a: {recorded: {test: 88}}}\n", r"recorded.test: Input should be less than or equal to 1"),
        ("variants: {}\n", r"mine.yaml: variants"),
        ("seeds: [true, 2]\nvariants: {a: {}}\n", r"seeds.0: Input should be a valid integer, got True"),
        ("seeds: [1_0]\nvariants: {a: {}}\n", r"seeds.0: Input should be a valid integer, got '1_0'"),
        ("seeds: [0]\n", r"mine.yaml: variants: Field required"),
        ("- a\n", r"must hold `variants:`"),
        ("", r"must hold `variants:`"),
        ("variants: [\n", r"mine.yaml is not valid YAML"),
    ],
)
def test_a_wrong_list_is_refused_in_words(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        load_variant_list(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variants: {a: {set: {train.gaet: 1}}}\n", r"variant 'a': set: there is no setting train.gaet"),
        ("set: {train.epoch: 1}\nvariants: {a: {}}\n", r"there is no setting train.epoch. .* train.epochs\?"),
        ("variants: {a: {set: {train.lr: 1, train.lr.x: 2}}}\n", r"train.lr.x is in lr, which is given a value"),
    ],
)
def test_an_unknown_setting_is_refused_where_the_variant_is_resolved(tmp_path: Path, text: str, message: str) -> None:
    """What is known depends on the features and the recipe that the folder names."""
    with pytest.raises(SettingsError, match=message):
        load_variant_list(write(tmp_path, text)).resolve("a", folder=tmp_path)


def test_a_value_out_of_range_names_list_and_variant(tmp_path: Path) -> None:
    variants = load_variant_list(write(tmp_path, "variants: {a: {set: {train.lr: -1}}}\n"))
    with pytest.raises(SettingsError, match=r"mine.yaml, variant 'a': .*train.lr: Input should be greater than 0"):
        variants.resolve("a", folder=tmp_path)
    variants = load_variant_list(write(tmp_path, "variants: {a: {config: own.yaml}}\n"))
    with pytest.raises(NotFoundError, match=r"variant 'a': .*own.yaml is neither a file nor a preset"):
        variants.resolve("a", folder=tmp_path)


def test_seeds_are_numbers_as_yaml_1_2_writes_them(tmp_path: Path) -> None:
    """Of YAML 1.1, 08 and 010 are one seed."""
    assert load_variant_list(write(tmp_path, "seeds: [08, 010]\nvariants: {a: {}}\n")).seeds == (8, 10)


def test_paths_in_a_list_are_meant_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lists/models/d").mkdir(parents=True)
    path = write(
        tmp_path / "lists", "set: {cache.path: a.zarr}\nvariants: {7: {set: {features.image.model: models/d}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    variants = load_variant_list(path)
    settings = variants.resolve("7")
    assert settings.cache.path == tmp_path / "lists/a.zarr"
    assert settings.features["image"].model == str(tmp_path / "lists/models/d")


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"bloks is neither a file nor a shipped list. Did you mean blocks\?"):
        load_variant_list("bloks")


@pytest.mark.parametrize(("text", "seeds"), [("0", (0,)), ("0,1, 7", (0, 1, 7))])
def test_seeds_on_the_command_line(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


def test_splits_on_the_command_line() -> None:
    assert parse_splits("official, mine") == ("official", "mine")
    for text in ("", "a,", "a,a"):
        with pytest.raises(SettingsError, match="--splits"):
            parse_splits(text)


@pytest.mark.parametrize("text", ["", "a", "1,1", "1,01", "-1", "1,,2", "0.5", "²", "9" * 5_000])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match="expected different whole numbers"):
        parse_seeds(text)
