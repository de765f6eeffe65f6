"""Settings: who wins, what is refused, and in which words."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from weldcache.configs.explain import explain
from weldcache.configs.plain_yaml import dump_yaml
from weldcache.configs.section import fields
from weldcache.errors import NotFoundError, SettingsError
from weldcache.extract.features.settings import FilmSettings, FramesSettings, PhotographsSettings
from weldcache.settings import (
    Settings,
    load_settings,
    preset_names,
    preset_summary,
    settings_from_record,
    settings_from_saved,
    to_yaml,
)


def write(folder: Path, text: str, name: str = "weldcache.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_presets_load_no_more_than_their_sections_need() -> None:
    code = """
import sys
from weldcache.settings import load_settings, preset_names
heavy = {"torch", "transformers", "zarr", "cv2", "soundfile", "librosa", "pandas", "sklearn"}
# The sections of their recipes stand in the file of the code.
own_file = {"video_ae", "audio_ae", "cfm", "l2bt", "simplenet", "dinomaly"}
own_file |= {"pictures", "match", "causal_film_plus", "cub", "cub-demo", "cub-pixels"}
for name in [*(set(preset_names()) - own_file), *own_file]:
    load_settings(name)
    assert not heavy & set(sys.modules) - ({"torch"} if name in own_file else set()), name
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_later_layers_win(tmp_path: Path) -> None:
    write(tmp_path, "preset: demo-random\ntrain:\n  lr: 0.5\n  epochs: 7\n")
    file = write(tmp_path, "train:\n  epochs: 8\n", "own.yaml")
    assert load_settings(folder=tmp_path).train.lr == 0.5
    assert load_settings(folder=tmp_path).features["image"].blocks == (2, 4)  # from the preset
    assert load_settings(str(file), folder=tmp_path).train.epochs == 8
    settings = load_settings(str(file), overrides=["train.epochs=9", "train.epochs=10"], folder=tmp_path)
    assert (settings.train.epochs, settings.train.lr) == (10, 0.5)


def test_a_named_preset_is_laid_over_the_one_that_the_folder_is_built_on(tmp_path: Path) -> None:
    """Stage 1, whatever the folder says of what stage 1 is, on a demo's features."""
    write(tmp_path, "preset: demo-random\ntrain:\n  epochs: 7\n  checkpoint_seconds: 3\n")
    settings = load_settings("stage1", folder=tmp_path)
    assert (settings.recipe.blocks, settings.recipe.pooling, settings.recipe.d_model) == ((8, 12), ("max", "mean"), 256)
    assert (settings.train.lr, settings.train.epochs, settings.train.checkpoint_seconds) == (1e-4, 100, 3)
    assert (settings.recipe.image, settings.features["image_dinov2"].model) == ("image_dinov2", "facebook/dinov2-base")
    assert (settings.features["image"].model, settings.asked_features[-1]) == ("demo", "image_dinov2")
    assert (settings.features["video"].model, settings.recipe.standardise, settings.train.device) == (
        "demo",
        True,
        "cpu",
    )
    alone = load_settings("stage1", folder=tmp_path / "elsewhere")
    assert (alone.features["video"], alone.recipe.standardise) == (Settings().features["video"], False)


def test_paths_in_a_file_are_meant_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    file = write(tmp_path / "project", "data:\n  root: welds\n")
    monkeypatch.chdir(tmp_path)
    settings = load_settings(str(file), overrides=["cache.path=here.zarr"])
    assert settings.data.root == tmp_path / "project/welds"
    assert settings.cache.path == tmp_path / "here.zarr"


def test_the_home_folder_is_found_wherever_a_path_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    write(tmp_path / "home", "train: {epochs: 7}\n", "own.yaml")
    write(tmp_path, "data: {root: ~/welds}\nfeatures: {image: {model: ~/dino}}\n")
    settings = load_settings("~/own.yaml", overrides=["cache.path=~/x.zarr"], folder=tmp_path)
    assert settings.train.epochs == 7
    assert (settings.data.root, settings.cache.path) == (tmp_path / "home/welds", tmp_path / "home/x.zarr")
    assert settings.features["image"].model == str(tmp_path / "home/dino")
    with pytest.raises(SettingsError, match="no user of that name"):
        load_settings(overrides=["cache.path=~nobody.of-that-name/x"], folder=tmp_path)


