"""Lists of variants on a toy store, really trained: the table, and what is kept, repeated and refused."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from weldcache.atomic import locked_folder
from weldcache.cache.splits import Split
from weldcache.cache.store import FeatureStore
from weldcache.errors import BusyError, NotFoundError, OutputExistsError
from weldcache.evaluate.judging import background_of, judge_split
from weldcache.evaluate.scoring import Scorer, load_models
from weldcache.evaluate.tasks.anomaly.judge import AnomalyJudge
from weldcache.evaluate.trials import bench as story
from weldcache.evaluate.trials import plan
from weldcache.evaluate.trials import trial as one_trial
from weldcache.evaluate.trials.bench import Bench
from weldcache.evaluate.trials.variant_list import VariantList, load_variant_list
from weldcache.train.data import resident
from weldcache.train.recipes import reconstruction
from weldcache.train.runs.trained_run import load_run
from weldcache.train.types import Batch, FeatureRequest, Losses, Needs, Prediction

RunBench = Callable[..., Bench]
WriteList = Callable[..., VariantList]
Trained = list[str]

# Where it is about which trials run and what is kept, the smallest recipe does.
FRAMES = {"recipe.name": "video_ae"}
NARROW = {**FRAMES, "recipe.hidden": 4}
AUTOENCODERS: dict[str, object] = {"reference": {"set": FRAMES}, "narrow": {"set": NARROW}}
PLAIN = {"reference": {}, "no gate": {"set": {"recipe.gate": False}}}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Names of the runs that are trained from here on, in their order."""
    names: Trained = []
    train = one_trial.train

    def counting(settings: Any, **keywords: Any) -> Any:
        names.append(keywords["run_name"])
        return train(settings, **keywords)

    monkeypatch.setattr(one_trial, "train", counting)
    return names


def table_of(found: Bench) -> dict[str, Any]:
    """Of one split."""
    (table,) = found.document["leaderboards"]
    return dict(table)


def by_name_of(found: Bench) -> dict[str, dict[str, Any]]:
    return {variant["name"]: variant for variant in table_of(found)["variants"]}


def figures(found: Bench) -> dict[str, Any]:
    """All of the table that does not depend on the clock or on what else the process holds."""
    document = json.loads(json.dumps(found.document))
    for variant in document["leaderboards"][0]["variants"]:
        for cost in ("seconds", "score_seconds", "peak_bytes"):
            variant.pop(cost)
    return {name: value for name, value in document.items() if name != "created"}


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_table_says_what_the_trials_scored(run_bench: RunBench, write_list: WriteList, project: Path) -> None:
    found = run_bench(write_list({**PLAIN, "reference": {"recorded": {"val": 0.9, "test": 0.87}}}))
    assert found.complete and found.folder == project / "runs/mine"
    by_name = by_name_of(found)
    for name, folder in (("reference", "reference"), ("no gate", "no_gate")):
        expected = []
        for seed in (0, 1):
            rows = rows_of(found.folder / f"{folder}-seed{seed}/scores_test.csv")
            expected.append(roc_auc_score([int(row["label"]) for row in rows], [float(row["score"]) for row in rows]))
        variant = by_name[name]
        assert variant["by_seed"] == pytest.approx(expected) and variant["seeds"] == (0, 1)
        assert variant["auroc"]["value"] == pytest.approx(np.mean(expected))
        assert variant["auroc"]["low"] < variant["auroc"]["value"] < variant["auroc"]["high"]
        state = [json.loads((found.folder / f"{folder}-seed{seed}/state.json").read_text()) for seed in (0, 1)]
        assert variant["val_auroc"] == pytest.approx(np.mean([one["best"]["val_auroc"] for one in state]))
    assert by_name["reference"]["difference"] is None
    assert by_name["reference"]["recorded"] == {"val": 0.9, "test": 0.87}
    means = {name: variant["auroc"]["value"] for name, variant in by_name.items()}
    assert by_name["no gate"]["difference"]["value"] == pytest.approx(means["no gate"] - means["reference"])
    assert by_name["no gate"]["parameters"] < by_name["reference"]["parameters"]
    table = table_of(found)
    assert (table["num_normal"], table["num_defect"]) == (14, 16) and table["divided_by"] == "official"
    assert table["media_free"]["auroc"]["value"] != 0.5
    ranked = sorted(means.values(), reverse=True)
    assert [variant["auroc"]["value"] for variant in table["variants"]] == ranked
    first, second = table["variants"]
    assert (first["rank"], second["rank"], first["behind"]) == (1, 2, None) and not first["ties_with_best"]
    assert second["behind"]["difference"]["value"] == pytest.approx(ranked[1] - ranked[0])
    for variant in table["variants"]:
        control = variant["auroc"]["value"] - table["media_free"]["auroc"]["value"]
        assert variant["beside_rival"]["difference"]["value"] == pytest.approx(control)
        assert variant["seconds"] > 0 and variant["score_seconds"] > 0 and variant["peak_bytes"] >= 0
    kept = json.loads((found.folder / "table_test.json").read_text())
    assert json.loads(json.dumps(found.document)).items() <= kept.items()
    rows = rows_of(found.folder / "table_test.csv")
    assert [row["variant"] for row in rows] == [variant["name"] for variant in table["variants"]]
    assert [float(row["auroc"]) for row in rows] == ranked
    # The toy has too few groups for a variance between them.
    assert [row["auroc_method"] for row in rows] == ["newcombe", "newcombe"]


