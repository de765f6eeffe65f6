"""Whether a training command starts anew, goes on, or is refused."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from weldcache.errors import BusyError, OutputExistsError, SettingsError
from weldcache.settings import Settings, to_yaml
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.names import named_run
from weldcache.train.runs.start import RunStart, decide_start, held_run

MakeSettings = Callable[..., Settings]
Put = Callable[..., RunFolder]
Decide = Callable[..., RunStart]
CACHE = {"features": {"video": {"model": "a"}}}


@pytest.fixture
def manifest(run_manifest: Callable[..., dict[str, object]]) -> dict[str, object]:
    return run_manifest(recipe="film", cache=CACHE, samples={"train": ["x"], "validation": ["v"]})


@pytest.fixture
def put(manifest: dict[str, object]) -> Callable[..., RunFolder]:
    def make(settings: Settings, name: str, *, finished: bool = False) -> RunFolder:
        run = named_run(settings.runs.folder, name)
        run.create(config=to_yaml(settings), manifest=manifest)
        run.write(run.state_path, {"finished": finished, "stopped": None, "epoch": 0, "best": None})
        return run

    return make


@pytest.fixture
def decide(manifest: dict[str, object]) -> Callable[..., RunStart]:
    def decided(settings: Settings, name: str | None = None, *, overwrite: bool = False, **other: object) -> RunStart:
        return decide_start(settings, manifest | other, run_name=name, overwrite=overwrite)

    return decided


def test_a_free_name_is_taken(toy_settings: MakeSettings, decide: Decide) -> None:
    settings = toy_settings()
    assert decide(settings, "mine") == RunStart(RunFolder(settings.runs.folder / "mine"), resumes=False, replaces=False)


@pytest.mark.parametrize("finished", [True, False])
def test_overwriting_is_asked_for_in_words(
    toy_settings: MakeSettings, put: Put, decide: Decide, finished: bool
) -> None:
    settings = toy_settings()
    run = put(settings, "mine", finished=finished)
    assert decide(settings, "mine", overwrite=True) == RunStart(run, resumes=False, replaces=True)


def test_a_finished_run_is_never_touched(toy_settings: MakeSettings, put: Put, decide: Decide) -> None:
    settings = toy_settings()
    put(settings, "mine", finished=True)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        decide(settings, "mine")


def test_an_unfinished_run_goes_on(toy_settings: MakeSettings, put: Put, decide: Decide) -> None:
    run = put(toy_settings(), "mine")
    later = toy_settings(checkpoint_seconds=5)  # how often it is saved does not change what comes out
    assert decide(later, "mine") == RunStart(run, resumes=True, replaces=False)


@pytest.mark.parametrize(
    ("train", "changes", "message"),
    [
        ({"lr": 0.5, "epochs": 9}, {}, r"train\.epochs: 4 there, 9 now\n  train\.lr: 0\.001 there, 0\.5 now"),
        ({}, {"cache": {"features": {"video": {"model": "b"}}}}, r"cache\.features\.video\.model: a there, b now"),
        (
            {},
            {"samples": {"train": ["x", "y"], "validation": ["v"]}},
            r"samples\.train: \['x'\] there, \['x', 'y'\] now",
        ),
    ],
)
def test_an_unfinished_run_of_something_else_is_refused_with_the_differences(
    toy_settings: MakeSettings,
    put: Put,
    decide: Decide,
    train: dict[str, object],
    changes: dict[str, object],
    message: str,
) -> None:
    put(toy_settings(), "mine")
    with pytest.raises(OutputExistsError, match=message):
        decide(toy_settings(**train), "mine", **changes)


def test_a_folder_that_is_no_run_is_refused(toy_settings: MakeSettings, decide: Decide) -> None:
    settings = toy_settings()
    (settings.runs.folder / "mine" / "photographs").mkdir(parents=True)
    with pytest.raises(OutputExistsError, match="is not a run"):
        decide(settings, "mine")


def test_without_a_name_the_interrupted_run_goes_on(toy_settings: MakeSettings, put: Put, decide: Decide) -> None:
    settings = toy_settings()
    put(settings, "film-001", finished=True)
    put(settings, "mine")
    assert decide(settings).run.name == "film-002"
    run = put(settings, "film-002")
    assert decide(settings) == RunStart(run, resumes=True, replaces=False)


def test_without_a_name_something_else_gets_the_next_number(
    toy_settings: MakeSettings, put: Put, decide: Decide
) -> None:
    put(toy_settings(), "film-001")
    assert decide(toy_settings(lr=0.5)) == RunStart(
        RunFolder(toy_settings().runs.folder / "film-002"), resumes=False, replaces=False, numbered=True
    )
    assert decide(toy_settings(), overwrite=True).run.name == "film-002"


def test_a_folder_of_runs_that_is_a_link_is_made_where_it_leads(
    toy_settings: MakeSettings, manifest: dict[str, object], decide: Decide
) -> None:
    settings = toy_settings()
    elsewhere = settings.runs.folder.with_name("scratch") / "deep"
    settings.runs.folder.symlink_to(elsewhere)
    with held_run(decide(settings, "mine"), settings=settings, manifest=manifest) as run:
        assert run.exists
    assert RunFolder(elsewhere / "mine").exists and settings.runs.folder.is_symlink()


def test_an_empty_folder_made_beforehand_becomes_the_run(
    toy_settings: MakeSettings, manifest: dict[str, object], decide: Decide
) -> None:
    settings = toy_settings()
    (settings.runs.folder / "mine").mkdir(parents=True)
    with held_run(decide(settings, "mine"), settings=settings, manifest=manifest) as run:
        assert run.path == settings.runs.folder / "mine" and run.exists


@pytest.mark.parametrize("folder", ["a file", "/proc/none"])
def test_a_place_where_no_folder_can_be_is_refused(toy_settings: MakeSettings, decide: Decide, folder: str) -> None:
    settings = toy_settings()
    path = settings.runs.folder if folder == "a file" else Path(folder)
    if folder == "a file":
        path.write_text("mine")
    moved = settings.model_copy(update={"runs": settings.runs.model_copy(update={"folder": path})})
    with pytest.raises(SettingsError, match=r"runs\.folder"):
        decide(moved, "mine")


def test_numbers_that_are_taken_meanwhile_become_the_next_ones(
    toy_settings: MakeSettings, manifest: dict[str, object], decide: Decide
) -> None:
    """Several trainings with other seeds, all of which have decided before any has begun."""
    starts = [(settings, decide(settings)) for settings in (toy_settings(seed=seed) for seed in range(3))]
    assert {start.run.name for _, start in starts} == {"film-001"}
    with ExitStack() as stack:
        held = [
            stack.enter_context(held_run(start, settings=settings, manifest=manifest)) for settings, start in starts
        ]
    assert [run.name for run in held] == ["film-001", "film-002", "film-003"]
    assert [run.settings().train.seed for run in held] == [0, 1, 2]


def test_a_name_that_is_taken_meanwhile_is_refused(
    toy_settings: MakeSettings, manifest: dict[str, object], decide: Decide, put: Put
) -> None:
    settings = toy_settings()
    start = decide(settings, "mine")
    run = put(settings, "mine")
    before = run.manifest()
    with pytest.raises(OutputExistsError), held_run(start, settings=settings, manifest=manifest):
        pass
    assert run.manifest() == before


def test_of_two_that_overwrite_one_is_told(
    toy_settings: MakeSettings, manifest: dict[str, object], decide: Decide, put: Put
) -> None:
    put(toy_settings(), "mine", finished=True)
    first, second = toy_settings(seed=1), toy_settings(seed=2)
    starts = [decide(settings, "mine", overwrite=True) for settings in (first, second)]
    with held_run(starts[0], settings=first, manifest=manifest) as run:
        with pytest.raises(BusyError), held_run(starts[1], settings=second, manifest=manifest):
            pass
        assert run.settings().train.seed == 1


@pytest.mark.parametrize("replaced", [True, False])
def test_a_run_that_another_process_replaced_or_removed_is_not_gone_on_with(
    toy_settings: MakeSettings, manifest: dict[str, object], decide: Decide, put: Put, replaced: bool
) -> None:
    run = put(toy_settings(), "mine")
    start = decide(toy_settings(), "mine")
    run.remove()
    if replaced:
        put(toy_settings(lr=0.5), "mine")
    with pytest.raises(BusyError, match="meanwhile"), held_run(start, settings=toy_settings(), manifest=manifest):
        pass


def test_what_a_killed_training_left_half_written_is_removed(
    toy_settings: MakeSettings, manifest: dict[str, object], decide: Decide, put: Put
) -> None:
    run = put(toy_settings(), "mine")
    for name in (".best.0123abcd.tmp.safetensors", ".last.0123abcd.tmp.safetensors", ".state.0123abcd.tmp.json"):
        (run.path / name).write_text("half")
    (run.path / ".note").write_text("mine")
    with held_run(decide(toy_settings(), "mine"), settings=toy_settings(), manifest=manifest):
        hidden = [path.name for path in run.path.iterdir() if path.name.startswith(".")]
    assert hidden == [".note"]


def test_an_unfinished_run_goes_on_with_the_classes_that_it_was_started_with(
    toy_settings: MakeSettings, manifest: dict[str, object], put: Put, decide: Decide
) -> None:
    settings, classes = toy_settings(), {"class": ["good", "pore"]}
    put(settings, "former")
    assert decide(settings, "former", classes=classes).resumes
    manifest["classes"] = classes
    put(settings, "mine")
    assert decide(settings, "mine").resumes
    with pytest.raises(OutputExistsError, match="pore"):
        decide(settings, "mine", classes={"class": ["pore", "good"]})
