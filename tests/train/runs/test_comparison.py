"""A run in full, and runs side by side."""

import json
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from weldcache.atomic import write_json
from weldcache.errors import NotFoundError, SettingsError
from weldcache.evaluate.judge import headline_of
from weldcache.metrics.estimate import Estimate
from weldcache.settings import load_settings
from weldcache.tests.train.runs.report import REPORT
from weldcache.train.runs.catalogue import describe_run_folder, list_runs
from weldcache.train.runs.comparison import compare
from weldcache.train.runs.documents import sealed_manifest
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.tables import run_page

MakeRun = Callable[..., RunFolder]


def test_settings_are_told_where_they_are_not_a_presets(make_run: MakeRun, tmp_path: Path) -> None:
    values = load_settings("demo-random", folder=tmp_path).model_dump()
    values["train"] |= {"lr": 0.5, "seed": 3}
    details = describe_run_folder(make_run(tmp_path / "a", settings=values, report=REPORT), folder=tmp_path)
    assert details.preset == "demo-random"
    assert details.changed == {"train.lr": 1e-3, "train.seed": 0}
    assert (details.settings["train.lr"], details.settings["train.seed"]) == (0.5, 3)
    assert not {"cache.path", "data.root", "runs.folder"} & details.settings.keys()
    assert details.files["last.safetensors"] == 3000 and REPORT.items() <= details.reports["test"].facts.items()
    document = json.loads(json.dumps(details.as_json()))
    assert document["changed"]["train.lr"] == {"here": 0.5, "preset": 1e-3}
    assert document["parameters"] == {"trainable": 7, "total": 9}
    assert document["fingerprint"] == "f" and document["status"] == "finished"


def test_counts_by_modality_are_words(make_run: MakeRun, tmp_path: Path) -> None:
    counts = {"train_normals": 9, "train_normals_without": {"video": 13, "audio": 1}, "validation_without": {}}
    details = describe_run_folder(make_run(tmp_path / "a", manifest={"counts": counts}), folder=tmp_path)
    console = Console(width=200, file=StringIO())
    with console.capture() as captured:
        console.print(*run_page(details), sep="\n")
    said = "counts: train normals 9, train normals without video 13, train normals without audio 1\n"
    assert said in captured.get()


def test_a_run_without_checksums_is_said_to_have_none(
    make_run: MakeRun, unseal: Callable[[RunFolder], None], tmp_path: Path
) -> None:
    unseal(make_run(tmp_path / "old"))
    make_run(tmp_path / "new")
    assert any("old has no checksums" in note for note in compare(tmp_path, ["old", "new"]).notes)
    (old,) = [entry for entry in list_runs(tmp_path, nested=False) if entry.name == "old"]
    assert (old.status, old.sealed, old.best_figure("val_auroc")) == ("finished", False, 0.5)


def test_the_defaults_are_the_default_preset_but_for_its_field(make_run: MakeRun, tmp_path: Path) -> None:
    details = describe_run_folder(make_run(tmp_path / "a"), folder=tmp_path)
    assert (details.preset, details.changed) == ("v5", {"features.text.prompt": "a normal weld"})


def fused(**members: Mapping[str, object]) -> dict[str, object]:
    beside = {"precision": dict.fromkeys(members, "float32"), "untrained": {name: [] for name in members}}
    return {"recipe": {"name": "late_fusion", "members": members, **beside}}


def test_a_fused_runs_settings_hold_its_members(make_run: MakeRun, tmp_path: Path) -> None:
    """Each of theirs is one of its own, so two fused runs differ in what their members do."""
    autoencoder = {"name": "video_ae", "hidden": 32}
    for name, width in (("one", 128), ("other", 256)):
        made = fused(film={"name": "causal_film", "d_model": width}, ae=autoencoder)
        make_run(tmp_path / name, settings=made, manifest={"recipe": "late_fusion"})
    details = describe_run_folder(RunFolder(tmp_path / "one"), folder=tmp_path)
    assert details.settings["recipe.members.ae.hidden"] == 32 and details.entry.faults == ()
    assert compare(tmp_path, ["one", "other"]).settings == {"recipe.members.film.d_model": [128, 256]}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"a": {"name": "video_ae"}}, "two at least"),
        ({"a": {"name": "video_ae"}, "b": {"name": "vidoe_ae"}}, "no recipe 'vidoe_ae'"),
        ({"a": {"name": "video_ae"}, "b": {"name": "video_ae", "hidden": "wide"}}, "hidden"),
    ],
)
def test_members_that_cannot_be_read_are_a_fault(
    make_run: MakeRun, tmp_path: Path, members: dict[str, dict[str, object]], said: str
) -> None:
    run = make_run(tmp_path / "fused")
    text = yaml.safe_dump(fused(**members))
    run.config_path.write_text(text)
    write_json(run.manifest_path, sealed_manifest(run.manifest(), config=text))
    details = describe_run_folder(run, folder=tmp_path)
    assert details.entry.status == "damaged" and any(said in fault for fault in details.entry.faults)


