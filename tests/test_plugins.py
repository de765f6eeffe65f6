"""What other packages bring: the example that is shipped, and packages that cannot be used."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from weldcache.configs.section import installed
from weldcache.errors import DecodeError, SettingsError
from weldcache.evaluate.judge import Judge, headline_of, judge_named
from weldcache.evaluate.settings import JUDGES
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.spec import Placement
from weldcache.extract.features.kind import Encoder, Tools
from weldcache.extract.settings import KINDS, SOURCES
from weldcache.extract.sources.source import Sample, Source
from weldcache.testing.features import FeatureKindContract
from weldcache.testing.judges import JudgeContract
from weldcache.testing.recipes import RecipeContract
from weldcache.testing.sources import SourceContract
from weldcache.testing.tasks import TaskContract
from weldcache.train.recipes.recipe import Recipe
from weldcache.train.settings import RECIPES, TASKS, TrainSettings
from weldcache.train.tasks import Targets, Task, make_task
from weldcache.train.types import Batch, Shapes

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = """
data: {source: readings, root: .}
features: {statistics: {kind: statistics, stream: readings}}
extract: {features: [statistics]}
recipe: {name: standard_score}
evaluate: {judge: worst_first}
"""

GAPS = '''
"""How far apart the mean scores of the classes lie: a task of its own, and a judge that has another name than it."""

from dataclasses import dataclass

from weldcache.evaluate.tasks.anomaly.judge import AnomalyJudge


class GapTask:
    target, trains_on, leaves_out = "class", "good one", "faulty one"
    outputs = ()

    def training_rows(self, targets):
        return targets["label"] == 0

    def judged_rows(self, targets):
        return targets["class"] >= 0

    def counts(self, targets):
        return {}

    def monitors(self):
        return {"val_gap": "max"}

    def obstacle(self, monitor, targets):
        return ""

    def validate(self, prediction, targets):
        scores = prediction.score.cpu().numpy()
        return {"val_gap": float(scores[targets["label"] == 1].mean() - scores[targets["label"] == 0].mean())}


@dataclass(frozen=True)
class JudgeOfGaps(AnomalyJudge):
    task: str = "gap"
'''


class TestGaps(TaskContract):
    targets: ClassVar[Targets] = {"class": np.array([0, 1, -1, 2]), "label": np.array([0, 1, -1, 1])}
    unknown = (2,)

    def task(self) -> Task:
        module: dict[str, Any] = {"__name__": "gaps"}
        exec(GAPS, module)
        task: Task = module["GapTask"]()
        return task


Run = Callable[..., Any]
Offer = Callable[..., None]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The example package, installed as pip does it."""
    source, site = tmp_path_factory.mktemp("example") / "source", tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "examples" / "weldcache_example", source)  # building leaves files beside what is built
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options, str(source)]
    subprocess.run(pip, check=True, capture_output=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site)
        installed.cache_clear()
        yield
    installed.cache_clear()


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Offer]:
    """Lay out a package's metadata as if it were installed: its name, a group and what it offers there."""
    site = tmp_path / "site"

    def lay_out(package: str, group: str, *points: str) -> None:
        folder = site / f"{package.replace('-', '_')}-1.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        (folder / "entry_points.txt").write_text("\n".join([f"[{group}]", *points]))
        installed.cache_clear()

    site.mkdir()
    monkeypatch.syspath_prepend(site)
    yield lay_out
    installed.cache_clear()


def write_readings(root: Path, *, days: int = 10) -> None:
    generator = np.random.default_rng(0)
    for kind, shift, num_days in (("good", 0.0, days), ("faulty", 8.0, 4)):
        (root / kind).mkdir()
        for day in range(num_days):
            for number in range(3):
                numbers = generator.normal(size=4) + np.array([0, shift, 0, 0])
                (root / kind / f"day{day}_{number}.txt").write_text(" ".join(map(str, numbers)))


@pytest.mark.usefixtures("example")
class TestReadings(SourceContract):
    def make(self, root: Path) -> Source:
        if not (root / "good").exists():
            write_readings(root)
        source: Source = SOURCES.code("readings")(SOURCES.section("readings").model_validate({"root": root}))
        return source


@pytest.mark.usefixtures("example")
class TestStatistics(FeatureKindContract):
    def encoder(self, root: Path) -> Encoder:
        backbones = BackboneLoader(
            placement=Placement(device=torch.device("cpu"), dtype=torch.float32), demo_folder=root, demo_seed=0
        )
        tools = Tools(backbones, "float32", TestReadings().make(root))
        encoder: Encoder = KINDS.code("statistics")("numbers", KINDS.section("statistics")(), tools)
        return encoder

    def samples(self, root: Path) -> Sequence[Sample]:
        return TestReadings().make(root).samples()[:2]

    @pytest.mark.parametrize("written", ["1.5", "one two", "1 inf"])
    def test_what_is_no_reading_is_told_with_its_file(self, root: Path, loaded: Encoder, written: str) -> None:
        sample = self.samples(root)[0]
        (path,) = sample.files["readings"]
        path.write_text(written)
        with pytest.raises(DecodeError, match=re.escape(str(path))):
            loaded.reader(sample)