def test_a_trial_is_a_run_like_any_other(run_bench: RunBench, write_list: WriteList) -> None:
    """Trained alone, on features of its own, it has the same scores to the last bit."""
    found = run_bench(write_list(PLAIN), seeds=[3], keep_weights=True)
    together = load_run(found.folder / "no_gate-seed3")
    alone_settings = together.settings.model_copy(
        update={"runs": together.settings.runs.model_copy(update={"folder": found.folder.parent})}
    )
    one_trial.train(alone_settings, run_name="alone", overwrite=False, command="weldcache train")
    alone, store = load_run(found.folder.parent / "alone"), FeatureStore.open(together.settings.cache.path)
    tables = []
    for run in (together, alone):
        scorer = Scorer(run, store, models=load_models(run, store=store, device=torch.device("cpu")))
        background = background_of(AnomalyJudge(), scorer, settings=run.settings.evaluate)
        tables.append(judge_split(AnomalyJudge(), scorer, "test", background=background).table)
    assert tables[0].scores.tolist() == tables[1].scores.tolist()
    kept = rows_of(found.folder / "no_gate-seed3/scores_test.csv")
    assert [float(row["score"]) for row in kept] == tables[1].scores.tolist()
    warnings = json.loads((found.folder / "no_gate-seed3/trial_test.json").read_text())["warnings"]
    assert any(text.startswith("Only 14 normal samples were evaluated") for text in warnings)
    assert any("Only 14 normal samples were evaluated" in note for note in table_of(found)["notes"])


def test_variants_of_several_splits_share_the_features_and_each_goes_by_its_own(
    run_bench: RunBench, write_list: WriteList, divided: FeatureStore
) -> None:
    found = run_bench(write_list({"official": {}, "other": {"set": {"train.split": "mine"}}}, set=FRAMES), seeds=[0])
    assert found.complete
    for name, split in (("official", "official"), ("other", "mine")):
        index = FeatureStore.open(divided.path, split=split).index
        scored = {row["key"] for row in rows_of(found.folder / f"{name}-seed0/scores_test.csv")}
        assert scored <= set(index.keys[index.parts == "test"].tolist()) and len(scored) > 20
        assert load_run(found.folder / f"{name}-seed0").manifest["split"]["name"] == split


@pytest.fixture
def divided(project: Path, toy_store_path: Path) -> FeatureStore:
    """The project's store with a second split, `mine`, of which four welds to train on are tested on."""
    path = Path(shutil.copytree(toy_store_path, project / "toy.zarr"))
    settings = (project / "weldcache.yaml").read_text().replace(str(toy_store_path), str(path))
    (project / "weldcache.yaml").write_text(settings)
    store = FeatureStore.open(path)
    parts = store.index.parts.copy()
    parts[:4], parts[36:40] = "test", "train"
    store.add_splits([Split("mine", parts)])
    return store


