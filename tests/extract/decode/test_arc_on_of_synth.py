"""When each modality says the arc was on, against the moments at which `weldcache synth` struck and broke it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weldcache.extract.decode.audio import decode_audio
from weldcache.extract.decode.sensor import decode_sensors
from weldcache.extract.decode.video import decode_video
from weldcache.extract.sources.welds.run_folder import WELDING_MACHINE
from weldcache.extract.sources.welds.synth.pipeline import generate
from weldcache.extract.sources.welds.synth.plan import MediaSize, SynthPlan, plan_for_size
from weldcache.extract.sources.welds.synth.recording import Clock, Recording, recording_of, session_look
from weldcache.extract.sources.welds.synth.roster import Weld, list_welds


@pytest.fixture(scope="module")
def plan() -> SynthPlan:
    """Small pictures, but recordings of nearly real length, so that noise, flicker and lead-ins are the real ones'."""
    return replace(
        plan_for_size("tiny", seed=11),
        media=MediaSize(96, 60, 60, 27, 14.0, 20.0),
        train={"00": 2},
        val={},
        test={"02": 1, "03": 1, "09": 1, "11": 1},
    )


@pytest.fixture(scope="module")
def welds(plan: SynthPlan, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Weld, Recording]]:
    """The stem of each weld's files, and when its arc was on."""
    out = tmp_path_factory.mktemp("synth") / "long"
    generate(out, plan=plan, workers=1)
    return [
        (
            out / weld.key / weld.run,
            weld,
            recording_of(weld.index, seed=plan.seed, look=session_look(weld.session, seed=plan.seed), media=plan.media),
        )
        for weld in list_welds(plan)
    ]


def errors(found: np.ndarray, clock: Clock) -> list[float]:
    """Seconds by which onset and end are late."""
    late: list[float] = (found - [clock.lead, clock.lead + clock.arc]).tolist()
    return late


def test_every_modality_finds_its_arc(welds: list[tuple[Path, Weld, Recording]]) -> None:
    for stem, weld, recording in welds:
        video = decode_video(stem.with_suffix(".avi"), num_frames=2).active
        late, early = errors(video, recording.video)
        assert 0 <= late < 0.25
        assert -0.25 < early <= 0

        sound = decode_audio(stem.with_suffix(".flac"), max_seconds=60.0).active
        late, early = errors(sound, recording.audio)
        assert abs(late) < 0.06
        # A crater that cracks goes on ticking after the end.
        assert early > -0.06
        assert early < (0.5 if weld.code == "11" else 0.06)

        sensors = decode_sensors(stem.with_suffix(".csv"), num_steps=16, series=WELDING_MACHINE).active
        assert np.abs(errors(sensors, recording.sensors)).max() < 0.2


def test_onsets_can_be_subtracted(welds: list[tuple[Path, Weld, Recording]]) -> None:
    for stem, _, recording in welds:
        video = decode_video(stem.with_suffix(".avi"), num_frames=2).active
        sound = decode_audio(stem.with_suffix(".flac"), max_seconds=60.0).active
        truth = recording.video.lead - recording.audio.lead
        assert video[0] - sound[0] == pytest.approx(truth, abs=0.3)
