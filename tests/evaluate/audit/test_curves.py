"""Logs of trainings that learned nothing, as they were met, and of one that did."""

import re
from pathlib import Path

import numpy as np
import pytest

from weldcache.errors import NotFoundError, SettingsError, SourceError
from weldcache.evaluate.audit.curves import CURVE_CHECKS
from weldcache.evaluate.audit.epochs import (
    Epochs,
    epochs_of_run,
    parse_anchors,
    parse_assignments,
    parse_shares,
    read_epochs,
)
from weldcache.findings import Finding

_EPOCHS = np.arange(1, 11)
GOOD = {
    "loss": 0.6 * 0.8**_EPOCHS + 0.01,
    "val_loss": 0.6 * 0.85**_EPOCHS + 0.05,
    "accuracy": 1 - 0.4 * 0.8**_EPOCHS,
    "val_accuracy": 1 - 0.4 * 0.85**_EPOCHS,
    "val_auroc": 0.95 - 0.4 * 0.8**_EPOCHS,
    "val_recall": 0.9 - 0.4 * 0.8**_EPOCHS,
    "val_auprc": 0.8 - 0.4 * 0.8**_EPOCHS,
}


def found_in(changes: dict[str, object], **further: object) -> list[Finding]:
    columns = GOOD | {name: np.resize(np.asarray(values, dtype=float), 10) for name, values in changes.items()}
    epochs = Epochs("log", columns, **further)  # type: ignore[arg-type]
    return [finding for check in CURVE_CHECKS for finding in check.answered(epochs).findings]


@pytest.mark.parametrize("shares", [(), (0.1, 0.9)])
def test_a_training_that_learned_has_nothing_wrong(shares: tuple[float, ...]) -> None:
    assert found_in({}, shares=shares, anchors={"auroc": 0.92}) == []


@pytest.mark.parametrize(
    ("changes", "shares", "check", "severity"),
    [
        ({"loss": 0.0}, (), "loss", "error"),
        ({"loss": [0.5] * 9 + [0]}, (), "loss", "error"),
        ({"loss": 1.8379}, (), "loss", "error"),
        ({"loss": [0.7, 0.7003]}, (), "loss", "warning"),
        ({"loss": 1 + 0.1 * _EPOCHS}, (), "loss", "warning"),
        ({"val_loss": [np.inf, 0.2]}, (), "finite", "error"),
        # Labels by chance, one in ten positive: accuracy .9012, AUROC .4979, AUPRC .0983, a mean loss of .3313.
        ({"loss": [0.3350, 0.3313, 0.3320]}, (0.1, 0.9), "base rate", "error"),
        ({"val_loss": [0.9, 0.8, 0.7]}, (0.1, 0.9), "base rate", "warning"),
        ({"val_accuracy": 0.9012}, (0.0988, 0.9012), "base rate", "error"),
        ({"val_auprc": 0.0983}, (0.0988, 0.9012), "base rate", "error"),
        ({"loss": [0.3350, 0.3313, 0.3320], "accuracy": [0.9012, 0.9010]}, (), "base rate", "error"),
        ({"loss": [1.2, 1.0986], "accuracy": 0.3}, (1 / 3, 1 / 3, 1 / 3), "base rate", "error"),
        ({"val_auroc": 0.4979}, (), "chance", "error"),
        ({"val_recall": 0.0}, (), "nothing found", "error"),
        ({"positives": [3, 0]}, (), "nothing found", "error"),
        ({"val_loss": GOOD["loss"]}, (), "validation", "error"),
        ({"val_accuracy": [0.9, 1.0]}, (), "too good", "warning"),
    ],
)
def test_a_planted_fault_is_found(
    changes: dict[str, object], shares: tuple[float, ...], check: str, severity: str
) -> None:
    found = found_in(changes, shares=shares)
    assert (check, severity) in {(finding.check, finding.severity) for finding in found}
    assert all(finding.remedy and finding.evidence for finding in found)