def test_a_model_that_is_a_folder_beside_the_file_is_that_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that is written as only a path is, whether it exists or not: never somebody's model on the hub."""
    for name in ("project/models/d", "project/demo", "facebook/dinov2-base"):
        (tmp_path / name).mkdir(parents=True)
    text = (
        "features:\n"
        "  image: {model: models/d}\n  video: {model: ./none}\n  audio: {model: demo}\n  frames: {model: models/none}\n"
    )
    file = write(tmp_path / "project", text)
    monkeypatch.chdir(tmp_path)
    settings = load_settings(str(file), overrides=["features.text.model=project/models/d"])
    assert settings.features["image"].model == settings.features["text"].model == str(tmp_path / "project/models/d")
    assert settings.features["video"].model == str(tmp_path / "project/none")
    assert (settings.features["audio"].model, settings.features["frames"].model) == ("demo", "models/none")
    assert load_settings("stage1").features["image_dinov2"].model == "facebook/dinov2-base"  # a preset's is an id


@pytest.mark.parametrize("way", ["hf", "timm", "onnx"])
def test_the_way_that_a_model_is_read_stands_before_its_folder(tmp_path: Path, way: str) -> None:
    (tmp_path / "net").mkdir()
    file = write(tmp_path, f"features: {{image: {{model: '{way}:net'}}, frames: {{model: 'torch:net'}}}}\n")
    settings = load_settings(str(file))
    assert settings.features["image"].model == f"{way}:{tmp_path / 'net'}"
    assert settings.features["frames"].model == "torch:net"  # what is installed by that name, and no folder


def test_blocks_are_numbers_or_names(tmp_path: Path) -> None:
    file = write(tmp_path, "features: {image: {blocks: [2, stage4]}, frames: {block: layer3}}\n")
    settings = load_settings(str(file))
    assert (settings.features["image"].blocks, settings.features["frames"].block) == ((2, "stage4"), "layer3")
    with pytest.raises(SettingsError, match="valid integer"):
        load_settings(str(file), overrides=["features.image.blocks=['2']"])
    with pytest.raises(SettingsError, match="blocks must ascend without repeats"):
        load_settings(str(file), overrides=["features.image.blocks=[a, a]"])
    with pytest.raises(SettingsError, match="mean and std are stated together"):
        load_settings(str(file), overrides=["features.image.mean=[0.5, 0.5, 0.5]"])


@pytest.mark.parametrize(
    ("written", "prompt"),
    [
        ("weld #3", "weld #3"),
        ("weld: good", "weld: good"),
        ("2024", "2024"),
        ("no", "no"),
        ("'a weld'", "a weld"),
        ('"a\\u00e4"', "aä"),
    ],
)
def test_an_override_of_a_text_is_taken_as_it_is_unless_quoted(written: str, prompt: str) -> None:
    assert load_settings("demo-random", overrides=[f"features.text.prompt={written}"]).features["text"].prompt == prompt


def test_what_chooses_a_section_may_be_quoted() -> None:
    assert load_settings("demo-random", overrides=['recipe.name="nearest"', "recipe.k=2"]).recipe.name == "nearest"


def test_an_override_can_be_nothing() -> None:
    overrides = [
        "features.image.revision=1234567",
        "features.video.revision=1e10",
        "features.text.revision=null",
        "features.image.size=null",
    ]
    settings = load_settings("demo-random", overrides=overrides)
    assert (
        settings.features["image"].revision,
        settings.features["video"].revision,
        settings.features["text"].revision,
    ) == ("1234567", "1e10", None)
    assert settings.features["image"].size is None