@pytest.mark.parametrize("file", ["manifest.json", "config.yaml", "state.json", "metrics.jsonl"])
def test_a_damaged_run_is_shown_as_far_as_it_can_be_read(make_run: MakeRun, tmp_path: Path, file: str) -> None:
    run = make_run(tmp_path / "a", report=REPORT)
    (run.path / file).write_text("{nothing: [\n")
    details = describe_run_folder(run, folder=tmp_path)
    assert details.entry.status == "damaged" and file in details.entry.faults[0]
    assert file in details.files
    # Without its manifest nothing can be held to be this run's.
    assert ("test" in details.reports) == (file != "manifest.json")


NO_GATE = {"name": "causal_film", "gate": False}


def test_only_what_differs_is_told_of_the_settings(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "a", settings={"train": {"lr": 0.5}}, report=REPORT, auroc=0.6)
    make_run(
        tmp_path / "list" / "b",
        settings={"train": {"lr": 0.1}, "recipe": {"name": "causal_film", "gate": False}},
        auroc=0.7,
    )
    make_run(tmp_path / "c", auroc=None)
    comparison = compare(tmp_path, ["a", "list/b", "c"], headlines=headline_of)
    assert [run.entry.name for run in comparison.runs] == ["a", "list/b", "c"]
    assert comparison.settings == {"recipe.gate": [True, False, True], "train.lr": [0.5, 0.1, 2e-5]}
    assert comparison.figures["val_auroc"] == [0.6, 0.7, None]
    assert comparison.figures["test_auroc"] == [Estimate(0.7, 0.6, 0.8), None, None]
    assert comparison.figures["test_fpr_at_95_tpr"] == [0.5, None, None]
    assert comparison.figures["parameters"] == [7, 7, 7]
    assert comparison.notes == ()
    document = json.loads(json.dumps(comparison.as_json()))
    assert document["figures"]["test_auroc"] == [{"value": 0.7, "low": 0.6, "high": 0.8}, None, None]


def test_a_setting_that_a_fitted_run_does_not_read_is_no_difference(make_run: MakeRun, tmp_path: Path) -> None:
    nearest = {"name": "nearest", "array": "sensor/values"}
    make_run(tmp_path / "fitted", settings={"train": {"epochs": 7, "batch_size": 8}, "recipe": nearest})
    make_run(tmp_path / "trained", settings={"train": {"epochs": 60, "batch_size": 4}})
    differing = compare(tmp_path, ["fitted", "trained"]).settings
    assert differing["train.batch_size"] == [8, 4] and "train.epochs" not in differing
    make_run(tmp_path / "other", settings={"train": {"epochs": 30}})
    assert compare(tmp_path, ["fitted", "trained", "other"]).settings["train.epochs"] == ["(absent)", 60, 30]


def test_what_forbids_comparing_is_said(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "b", features="g", validated_on=("z",))
    assert compare(tmp_path, ["a", "b"]).notes == (
        "a and b were trained on different features (features.video.made_by.model).",
        "a and b were validated on different samples.",
    )


def test_of_recipes_that_look_at_other_features_it_is_said_at_which(make_run: MakeRun, tmp_path: Path) -> None:
    made = {"made_by": {"model": "f"}}
    for name, sets in (("a", ("video", "pixels")), ("b", ("video", "sensor")), ("c", ("video",))):
        make_run(tmp_path / name, manifest={"fingerprint": name, "cache": {"features": dict.fromkeys(sets, made)}})
    assert compare(tmp_path, ["a", "b", "c"]).notes == (
        "a and b do not look at the same features: a alone at pixels and b alone at sensor.",
        "a and c do not look at the same features: a alone at pixels.",
    )


def test_latest_is_a_name(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "a", created="2026-01-01")
    make_run(tmp_path / "b", created="2026-01-02")
    make_run(tmp_path / "c", created="2026-01-03", stopped=None)
    assert [run.entry.name for run in compare(tmp_path, ["a", "latest"]).runs] == ["a", "b"]


def test_one_run_is_no_comparison(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    with pytest.raises(SettingsError, match="two or more different runs"):
        compare(tmp_path, ["a", "latest"])
    with pytest.raises(NotFoundError, match="b is not a run"):
        compare(tmp_path, ["a", "b"])