@pytest.mark.parametrize(("few", "severity"), [((5, 7), "note"), ((60, 90), "error")])
def test_of_few_samples_an_auroc_by_chance_is_a_note(few: tuple[int, int], severity: str) -> None:
    (found,) = found_in({"val_auroc": 0.5}, validated=few)
    assert (found.check, found.severity) == ("chance", severity)
    assert ("5 normals and 7 defects" in found.evidence) is (severity == "note")


_FALLING = 2.0 * 0.6**_EPOCHS


@pytest.mark.parametrize(
    ("name", "better", "figure"),
    [
        ("val_auroc", "max", 0.9 - 0.03 * _EPOCHS),
        ("val_divergence", "min", np.minimum(0.5 + 0.5 * _EPOCHS, 2.1)),  # it rises, and stays there
    ],
)
def test_a_loss_that_falls_while_what_it_stands_for_gets_worse(name: str, better: str, figure: np.ndarray) -> None:
    (found,) = found_in({"val_loss": _FALLING, name: figure}, monitors={name: better})
    assert (found.check, found.severity, found.part) == ("loss and figures", "warning", name)
    for loss, other in (
        (_FALLING, -figure if better == "min" else 1 - figure),
        (_FALLING[::-1], figure),  # a loss that rises with overfitting
        (0.5 + 0.1 * _FALLING, figure),  # and one that hardly falls
    ):
        assert "loss and figures" not in {
            each.check for each in found_in({"val_loss": loss, name: other}, monitors={name: better})
        }


def test_half_the_error_of_an_anchor_is_suspicious() -> None:
    (found,) = found_in({}, anchors={"auroc": 0.8, "accuracy": 0.95})
    assert (found.check, found.part) == ("too good", "val_auroc")


def test_a_best_epoch_chosen_on_test() -> None:
    epochs = Epochs("log", {"loss": GOOD["loss"], "test_auroc": GOOD["val_auroc"]})
    (found,) = [finding for check in CURVE_CHECKS for finding in check.answered(epochs).findings]
    assert (found.check, found.severity) == ("validation", "warning")


LOGS = {
    "table.csv": "epoch,train_loss,val_acc,Note\n1,0.50,80.5 %,a\n2,0.25,90 %,b\n",
    "semicolons.csv": "epoch;Loss;val acc\n1;0.50;0.805\n2;0.25;0.9\n",
    "decimal_commas.csv": "epoch;Loss;val acc;Note\n1;0,50;80,5 %;a, b\n2;,25;9e-1;3,4,5 and 0.7 left\n",
    "tabs.tsv": "epoch\tLoss\tval acc\n1\t0,50\t0,805\n2\t2,5e-1\t0,9\n",
    "lines.jsonl": '{"epoch": 1, "loss": 0.5, "val/accuracy": 0.805}\n{"loss": 0.25, "val/accuracy": 0.9}\n',
    "list.json": '[{"training_loss": 0.5, "valid_acc": 0.805}, {"training_loss": 0.25, "valid_acc": 0.9}]',
    "history.json": '{"loss": [0.5, 0.25], "val_acc": [0.805, 0.9], "params": {"epochs": 2}}',
}