@pytest.mark.parametrize("kind", ["folder", "pipe", "broken link", "latin-1"])
def test_a_settings_file_that_cannot_be_read_is_not_passed_over(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weldcache.yaml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "broken link":
        path.symlink_to("nowhere")
    else:
        path.write_bytes("# Stähle\n".encode("latin-1"))
    with pytest.raises((SettingsError, NotFoundError), match=r"weldcache\.yaml"):
        load_settings(folder=tmp_path)


def test_settings_survive_being_saved(tmp_path: Path) -> None:
    overrides = [
        "train.seed=3",
        "features.video.revision=1e10",
        "features.text.prompt=off",
        "features.image.revision=0o17",
        "train.lr=2e-5",
    ]
    settings = load_settings("demo-random", overrides=overrides, folder=tmp_path)
    path = write(tmp_path, to_yaml(settings), "config.yaml")
    assert settings_from_saved(path.read_bytes(), origin=path.name) == settings
    with pytest.raises(SettingsError, match="saved"):
        settings_from_saved(b"#" * (1 << 20), origin="saved")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.lrr=1"], r"--set train.lrr=1: there is no setting train.lrr. Did you mean train.lr\?"),
        (["trian.lr=1"], r"there is no setting trian. Did you mean train"),
        (["lr=1"], r"--set lr=1: expected section.key=value"),
        (["train.lr"], r"expected section.key=value"),
        (["train.lr=-1"], r"--set train.lr=-1: train.lr: Input should be greater than 0, got -1"),
        (["train.lr=fast"], r"train.lr: Input should be a valid number"),
        (["train.task=anomoly"], r"train.task: .*no task 'anomoly'.*anomaly.*classification"),
        (["features.image.blocks=[21, 10]"], r"features.image: blocks must ascend"),
        (["recipe.d_model=20", "recipe.num_heads=3"], r"d_model = 20 is not a multiple of num_heads = 3"),
        (["train.lr={"], r"--set train.lr=\{ is not valid YAML"),
        (["train.epochs=1 # for now"], r"what follows # is a comment, '# for now'"),
        (["train.seed=true"], r"train.seed: Input should be a valid integer, got True"),
        (["train.seed=1:30"], r"train.seed: Input should be a valid integer, got '1:30'"),
        (["train.seed=1_0"], r"train.seed: Input should be a valid integer, got '1_0'"),
        (["train.lr=.inf"], r"train.lr: Input should be a finite number"),
        (["recipe.gate=1"], r"recipe.gate: Input should be a valid boolean"),
        (["cache.path=$SCRATCH/f.zarr"], r"cache.path: '\$SCRATCH/f.zarr' is no path: variables are not replaced"),
        (["cache.path="], r"is no path"),
        (["cache.path=" + 256 * "x"], r"longer than a file system takes"),
        (["cache.path=sch\udcfctte"], r"'cache.path=sch\\udcfctte': it is not UTF-8"),
    ],
)
def test_bad_overrides_are_refused_in_words(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings("demo-random", overrides=overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian:\n  lr: 1\n", r"weldcache.yaml: there is no setting trian. Did you mean train"),
        ("features: {video: {frames: 3}}\n", r"weldcache.yaml: there is no .*video.frames. Did you mean .*num_frames"),
        ("train: 3\n", r"weldcache.yaml: train is a section"),
        ("- train\n", r"weldcache.yaml must hold"),
        ("train: [\n", r"weldcache.yaml is not valid YAML"),
        ("preset: deno\n", r"no preset 'deno'. Did you mean demo.? There are .*demo, .*v5"),
        ("train: {epochs: 0}\n", r"weldcache.yaml: train.epochs: Input should be greater than 0"),
        ("train: {lr: 1}\ndata: {}\ntrain: {seed: 1}\n", r"weldcache.yaml, line 3: train stands twice"),
        ("preset: demo-random\npreset: v5\n", r"line 2: preset stands twice"),
        ("train:\n  lr: 1\n  'lr': 2\n", r"line 3: lr stands twice"),
        ("train: {seed: true}\n", r"train.seed: Input should be a valid integer, got True"),
        ("train: {seed: '8'}\n", r"train.seed: Input should be a valid integer, got '8'"),
        (
            "features: {image: {blocks: [1, true]}}\n",
            r"yaml: features.image.blocks.1: .* valid integer, got True",
        ),
        ("features: {audio: {max_seconds: 1:30}}\n", r"audio.max_seconds: Input should be a valid number, got '1:30'"),
    ],
)
def test_bad_files_are_refused_in_words(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=message):
        load_settings(folder=tmp_path)


def test_a_config_that_is_neither_file_nor_preset(tmp_path: Path) -> None:
    with pytest.raises(
        NotFoundError, match=r"--config demos is neither a file nor a preset.* Did you mean demo.? The .* demo, .*v5"
    ):
        load_settings("demos", folder=tmp_path)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().train.lr = 1.0  # type: ignore[misc]


def test_every_setting_has_a_line_of_help() -> None:
    missing = [setting.key for setting in fields(Settings()) if not setting.field.description]
    assert missing == []