def test_a_list_is_gone_through_split_by_split(
    run_bench: RunBench, write_list: WriteList, divided: FeatureStore, trained: Trained
) -> None:
    found = run_bench(write_list({"a": {}, "b": {"set": NARROW}}, set=FRAMES, splits=["official", "mine"]), seeds=[0])
    assert found.complete and trained == ["a-seed0", "b-seed0", "a-mine-seed0", "b-mine-seed0"]
    official, mine = found.document["leaderboards"]
    assert (official["divided_by"], mine["divided_by"]) == ("official", "mine")
    for table, folder in ((official, "a-seed0"), (mine, "a-mine-seed0")):
        index = FeatureStore.open(divided.path, split=table["divided_by"]).index
        rows = rows_of(found.folder / f"{folder}/scores_test.csv")
        assert {row["key"] for row in rows} <= set(index.keys[index.parts == "test"].tolist())
        auroc = roc_auc_score([int(row["label"]) for row in rows], [float(row["score"]) for row in rows])
        (variant,) = (each for each in table["variants"] if each["name"] == "a")
        assert variant["auroc"]["value"] == pytest.approx(auroc)
    lines = rows_of(found.folder / "table_test.csv")
    assert [line["divided_by"] for line in lines] == ["official"] * 2 + ["mine"] * 2
    trained.clear()
    alone = run_bench(write_list({"a": {}, "b": {"set": NARROW}}, set=FRAMES), seeds=[0])  # what is there is taken over
    assert trained == [] and alone.document["leaderboards"][0]["variants"] == official["variants"]
    with pytest.raises(NotFoundError, match="nowhere"):
        run_bench(write_list({"a": {}}, set=FRAMES), seeds=[0], store_splits=["official", "nowhere"])


def test_a_variant_is_passed_over_where_the_store_lacks_its_features(
    run_bench: RunBench, write_list: WriteList, capfd: pytest.CaptureFixture[str]
) -> None:
    shallowest = {"recipe.name": "l2bt", "recipe.array": "image/block_2/patch_tokens"}
    variants = {
        "frames": {"set": FRAMES},
        "block 12": {"set": {"recipe.blocks": [2, 12]}},
        "no shallower block": {"set": shallowest},
    }
    found = run_bench(write_list(variants, pass_over_lacking=True), seeds=[0])
    table = table_of(found)
    assert found.complete and [variant["name"] for variant in table["variants"]] == ["frames"]
    assert "image/block_12" in table["passed_over"]["block 12"] and "block 12" not in capfd.readouterr().err
    assert "image/block_2/patch_tokens" in table["passed_over"]["no shallower block"]
    assert any(note.startswith("Passed over") and "block 12" in note for note in table["notes"])


def test_each_array_is_loaded_once(
    run_bench: RunBench, write_list: WriteList, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    loaded: list[str] = []
    load_resident = resident.load_resident

    def counting(reader: Any, rows: Any, **keywords: Any) -> Any:
        loaded.extend(request.name for request in reader.requests)
        return load_resident(reader, rows, **keywords)

    monkeypatch.setattr(resident, "load_resident", counting)
    variants = {**PLAIN, "block 4": {"set": {"recipe.blocks": [4]}}, "whole": {"set": {"recipe.missing": "leave_out"}}}
    assert run_bench(write_list(variants, set={"train.epochs": 1}), seeds=[0]).complete
    assert len(loaded) == len(set(loaded))
    assert {"video/tokens", "image/block_2/patch_tokens", "image/block_4/patch_tokens"} <= set(loaded)
    assert "4 trials share them" in capfd.readouterr().err


def test_features_that_are_not_shared_give_the_same_table(
    run_bench: RunBench, write_list: WriteList, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    shared = run_bench(write_list(AUTOENCODERS), seeds=[0])
    streamed = ["train.loading=streamed", f"runs.folder={project / 'streamed'}"]
    assert figures(run_bench(write_list(AUTOENCODERS), seeds=[0], overrides=streamed)) == figures(shared)
    monkeypatch.setattr(plan, "fits_memory", lambda num_bytes, *, device: False)
    apart = run_bench(write_list(AUTOENCODERS), seeds=[0], overrides=[f"runs.folder={project / 'apart'}"])
    assert apart.folder == project / "apart/mine" and figures(apart) == figures(shared)


def test_what_is_done_is_not_repeated(run_bench: RunBench, write_list: WriteList, trained: Trained) -> None:
    first = run_bench(write_list(AUTOENCODERS), seeds=[0])
    assert trained == ["reference-seed0", "narrow-seed0"]
    trained.clear()
    assert figures(run_bench(write_list(AUTOENCODERS), seeds=[0])) == figures(first)
    assert trained == []
    more = run_bench(write_list({**AUTOENCODERS, "short": {"set": {**FRAMES, "recipe.bottleneck": 2}}}), seeds=[0, 1])
    assert trained == ["short-seed0", "reference-seed1", "narrow-seed1", "short-seed1"]
    assert [variant["seeds"] for variant in table_of(more)["variants"]] == [(0, 1)] * 3


_CHILD = """
import sys
from weldcache.evaluate.trials.variant_list import load_variant_list
from weldcache.evaluate.trials.bench import bench
bench(load_variant_list(sys.argv[1]), overrides=[], seeds=None, split="test", overwrite=False, keep_weights=False,
      command="weldcache bench")
"""


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_and_ends_with_the_same_table(
    run_bench: RunBench, write_list: WriteList, trained: Trained, project: Path, child_environment: Mapping[str, str]
) -> None:
    often = {"train.epochs": 12, "train.patience": 12, "train.checkpoint_seconds": 0}
    variants, seldom = write_list(PLAIN, seeds=[0], set=often), "train.checkpoint_seconds=60"
    whole = run_bench(variants, seeds=None, overrides=[f"runs.folder={project / 'others'}", seldom])
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(project / "mine.yaml")],
        cwd=project,
        env={**child_environment, **paths},
        stderr=subprocess.PIPE,
    )
    second = project / "runs/mine/no_gate-seed0"
    deadline = time.monotonic() + 120
    while not (second / "state.json").is_file():
        assert child.poll() is None and time.monotonic() < deadline, child.stderr and child.stderr.read()
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not json.loads((second / "state.json").read_text())["finished"]
    assert not (project / "runs/mine/table_test.json").exists()
    log = second / "metrics.jsonl"
    epochs = len(log.read_text().splitlines())
    trained.clear()
    assert figures(run_bench(variants, seeds=None, overrides=[seldom])) == figures(whole)
    assert trained == ["no_gate-seed0"]
    assert 1 <= epochs < len(log.read_text().splitlines())