@pytest.mark.parametrize("name", LOGS)
def test_formats_are_read_alike(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(LOGS[name])
    read = read_epochs(path, columns={})
    assert {role: values.tolist() for role, values in read.columns.items()} == {
        "loss": [0.5, 0.25],
        "val_accuracy": pytest.approx([0.805, 0.9]),
    }


def test_text_is_read_by_a_pattern_and_other_names_by_a_map(tmp_path: Path) -> None:
    text, table = tmp_path / "out.txt", tmp_path / "table.csv"
    text.write_text("start\nEpoch 1/2 L=0.5 found 0 of 9\nsome noise\nEpoch 2/2 L=nan found 3 of 9\n")
    read = read_epochs(text, columns={}, pattern=r"L=(?P<loss>\S+) found (?P<val_positives>\d+)")
    assert read.columns["loss"].tolist() == [0.5, np.inf] and read.columns["val_positives"].tolist() == [0, 3]
    table.write_text("step,crit\n1,0.5\n2,NaN\n")
    assert read_epochs(table, columns={"loss": "crit"}).columns["loss"].tolist() == [0.5, np.inf]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,2\n")
    for error, columns, pattern, told in (
        (SourceError, {}, None, "--column"),
        (SourceError, {"loss": "c"}, None, "'c'"),
        (SettingsError, {"los": "a"}, None, "'los'"),
        (SettingsError, {}, "(", "regular expression"),
    ):
        with pytest.raises(error, match=told):
            read_epochs(path, columns=columns, pattern=pattern)
    with pytest.raises(NotFoundError, match="none"):
        read_epochs(tmp_path / "none.csv", columns={})
    for wrong in ("loss", "=a", "loss="):
        with pytest.raises(SettingsError, match="--column"):
            parse_assignments([wrong], option="--column")
    for wrong in ("auroc=91", "auroc=x"):
        with pytest.raises(SettingsError, match="anchor"):
            parse_anchors([wrong])
    for text in ("1.5", "x", "0.5,0.2", "0"):
        with pytest.raises(SettingsError, match="base-rate"):
            parse_shares(text)
    assert parse_shares("0.1") == (0.1, 0.9) and parse_shares(None) == ()


@pytest.mark.parametrize("value", ["1,250.5", "1.250,5", "1,250,500"])
def test_a_number_that_may_be_either_is_refused(value: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"epoch;loss\n1;{value}\n")
    with pytest.raises(SourceError, match=re.escape(repr(value))):
        read_epochs(path, columns={})


def test_unquoted_decimal_commas_between_commas_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss,val_acc\n1,0.325,0.81,\n2,0,25,0,9\n")
    with pytest.raises(SourceError, match=r"log\.csv, line 3.*semicolons"):
        read_epochs(path, columns={})
    path.write_text("epoch,loss,val_acc\n1,0.325,0.81,\n")  # a last comma, behind which nothing stands
    assert read_epochs(path, columns={}).columns["val_accuracy"].tolist() == [0.81]


@pytest.mark.parametrize("text", ["epoch,loss,loss\n1,2,3\n", "train_loss,bce\n1,2\n", 'loss\n"' + "9" * 200_000])
def test_columns_of_one_role_and_what_is_no_table_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(text.encode())
    with pytest.raises(SourceError, match=r"log\.csv"):
        read_epochs(path, columns={})


def test_a_column_that_has_the_name_of_its_role_is_it(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("loss,bce\n1,2\n")
    assert read_epochs(path, columns={}).columns["loss"].tolist() == [1]
    assert read_epochs(path, columns={"loss": "bce"}).columns["loss"].tolist() == [2]


@pytest.mark.parametrize("text", ["", "\ufeff", " \n\n"])
def test_a_log_of_nothing_is_said_to_be_empty(text: str, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8")
    for pattern in (None, r"L=(?P<loss>\S+)"):
        with pytest.raises(SourceError, match="is empty"):
            read_epochs(path, columns={}, pattern=pattern)


def test_our_own_log_is_one_of_these() -> None:
    row = {"epoch": 1, "loss": 0.5, "val_auroc": None, "lr": 1e-3}
    epochs = epochs_of_run("run", [row], anchors={}, monitors={}, counts={"train": 9})
    assert epochs.validated is None
    assert list(epochs.columns) == ["loss"] and list(epochs.measured()) == []
    rows = [{"epoch": 1, "val_loss": 0.5, "val_kl": 7.5, "val_auroc": 0.5}]
    epochs = epochs_of_run("run", rows, anchors={}, monitors={"val_kl": "min", "val_loss": "min"}, counts={})
    assert list(epochs.measured()) == [("val_auroc", "max"), ("val_kl", "min")]
    assert epochs.columns["val_kl"].tolist() == [7.5]  # no share in percent