def test_every_setting_is_read_somewhere() -> None:
    """A setting that nothing reads would be a promise that nobody keeps."""
    root = Path(__file__).resolve().parents[1]
    folders = ("cache", "configs", "extract", "train", "evaluate")
    sources = [root / "settings.py", *(path for folder in folders for path in (root / folder).rglob("*.py"))]
    text = "\n".join(path.read_text() for path in sources)
    unread = [setting.key for setting in fields(Settings()) if f".{setting.name}" not in text]
    assert unread == []


@pytest.mark.parametrize("name", preset_names())
def test_presets_load_and_introduce_themselves(name: str) -> None:
    assert isinstance(load_settings(name), Settings)
    assert preset_summary(name)


@pytest.mark.parametrize(
    ("name", "base", "changed"),
    [
        (
            "demo-dinov2",
            "demo",
            {
                "features.image.model": "weights:dinov2-small",
                "features.image.blocks": [12],
                "features.image.size": 112,
                "recipe.blocks": [12],
            },
        ),
        (
            "stage2",
            "stage1",
            {"recipe.decoder_dropout": 0.1, "recipe.feature_mask": 0.2, "recipe.loss.text": 0.01},
        ),
        ("stage3", "v5", {"recipe.blocks": [21, 32], "recipe.pooling": "mean"}),
    ],
)
@pytest.mark.parametrize("built_on", [None, "pictures"])
def test_a_preset_that_builds_on_another_changes_what_it_names_alone(
    name: str, base: str, changed: dict[str, object], built_on: str | None, tmp_path: Path
) -> None:
    """By themselves, and laid over what a folder says."""
    if built_on is not None:
        write(tmp_path, f"preset: {built_on}\n")
    mine, theirs = (
        {setting.key: setting.told for setting in fields(load_settings(preset, folder=tmp_path))}
        for preset in (name, base)
    )
    assert mine.keys() == theirs.keys()
    assert {key: value for key, value in mine.items() if value != theirs[key]} == changed


