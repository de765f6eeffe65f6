"""Whether a training command starts anew, goes on, or is refused."""

from collections.abc import Callable

import pytest

from weldcache.atomic import write_json
from weldcache.configs.load import to_yaml
from weldcache.configs.schema import Settings
from weldcache.errors import OutputExistsError
from weldcache.train.run_folder import RunFolder, named_run
from weldcache.train.run_start import RunStart, decide_start

MakeSettings = Callable[..., Settings]
MANIFEST = {"recipe": "film", "created": "2025-01-01", "cache": {"video": {"model": "a"}}, "samples": {"train": ["x"]}}


def put(settings: Settings, name: str, *, finished: bool = False) -> RunFolder:
    run = named_run(settings.runs.folder, name)
    run.create(config=to_yaml(settings), manifest=MANIFEST)
    write_json(run.state_path, {"finished": finished})
    return run


def decide(settings: Settings, name: str | None = None, *, overwrite: bool = False, **manifest: object) -> RunStart:
    return decide_start(settings, MANIFEST | manifest, run_name=name, overwrite=overwrite)


def test_a_free_name_is_taken(toy_settings: MakeSettings) -> None:
    settings = toy_settings()
    assert decide(settings, "mine") == RunStart(RunFolder(settings.runs.folder / "mine"), resumes=False, replaces=False)


@pytest.mark.parametrize("finished", [True, False])
def test_overwriting_is_asked_for_in_words(toy_settings: MakeSettings, finished: bool) -> None:
    settings = toy_settings()
    run = put(settings, "mine", finished=finished)
    assert decide(settings, "mine", overwrite=True) == RunStart(run, resumes=False, replaces=True)


def test_a_finished_run_is_never_touched(toy_settings: MakeSettings) -> None:
    settings = toy_settings()
    put(settings, "mine", finished=True)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        decide(settings, "mine")


def test_an_unfinished_run_goes_on(toy_settings: MakeSettings) -> None:
    run = put(toy_settings(), "mine")
    later = toy_settings(checkpoint_seconds=5)  # how often it is saved does not change what comes out
    assert decide(later, "mine") == RunStart(run, resumes=True, replaces=False)


@pytest.mark.parametrize(
    ("train", "manifest", "message"),
    [
        ({"lr": 0.5, "epochs": 9}, {}, r"train\.epochs: 4 there, 9 now\n  train\.lr: 0\.001 there, 0\.5 now"),
        ({}, {"cache": {"video": {"model": "b"}}}, r"cache\.video\.model: a there, b now"),
        ({}, {"samples": {"train": ["x", "y"]}}, r"samples\.train: \['x'\] there, \['x', 'y'\] now"),
    ],
)
def test_an_unfinished_run_of_something_else_is_refused_with_the_differences(
    toy_settings: MakeSettings, train: dict[str, object], manifest: dict[str, object], message: str
) -> None:
    put(toy_settings(), "mine")
    with pytest.raises(OutputExistsError, match=message):
        decide(toy_settings(**train), "mine", **manifest)


def test_a_folder_that_is_no_run_is_refused(toy_settings: MakeSettings) -> None:
    settings = toy_settings()
    (settings.runs.folder / "mine").mkdir(parents=True)
    with pytest.raises(OutputExistsError, match="is not a run"):
        decide(settings, "mine")


def test_without_a_name_the_interrupted_run_goes_on(toy_settings: MakeSettings) -> None:
    settings = toy_settings()
    put(settings, "film-001", finished=True)
    put(settings, "mine")
    assert decide(settings).run.name == "film-002"
    run = put(settings, "film-002")
    assert decide(settings) == RunStart(run, resumes=True, replaces=False)


def test_without_a_name_something_else_gets_the_next_number(toy_settings: MakeSettings) -> None:
    put(toy_settings(), "film-001")
    assert decide(toy_settings(lr=0.5)) == RunStart(
        RunFolder(toy_settings().runs.folder / "film-002"), resumes=False, replaces=False
    )
    assert decide(toy_settings(), overwrite=True).run.name == "film-002"