@pytest.mark.usefixtures("example")
class TestStandardScore(RecipeContract):
    shapes: ClassVar[Shapes] = {"statistics/values": (4,)}

    def recipe(self) -> Recipe:
        recipe: Recipe = RECIPES.code("standard_score")(RECIPES.section("standard_score")())
        return recipe

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        values = torch.randn(num, 4, generator=torch.Generator().manual_seed(seed))
        values[:, 1] += 8.0 * unusual
        return Batch({"statistics/values": values})


@pytest.mark.usefixtures("example")
class TestWorstFirst(JudgeContract):
    def judge(self) -> Judge[Any]:
        judge: Judge[Any] = JUDGES.code("worst_first")()
        return judge

    @pytest.fixture
    def run(self, judged: Path, runs_of: Callable[[Path], Path]) -> Path:
        return runs_of(judged) / "runs/first"


@pytest.mark.usefixtures("example")
def test_a_package_brings_source_kind_recipe_and_judge(
    tmp_path: Path, weldcache: Run, facts_of: Callable[[Path], dict[str, Any]], undrawn: None
) -> None:
    write_readings(tmp_path)
    (tmp_path / "weldcache.yaml").write_text(SETTINGS)
    on_cpu = ["--set", "train.device=cpu"]
    extract = ["extract", "--set", "extract.workers=0", "--set", "extract.device=cpu"]
    for command in (extract, ["train", "--run", "first", *on_cpu], ["eval", "-v", *on_cpu]):
        outcome = weldcache(*command, folder=tmp_path)
        assert outcome.code == 0, outcome.err
    assert "Look at these first" in outcome.out
    assert facts_of(tmp_path / "runs/first/report.json")["auroc"]["value"] > 0.95
    explained = weldcache("config", "explain", "recipe.feature", folder=tmp_path)
    assert explained.code == 0 and 'here: "statistics"' in explained.out
    assert "standard_score" in weldcache("config", "explain", "recipe.name", folder=tmp_path).out
    told = weldcache("eval", "-v", "--set", "evaluate.judge=anomaly", folder=tmp_path)  # by a calibration of its own
    assert told.code == 0 and "Look at these first" not in told.out
    refused = weldcache("eval", "--set", "evaluate.judge=classification", folder=tmp_path)
    assert refused.code == 2 and "evaluate.judge = classification" in refused.err


@pytest.mark.usefixtures("example")
def test_a_package_brings_a_task_that_is_trained_judged_and_benched(
    tmp_path: Path, offer: Offer, weldcache: Run, facts_of: Callable[[Path], dict[str, Any]]
) -> None:
    offer("gaps", "weldcache.tasks", "gap = gaps:GapTask")
    offer("judges-of-gaps", "weldcache.judges", "far_apart = gaps:JudgeOfGaps")
    (tmp_path / "site" / "gaps.py").write_text(GAPS)
    write_readings(tmp_path)
    (tmp_path / "weldcache.yaml").write_text(
        f"{SETTINGS.replace('evaluate: {judge: worst_first}', 'train: {task: gap}')}"
    )
    (tmp_path / "list.yaml").write_text("seeds: [0]\nvariants: {one: {}, other: {set: {evaluate.judge: far_apart}}}\n")
    on_cpu = ["--set", "train.device=cpu"]
    extract = ["extract", "--set", "extract.workers=0", "--set", "extract.device=cpu"]
    refused = ["train", "--run", "first", "--set", "train.monitor=val_auroc", *on_cpu]
    for command in (extract, refused, ["train", "--run", "first", *on_cpu], ["eval", *on_cpu]):
        outcome = weldcache(*command, folder=tmp_path)
        assert outcome.code == (2 if command is refused else 0), outcome.err
        assert command is not refused or ("val_auroc" in outcome.err and "val_gap" in outcome.err)
    assert facts_of(tmp_path / "runs/first/report.json")["auroc"]["value"] > 0.95
    listed = weldcache("runs", "list", folder=tmp_path).out
    assert re.search(r"gap \d", listed)
    outcome = weldcache("bench", "list.yaml", *on_cpu, folder=tmp_path)
    assert outcome.code == 0, outcome.err
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("trial_test.json")]
    assert len(records) == 2 and all(record["val_gap"] > 0 for record in records)
    outcome = weldcache("eval", "--set", "evaluate.judge=anomaly", *on_cpu, folder=tmp_path)
    assert outcome.code == 2 and "gap" in outcome.err