def test_killed_between_training_and_scoring_it_only_scores(
    run_bench: RunBench, write_list: WriteList, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(one_trial, "judge_split", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_bench(write_list(AUTOENCODERS), seeds=[0])
    assert trained.pop() == "reference-seed0"
    assert run_bench(write_list(AUTOENCODERS), seeds=[0]).complete
    assert trained == ["narrow-seed0"]


def test_an_overwriting_that_was_interrupted_goes_on(
    run_bench: RunBench, write_list: WriteList, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = write_list({**AUTOENCODERS, "short": {"set": {**FRAMES, "recipe.bottleneck": 2}}})
    whole = run_bench(variants, seeds=[0])
    judge_split = one_trial.judge_split

    def interrupted(judge: Any, scorer: Any, *positional: Any, **keywords: Any) -> Any:
        if scorer.run.folder.name == "narrow-seed0":
            raise KeyboardInterrupt
        return judge_split(judge, scorer, *positional, **keywords)

    trained.clear()
    with monkeypatch.context() as patch:
        patch.setattr(one_trial, "judge_split", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_bench(variants, seeds=[0], overwrite=True)
    assert trained == ["reference-seed0", "narrow-seed0"]
    trained.clear()
    assert figures(run_bench(variants, seeds=[0], overwrite=True)) == figures(whole)
    assert trained == ["short-seed0"]
    trained.clear()
    assert run_bench(variants, seeds=[0], overwrite=True).complete  # it came to its end, so this is another one
    assert trained == ["reference-seed0", "narrow-seed0", "short-seed0"]


def test_a_list_that_was_changed_while_overwriting_was_interrupted(
    run_bench: RunBench, write_list: WriteList, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(story, "write_tables", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_bench(write_list(AUTOENCODERS), seeds=[0], overwrite=True)
    trained.clear()
    changed = write_list({**AUTOENCODERS, "narrow": {"set": {**NARROW, "train.lr": 0.5}}})
    with pytest.raises(OutputExistsError, match="narrow-seed0 asks for something else"):
        run_bench(changed, seeds=[0])
    assert run_bench(changed, seeds=[0], overwrite=True).complete
    assert trained == ["narrow-seed0"]


def test_other_settings_are_refused_and_nothing_is_changed(
    run_bench: RunBench, write_list: WriteList, contents: Callable[[Path], dict[str, bytes]], trained: Trained
) -> None:
    first = run_bench(write_list(AUTOENCODERS))
    before = contents(first.folder)
    changed = {**AUTOENCODERS, "narrow": {"set": {**NARROW, "train.lr": 0.5}}}
    with pytest.raises(OutputExistsError) as refusal:
        run_bench(write_list({**changed, "new": {}}))
    for seed in (0, 1):
        assert f"narrow-seed{seed} asks for something else" in str(refusal.value)
    assert "settings.train.lr: 0.001 there, 0.5 now" in str(refusal.value) and "--overwrite" in str(refusal.value)
    assert "reference-seed" not in str(refusal.value)
    assert contents(first.folder) == before
    trained.clear()
    replaced = run_bench(write_list(changed), overwrite=True, seeds=[0])
    assert trained == ["reference-seed0", "narrow-seed0"] and replaced.complete
    assert by_name_of(replaced)["narrow"]["by_seed"] != by_name_of(first)["narrow"]["by_seed"][:1]
    settings = load_run(first.folder / "narrow-seed0").settings
    assert settings.train.lr == 0.5


def test_other_features_are_refused(
    run_bench: RunBench, write_list: WriteList, project: Path, toy_store_path: Path
) -> None:
    """The same list on the same folder, and the store says that another backbone made the frames."""
    variants = write_list({"reference": {}}, set=FRAMES)
    run_bench(variants, seeds=[0])
    copy = project / "other.zarr"
    subprocess.run(["cp", "-r", str(toy_store_path), str(copy)], check=True)
    store = FeatureStore.open(copy)
    manifest = json.loads(json.dumps(store.manifest))
    manifest["features"]["frames"]["made_by"]["backbone"]["weights"] = "4567"
    store._describe(manifest=manifest)
    with pytest.raises(
        OutputExistsError, match=r"cache.features.frames.made_by.backbone.weights: 0123 there, 4567 now"
    ):
        run_bench(variants, seeds=[0], overrides=[f"cache.path={copy}"])


def test_weights_go_unless_they_are_to_stay(
    run_bench: RunBench, write_list: WriteList, trained: Trained, project: Path
) -> None:
    variants = write_list({"reference": {}}, set=FRAMES)
    gone = run_bench(variants, seeds=[0]).folder / "reference-seed0"
    kept = run_bench(variants, seeds=[1], keep_weights=True).folder / "reference-seed1"
    run_bench(variants, seeds=[0, 1])  # what was to stay stays
    assert not list(gone.glob("*.safetensors"))
    assert {path.name for path in kept.glob("*.safetensors")} == {"best.safetensors", "last.safetensors"}
    trained.clear()
    on_val = run_bench(variants, seeds=[1], split="val", keep_weights=True)
    assert any("20 evaluated samples are also validation samples" in note for note in table_of(on_val)["notes"])
    assert trained == [] and (on_val.folder / "table_val.json").is_file() and (kept / "scores_val.csv").is_file()
    with pytest.raises(OutputExistsError, match="reference-seed0 was not scored on val, and its weights were deleted"):
        run_bench(variants, seeds=[0, 1], split="val")


def test_a_variant_that_fails_is_in_the_table_and_costs_no_other(
    run_bench: RunBench, write_list: WriteList, trained: Trained, capfd: pytest.CaptureFixture[str]
) -> None:
    variants = {
        "reference": {"set": FRAMES},
        "block 12": {"set": {"recipe.blocks": [2, 12]}},
        "block 13": {"set": {"recipe.blocks": [13]}},
        "diverges": {"set": {**FRAMES, "train.lr": 1e30, "train.gradient_clip": 1e30}},
        "narrow": {"set": NARROW},
    }
    found = run_bench(write_list(variants))
    err = capfd.readouterr().err
    for block in (12, 13):  # both, before anything is trained
        assert err.index(f"Not tried: block {block}: ") < err.index("reference, seed 0: ")
        assert f"has no features image/block_{block}" in err
    assert not found.complete
    by_name = by_name_of(found)
    assert "weldcache extract --set features.image.blocks=[2,4,12]" in by_name["block 12"]["failures"][0]
    assert len(by_name["diverges"]["failures"]) == 2 and "seed 1: " in by_name["diverges"]["failures"][1]
    assert by_name["diverges"]["auroc"] is None and by_name["block 12"]["auroc"] is None
    assert by_name["narrow"]["difference"] is not None and len(by_name["narrow"]["seeds"]) == 2
    assert not any("block" in name for name in trained)
    rows = rows_of(found.folder / "table_test.csv")
    assert {row["variant"] for row in rows[:2]} == {"reference", "narrow"}  # the ranked ones first
    assert [row["variant"] for row in rows[2:]] == ["block 12", "block 13", "diverges"]
    assert "\n" not in rows[2]["failures"]
    alone = run_bench(write_list({"block 12": variants["block 12"]}, name="alone"))
    assert not alone.complete and table_of(alone)["random"] is None


def test_a_fault_of_the_program_costs_one_trial_only(
    run_bench: RunBench, write_list: WriteList, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = one_trial.train

    def faulty(settings: Any, **keywords: Any) -> Any:
        if keywords["run_name"] == "reference-seed1":
            raise RuntimeError("out of\nmemory")
        return train(settings, **keywords)

    monkeypatch.setattr(one_trial, "train", faulty)
    found = run_bench(write_list({"reference": {}}, set=FRAMES))
    (failed,) = [variant for variant in table_of(found)["variants"] if variant["failures"]]
    assert failed["failures"] == ("seed 1: RuntimeError: out of memory (a fault of weldcache)",)
    assert failed["seeds"] == (0,) and failed["auroc"] is not None and not found.complete


def test_figures_are_of_the_welds_that_all_variants_scored(run_bench: RunBench, write_list: WriteList) -> None:
    """One weld of the split test has no audio: one variant scores it, the other leaves it out."""
    found = run_bench(write_list({"token": {}, "whole": {"set": {"recipe.missing": "leave_out"}}}), seeds=[0])
    table = table_of(found)
    assert (table["num_normal"], table["num_defect"], table["num_not_shared"]) == (14, 15, 1)
    assert len((found.folder / "token-seed0/scores_test.csv").read_text().splitlines()) == 31


def test_a_split_without_defects_is_said_before_anything_runs(
    run_bench: RunBench, write_list: WriteList, monkeypatch: pytest.MonkeyPatch, trained: Trained
) -> None:
    opened = FeatureStore.open

    def without_defects(path: Path) -> FeatureStore:
        store = opened(path)
        store.index.labels[store.index.parts == "test"] = 0
        return store

    monkeypatch.setattr(FeatureStore, "open", without_defects)
    found = run_bench(write_list(PLAIN))
    assert trained == [] and not found.complete
    for variant in table_of(found)["variants"]:
        assert "30 normals and 0 defects of test" in variant["failures"][0]


class _Centre(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.randn(width))


class _DistanceRecipe:
    """A second recipe, as unlike the first as may be: the distance of a weld's mean frame from a learned centre."""

    def needs(self) -> Needs:
        return Needs((FeatureRequest("frames", "embedding"),))

    def advice(self, missing: Any, *, held: Any) -> str:
        return "Extract frames."

    def build(self, shapes: Any) -> _Centre:
        return _Centre(shapes["frames/embedding"][-1])

    def measure(self, model: Any, train: Any, constants: Any) -> None:
        pass

    def encode(self, model: _Centre, batch: Batch, generator: Any) -> dict[str, Tensor]:
        return {"offset": batch.features["frames/embedding"].float().mean(dim=1) - model.centre}

    def loss(self, model: Any, encodings: Any, targets: Any) -> Losses:
        return Losses(encodings["offset"].square().mean())

    def predict(self, model: Any, encodings: Any) -> Prediction:
        return Prediction(encodings["offset"].norm(dim=-1))


def test_another_recipe_is_one_more_row(
    run_bench: RunBench, write_list: WriteList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconstruction, "VideoAutoencoderRecipe", lambda settings: _DistanceRecipe())
    other = {"recipe.name": "video_ae", "train.lr": 0.3, "train.ema_decay": 0, "train.epochs": 20}
    found = run_bench(write_list({"film": {}, "distance": {"set": other}}), seeds=[0])
    by_name = by_name_of(found)
    assert found.complete and by_name["distance"]["parameters"] == 8
    assert by_name["distance"]["difference"] is not None
    run = load_run(found.folder / "distance-seed0")
    assert run.manifest["recipe"] == "video_ae" and set(run.manifest["cache"]["features"]) == {"frames"}


def test_one_list_runs_once_at_a_time(run_bench: RunBench, write_list: WriteList, project: Path) -> None:
    (project / "runs/mine").mkdir(parents=True)
    with locked_folder(project / "runs/mine"), pytest.raises(BusyError):
        run_bench(write_list(PLAIN))


@pytest.mark.slow
def test_a_shipped_list_runs(run_bench: RunBench, project: Path) -> None:
    """Augmentations, which any store can be asked for, at the toy's size."""
    found = run_bench(load_variant_list("augmentation"), seeds=[0], overrides=["train.epochs=1"])
    assert found.complete, found.document
    assert len(table_of(found)["variants"]) == len(load_variant_list("augmentation").variants)
