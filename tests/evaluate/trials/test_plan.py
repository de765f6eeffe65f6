"""From a list to trials: their order, their folders, and what they have to share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache.errors import NotFoundError, OutputExistsError, SettingsError
from weldcache.evaluate.trials.plan import plain_name, plan_trials
from weldcache.evaluate.trials.variant_list import VariantList, load_variant_list

WriteList = Callable[..., VariantList]


def test_every_variant_comes_with_the_first_seed_before_any_with_the_second(
    write_list: WriteList, project: Path
) -> None:
    variants = write_list({"10+21": {"set": {"recipe.blocks": [10, 21]}}, "no gate": {"set": {"recipe.gate": False}}})
    shared, trials = plan_trials(variants, overrides=["train.lr=0.25"], seeds=[4, 2])
    assert [trial.run.path.relative_to(project).as_posix() for trial in trials] == [
        "runs/mine/10_21-seed4",
        "runs/mine/no_gate-seed4",
        "runs/mine/10_21-seed2",
        "runs/mine/no_gate-seed2",
    ]
    assert [trial.settings.train.seed for trial in trials] == [4, 4, 2, 2]
    assert {trial.settings.train.lr for trial in trials} == {0.25}
    assert trials[0].settings.recipe.blocks == (10, 21) and not trials[1].settings.recipe.gate
    assert {trial.settings.runs.folder for trial in trials} == {project / "runs/mine"} == {shared.runs.folder}
    assert not (project / "runs").exists()


def test_a_list_is_gone_through_split_by_split(write_list: WriteList, project: Path) -> None:
    variants = write_list({"a": {}, "b": {}})
    _, trials = plan_trials(variants, overrides=[], seeds=[0], store_splits=["official", "mine"])
    assert [trial.run.name for trial in trials] == ["a-seed0", "b-seed0", "a-mine-seed0", "b-mine-seed0"]
    assert [trial.settings.train.split for trial in trials] == ["official", "official", "mine", "mine"]
    with pytest.raises(SettingsError, match="has the name of another"):
        plan_trials(write_list({"a": {}, "a-mine": {}}), overrides=[], seeds=[0], store_splits=["official", "mine"])
    with pytest.raises(SettingsError, match=r"train.split is set"):
        plan_trials(variants, overrides=["train.split=mine"], seeds=[0], store_splits=["official"])


@pytest.mark.parametrize(
    ("name", "folder"),
    [("10+21", "10_21"), ("lr 2e-5, wd 1e-2", "lr_2e-5_wd_1e-2"), ("../up", "up"), ("Größe", "Gr_e"), ("a_b", "a_b")],
)
def test_names_become_plain_folders(name: str, folder: str) -> None:
    assert plain_name(name) == folder


@pytest.mark.parametrize("name", ["", "..", "+", "…"])
def test_a_name_of_which_nothing_is_left(name: str) -> None:
    with pytest.raises(SettingsError, match="neither letters nor digits"):
        plain_name(name)


@pytest.mark.parametrize("other", ["mean max", "MEAN+max"])
def test_variants_that_would_share_a_folder_are_refused(other: str, write_list: WriteList) -> None:
    variants = write_list({"mean+max": {}, other: {}})
    with pytest.raises(SettingsError, match=r"'mean\+max' and .* would both be kept as"):
        plan_trials(variants, overrides=[], seeds=[0])


@pytest.mark.parametrize(
    ("key", "value"), [("cache.path", "other.zarr"), ("runs.folder", "elsewhere"), ("train.device", "cuda:1")]
)
def test_what_variants_have_to_share_is_not_theirs_to_set(key: str, value: str, write_list: WriteList) -> None:
    variants = write_list({"a": {}, "b": {"set": {key: value}}})
    with pytest.raises(SettingsError, match=f"variant 'b': {key} is .*all variants share it"):
        plan_trials(variants, overrides=[], seeds=[0])
    plan_trials(write_list({"a": {}, "b": {}}), overrides=[f"{key}={value}"], seeds=[0])
    plan_trials(write_list({"a": {}, "b": {}}, set={key: value}), overrides=[], seeds=[0])


def test_what_a_variant_does_not_read_is_not_for_it_to_set(write_list: WriteList) -> None:
    fitted = {"recipe.name": "gaussian"}
    with pytest.raises(SettingsError, match=r"variant 'b': .*gaussian .*train\.lr"):
        plan_trials(write_list({"a": {}, "b": {"set": {**fitted, "train.lr": 0.1}}}), overrides=[], seeds=[0])
    plan_trials(
        write_list({"a": {}, "b": {"set": fitted}}, set={"train.lr": 0.1}), overrides=["train.epochs=3"], seeds=[0]
    )
    for told in ({"set": {**fitted, "train.lr": 0.1}}, {"set": fitted, "overrides": ["train.lr=0.1"]}):
        overrides = told.pop("overrides", [])
        with pytest.raises(SettingsError, match=r"gaussian .*train\.lr"):
            plan_trials(write_list({"a": {}, "b": {}}, **told), overrides=overrides, seeds=[0])


def test_a_seed_is_not_a_setting_of_a_list(write_list: WriteList) -> None:
    with pytest.raises(SettingsError, match="--seeds 0,1,2"):
        plan_trials(write_list({"a": {}}), overrides=["train.seed=3"], seeds=[0])


def test_a_run_of_the_lists_name_is_in_the_way(write_list: WriteList, project: Path) -> None:
    (project / "runs/mine").mkdir(parents=True)
    (project / "runs/mine/manifest.json").write_text("{}")
    with pytest.raises(OutputExistsError, match="runs/mine is a run"):
        plan_trials(write_list({"a": {}}), overrides=[], seeds=[0])


def test_a_settings_file_of_a_variant_lies_beside_the_list(
    write_list: WriteList, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "lists").mkdir()
    (project / "lists/own.yaml").write_text("recipe: {gate: false}\n")
    path = project / "lists/mine.yaml"
    path.write_text("variants: {a: {config: own.yaml}}\n")
    _, (trial,) = plan_trials(load_variant_list("lists/mine.yaml"), overrides=[], seeds=[0])
    assert not trial.settings.recipe.gate
    path.write_text("variants: {a: {config: lost.yaml}}\n")
    with pytest.raises(NotFoundError, match=r"variant 'a': .*lost.yaml"):
        plan_trials(load_variant_list("lists/mine.yaml"), overrides=[], seeds=[0])