@pytest.fixture
def own_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that presets come from."""
    folder = tmp_path / "presets"
    folder.mkdir()
    monkeypatch.setattr("weldcache.settings.resources.files", lambda package: folder)
    return folder


def test_presets_build_on_presets_and_the_last_wins(own_presets: Path, tmp_path: Path) -> None:
    write(own_presets, "train:\n  epochs: 7\n  patience: 3\n  lr: 0.5\n", "v5.yaml")
    write(own_presets, "preset: v5\ntrain:\n  patience: 4\n  lr: 0.25\n", "middle.yaml")
    write(own_presets, "preset: middle\ntrain:\n  lr: 0.125\n", "top.yaml")
    by_name = load_settings("top", folder=tmp_path)
    write(tmp_path, "preset: top\n")
    for settings in (by_name, load_settings(folder=tmp_path)):
        assert (settings.train.epochs, settings.train.patience, settings.train.lr) == (7, 4, 0.125)


@pytest.mark.parametrize(
    ("base", "message"),
    [("top", "top on top"), ("middle", "top on middle on top"), ("nobody", "nobody.*middle, top"), ("null", "None")],
)
def test_presets_that_build_on_none_or_on_themselves_are_refused(own_presets: Path, base: str, message: str) -> None:
    write(own_presets, f"preset: {base}\n", "top.yaml")
    write(own_presets, "preset: top\n", "middle.yaml")
    write(own_presets, "train:\n  epochs: 7\n", "v5.yaml")
    with pytest.raises(SettingsError, match=message):
        load_settings("top")


def test_an_unknown_setting_of_a_base_is_told_with_its_name(own_presets: Path) -> None:
    write(own_presets, "train:\n  epoch: 7\n", "v5.yaml")
    write(own_presets, "preset: v5\n", "top.yaml")
    with pytest.raises(SettingsError, match=r"preset v5: .*train\.epochs"):
        load_settings("top")


def test_v5_is_the_recorded_configuration() -> None:
    """SPEC 4: the values of the best recorded experiment."""
    settings = load_settings("v5")
    assert settings.features["image"].blocks == (10, 21, 32)
    assert (settings.recipe.d_model, settings.recipe.sensor_hidden, settings.recipe.blocks) == (512, 128, (10, 21))
    train = settings.train
    assert (train.lr, train.weight_decay, train.warmup_epochs, train.warmup_lr) == (2e-5, 1e-2, 8, 5e-7)
    assert (train.batch_size, train.epochs, train.gradient_clip, train.patience) == (32, 100, 0.5, 25)
    loss = settings.recipe.loss
    assert (loss.l1, loss.gram, loss.text, train.ema_decay) == (10, 1, 0.1, 0.9999)


def test_the_recorded_history_is_a_word_each() -> None:
    """SPEC 4: what each stage changed."""
    stage1, stage2, stage3, v5 = (load_settings(name) for name in ("stage1", "stage2", "stage3", "v5"))
    assert (stage1.recipe.sensor_hidden, stage1.train.weight_decay, stage1.train.patience) == (64, 1e-4, 8)
    assert (stage1.recipe.loss.gram, stage1.recipe.loss.text, stage1.recipe.feature_mask) == (0, 0, 0)
    without = {"decoder_dropout": 0.0, "feature_mask": 0.0, "loss": stage1.recipe.loss}
    assert stage2.recipe.model_copy(update=without) == stage1.recipe
    assert (stage2.recipe.decoder_dropout, stage2.recipe.feature_mask, stage2.recipe.loss.text) == (0.1, 0.2, 0.01)
    assert (stage3.recipe.blocks, stage3.recipe.pooling, stage3.recipe.d_model) == ((21, 32), "mean", 512)
    assert stage3.train == v5.train and stage3.recipe.loss == v5.recipe.loss


def test_v5_spells_out_the_defaults_so_that_it_can_be_laid_over_a_demo(tmp_path: Path) -> None:
    write(tmp_path, "preset: demo-random\n")
    over, alone = load_settings("v5", folder=tmp_path), load_settings("v5", folder=tmp_path / "elsewhere")
    assert alone == Settings.model_validate(_rooted(alone))
    assert over.recipe == alone.recipe.model_copy(update={"standardise": True})
    assert over.train == alone.train.model_copy(update={"device": "cpu"})
    assert over.features["image"].blocks == alone.features["image"].blocks and over.features["image"].model == "demo"


def _rooted(settings: Settings) -> dict[str, object]:
    """The paths of `settings`, the prompt of every preset, and everything else by default."""
    defaults = Settings().features
    text = defaults["text"].model_copy(update={"prompt": "a normal weld"})
    return {
        "features": {**defaults, "text": text},
        "data": {"source": "auto", "root": settings.data.root},
        "cache": {"path": settings.cache.path},
        "runs": {"folder": settings.runs.folder},
    }


def test_explain_shows_help_default_and_value() -> None:
    text = explain("train.lr", settings=load_settings("demo-random", overrides=["train.lr=0.25"]))
    assert "Peak learning rate" in text and "default: 2e-05" in text and "here:    0.25" in text
    assert "features.video.num_frames" in explain("features.video", settings=Settings())
    with pytest.raises(SettingsError, match=r"no setting train.lrr. Did you mean train.lr\?"):
        explain("train.lrr", settings=Settings())


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("features.video.size", "whole number above 0; or null"),
        ("features.image.crop", "list of 4, each: number at least 0 and at most 1; or null"),
        ("extract.batch_size", "whole number above 0; or auto"),
        ("runs.folder", "path"),
        ("cache.path", "path; or text like s3://bucket/prefix"),
        ("recipe.film", "shared, split or off"),
        ("recipe.d_model", "whole number above 0, at most 16384 and a multiple of 4"),
    ],
)
def test_what_a_setting_may_be_is_said_in_words(key: str, told: str) -> None:
    assert f"may be:  {told}\n" in explain(key, settings=Settings())


def test_every_setting_can_be_explained() -> None:
    for section in Settings.model_fields:
        assert "pydantic" not in explain(section, settings=Settings())


def test_yaml_of_settings_is_plain() -> None:
    assert yaml.safe_load(to_yaml(Settings()))["train"]["betas"] == [0.9, 0.999]


@pytest.mark.parametrize(
    ("override", "now"),
    [
        ("image.blocks=[2]", "features.image.blocks"),
        ("audio.store_as=other", "the name of the feature in `features`"),
        ("extract.modalities=[image]", "extract.features"),
    ],
)
def test_a_former_name_is_refused_with_the_new_one(tmp_path: Path, override: str, now: str) -> None:
    with pytest.raises(SettingsError, match=f"--set {re.escape(override)}: .* is {now} now"):
        load_settings("demo-random", overrides=[override], folder=tmp_path)


def test_settings_that_an_earlier_version_saved_mean_what_they_meant(tmp_path: Path) -> None:
    saved = {
        "video": {"store_as": "video", "model": "demo", "num_frames": 16, "max_megapixels": 5.0},
        "audio": {"store_as": "audio_b", "model": "demo"},
        "image": {"store_as": "image_dinov2", "model": "facebook/dinov2-base", "blocks": [8, 12]},
        "sensor": {"store_as": "sensor", "limits": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]},
        "text": {"prompt": "a good weld"},
        "frames": {"model": "demo"},
        "extract": {"modalities": ["audio", "image"], "device": "cpu"},
        "model": {"blocks": [8, 12]},
    }
    settings = settings_from_saved(dump_yaml(saved).encode(), origin="config.yaml")
    assert list(settings.features) == ["video", "audio_b", "image_dinov2", "sensor", "frames", "text"]
    assert settings.features["image_dinov2"] == PhotographsSettings(model="facebook/dinov2-base", blocks=(8, 12))
    assert settings.features["frames"] == FramesSettings(model="demo", max_megapixels=5.0, by_default=False)
    assert isinstance(film := settings.features["video"], FilmSettings) and film.sensor_limits[0] == 1.0
    assert settings.asked_features == ("audio_b", "image_dinov2", "text") and settings.extract.device == "cpu"
    recipe = settings.recipe.model_dump()
    assert (recipe["image"], recipe["audio"], recipe["video"]) == ("image_dinov2", "audio_b", "video")
    assert settings == settings_from_record(saved) == settings_from_record(settings.model_dump(mode="json"))


@pytest.mark.parametrize("rectangle", ["[0.5,0,0.5,1]", "[0,1,1,0]", "[0,0,1,1.2]", "[0,0,1]"])
def test_a_rectangle_without_an_area_in_the_picture_is_refused(tmp_path: Path, rectangle: str) -> None:
    for setting in (f"features.image.crop={rectangle}", f"features.image.masks=[{rectangle}]"):
        with pytest.raises(SettingsError, match=r"features\.image.*(crop|masks)"):
            load_settings("demo-random", overrides=[setting], folder=tmp_path)


@pytest.mark.parametrize("key", ["recipe.film", "train.compile"])
def test_off_is_a_word_and_no_boolean(tmp_path: Path, key: str) -> None:
    section, name = key.split(".")
    by_override = load_settings(overrides=[f"{key}=off"], folder=tmp_path)
    by_file = load_settings(str(write(tmp_path, f"{section}:\n  {name}: off\n")), folder=tmp_path / "elsewhere")
    for settings in (by_override, by_file):
        assert getattr(getattr(settings, section), name) == "off"
        assert yaml.safe_load(to_yaml(settings))[section][name] == "off"
    with pytest.raises(SettingsError, match=r"recipe\.gate"):
        load_settings(overrides=["recipe.gate=sometimes"], folder=tmp_path)
    assert load_settings(overrides=["recipe.gate=false"], folder=tmp_path).recipe.gate is False


def test_who_asks_for_a_fusion_by_settings_learns_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="weldcache fuse"):
        load_settings("demo-random", overrides=["recipe.name=late_fusion"], folder=tmp_path)


def test_a_base_stands_for_all_that_the_folder_says(tmp_path: Path) -> None:
    (tmp_path / "weldcache.yaml").write_text("train: {epochs: 3}\nfeatures: {cells: {kind: photographs}}")
    base = load_settings(
        "demo-random", overrides=["train.lr=0.5", f"cache.path={tmp_path / 'x.zarr'}"], folder=tmp_path
    )
    assert load_settings(base=base, folder=tmp_path) == base
    (tmp_path / "weldcache.yaml").write_text("train: {epochs: 9}")
    laid = load_settings("stage1", overrides=["train.seed=4"], folder=tmp_path, base=base)
    assert laid.train.epochs == load_settings("stage1").train.epochs and laid.train.seed == 4
    assert laid.cache == base.cache and "cells" in laid.features


def test_the_random_demo_can_be_laid_over_the_real_one(tmp_path: Path) -> None:
    write(tmp_path, "preset: demo\n")
    over, alone = load_settings("demo-random", folder=tmp_path), load_settings("demo-random", folder=tmp_path / "none")
    assert over.recipe == alone.recipe and over.train == alone.train
    assert {name: over.features[name] for name in alone.features} == alone.features
