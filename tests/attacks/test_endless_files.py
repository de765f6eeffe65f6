"""Files that whoever opens them waits for, or reads for ever: a pipe, a device, a link to itself."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]
SENSOR = ("--set", "extract.features=[sensor]")


def test_they_cost_their_own_row_and_the_run_goes_on(
    weldcache: Run, synthetic: Path, linked_copy_of: Callable[[Path], Path], weld_keys: Callable[..., list[str]]
) -> None:
    project = linked_copy_of(synthetic)
    pipe, device, loop, folder, *_ = (next((project / key).glob("*.csv")) for key in weld_keys(project, "train"))
    for path in (pipe, device, loop, folder):
        path.unlink()
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    loop.symlink_to(loop)
    folder.mkdir()
    outcome = weldcache("extract", "--split", "train", *SENSOR, folder=project)
    assert outcome.code == 0 and "4 complete" in outcome.out
    notes = json.loads(weldcache("info", "--json", folder=project).raw_out)["health"]["problems"]
    told = {Path(note["key"]).name: note["reason"] for note in notes}
    for path in (pipe, device, loop, folder):
        assert path.name in told[path.parent.name] or path.suffix in told[path.parent.name]


def test_one_in_the_place_of_a_file_that_was_read_is_a_change(
    weldcache: Run, extracted: Path, linked_copy_of: Callable[[Path], Path], weld_keys: Callable[..., list[str]]
) -> None:
    project = linked_copy_of(extracted)
    film = next((project / weld_keys(project, "train")[0]).glob("*.avi"))
    film.unlink()
    os.mkfifo(film)
    refused = weldcache("extract", folder=project)
    assert refused.code == 2 and film.name in refused.err and "--refresh" in refused.err
    verified = weldcache("verify", "--json", folder=project)
    findings = json.loads(verified.raw_out)["findings"]
    assert any(film.name in finding["evidence"] for finding in findings if finding["severity"] == "warning")