def test_a_task_whose_judge_is_not_there_or_not_the_only_one_is_told(tmp_path: Path, offer: Offer) -> None:
    offer("gaps", "weldcache.tasks", "gap = gaps:GapTask")
    (tmp_path / "site" / "gaps.py").write_text(GAPS)
    assert make_task(TrainSettings(task="gap")).target == "class"
    with pytest.raises(SettingsError, match=r"gap.*anomaly.*weldcache\.judges"):
        judge_named(None, task="gap", of="a run")
    assert headline_of("", "gap") == ()
    offer("broken", "weldcache.judges", "broken = module_that_is_not_there:Mine")
    offer("one", "weldcache.judges", "one = gaps:JudgeOfGaps")
    assert judge_named(None, task="gap", of="a run").task == "gap"
    assert headline_of("", "gap") == headline_of("anomaly", "anomaly")
    offer("two", "weldcache.judges", "two = gaps:JudgeOfGaps")
    with pytest.raises(SettingsError, match=r"evaluate\.judge=one.*one and two"):
        judge_named(None, task="gap", of="a run")
    with pytest.raises(SettingsError, match=r"no task 'gaap'.*gap"):
        TASKS.checked("gaap")


def test_the_pages_on_extending_and_recipes_show_the_example_as_it_is() -> None:
    page = "".join((ROOT / "docs" / name).read_text() for name in ("extending.md", "recipes.md"))
    folder = ROOT / "examples" / "weldcache_example"
    for path in ("pyproject.toml", *(f"weldcache_example/{name}.py" for name in ("source", "kind", "recipe", "judge"))):
        assert f"\n{(folder / path).read_text()}```\n" in page, path
    assert f"```yaml{SETTINGS}```" in page
    assert f"```python{GAPS}```" in page


@pytest.mark.parametrize(
    ("group", "setting"),
    [
        ("weldcache.sources", "data.source"),
        ("weldcache.features", "features.mine.kind"),
        ("weldcache.recipes", "recipe.name"),
    ],
)
def test_what_cannot_be_imported_is_a_sentence_once_it_is_chosen(
    group: str, setting: str, offer: Offer, tmp_path: Path, weldcache: Run
) -> None:
    offer("broken-things", group, "mine = module_that_is_not_there:Mine")
    assert weldcache("config", "show", folder=tmp_path).code == 0
    outcome = weldcache("config", "show", "--set", f"{setting}=mine", folder=tmp_path)
    assert outcome.code == 2
    for told in (setting, "'mine'", "broken-things", "module_that_is_not_there", "pip uninstall broken-things"):
        assert told in outcome.err
    assert "Traceback" not in outcome.err


def test_a_package_whose_settings_are_none_is_told(offer: Offer, tmp_path: Path, weldcache: Run) -> None:
    offer("bare", "weldcache.recipes", "mine = pathlib:Path")
    outcome = weldcache("config", "show", "--set", "recipe.name=mine", folder=tmp_path)
    assert outcome.code == 2
    assert "bare" in outcome.err and "RecipeSettings" in outcome.err


def test_a_judge_that_is_not_there_is_refused_before_anything_is_trained(offer: Offer) -> None:
    offer("broken-things", "weldcache.judges", "mine = module_that_is_not_there:Mine")
    assert {"anomaly", "classification", "mine"} <= set(JUDGES.names)
    assert JUDGES.checked("mine") == "mine"  # which imports nothing
    with pytest.raises(SettingsError, match="broken-things"):
        JUDGES.code("mine")
    with pytest.raises(SettingsError, match=r"'anomoly'.*anomaly"):
        JUDGES.checked("anomoly")


@pytest.mark.parametrize("packages", [["one-more"], ["one-more", "another"]])
def test_one_name_of_two_is_refused_with_both(
    packages: list[str], offer: Offer, tmp_path: Path, weldcache: Run
) -> None:
    name = "nearest" if len(packages) == 1 else "mine"
    for package in packages:
        offer(package, "weldcache.recipes", f"{name} = pathlib:Path")
    outcome = weldcache("config", "show", "--set", f"recipe.name={name}", folder=tmp_path)
    assert outcome.code == 2
    assert all(owner in outcome.err for owner in (*packages, "pip uninstall"))
    assert ("weldcache itself" in outcome.err) is (len(packages) == 1)
    assert weldcache("config", "show", folder=tmp_path).code == 0


@pytest.mark.parametrize("name", ["stray:Mine", "stray", "stray.Mine"])
def test_a_file_of_settings_imports_nothing(
    name: str, offer: Offer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weldcache: Run
) -> None:
    (tmp_path / "stray.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    for section, key in (("recipe", "name"), ("data", "source"), ("evaluate", "judge")):
        (tmp_path / "weldcache.yaml").write_text(f"{section}: {{{key}: '{name}'}}\n")
        outcome = weldcache("config", "show", folder=tmp_path)
        assert outcome.code == 2 and name in outcome.err
    assert not (tmp_path / "ran").exists() and "stray" not in sys.modules
