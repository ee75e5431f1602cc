"""`recordings check` says what it understood and what to mend."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from brainscore_submission.cli import app
from brainscore_submission.recordings import check, render


def _shown(report) -> str:
    console = Console(file=io.StringIO(), width=200)
    render(report, console)
    return console.file.getvalue()


def _save(folder, name, size=(16, 16), mode="RGB", seed=9):
    shape = (size[1], size[0], len(mode))
    pixels = np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)
    Image.fromarray(pixels, mode).save(folder / "stimuli" / name)


def _edit(folder, change):
    values = np.load(folder / "responses.npy")
    np.save(folder / "responses.npy", change(values))


def _twin(folder, toml):
    (folder / "stimuli" / "s09.png").write_bytes((folder / "stimuli" / "s03.png").read_bytes())


def _twin_in_another_format(folder, toml):
    with Image.open(folder / "stimuli" / "s03.png") as image:
        image.save(folder / "stimuli" / "s09.bmp")
    (folder / "stimuli" / "s09.png").unlink()


def _noise(values):
    values[2] = np.random.default_rng(7).normal(size=values[2].shape)
    return values


def _nothing_but_noise(values):
    return np.random.default_rng(7).normal(size=values.shape)


def _few_repeated(values):
    values[:, 12:, 1:] = np.nan
    return values


def _one_missing(values):
    values[0, 0, 0] = np.nan
    return values


REMARKS = {
    "equal files": (_twin, "warning", "1 picture present more than once: s03.png = s09.png"),
    "equal pixels": (_twin_in_another_format, "warning", "1 picture present more than once"),
    "another size": (lambda folder, toml: _save(folder, "s05.png", (20, 20)), "warning", "images of 2 sizes"),
    "not square": (lambda folder, toml: _save(folder, "s05.png", (20, 10)), "warning", "1 image not square: s05.png"),
    "transparency": (lambda folder, toml: _save(folder, "s05.png", mode="RGBA"), "warning", "transparency"),
    "a noisy neuroid": (lambda folder, toml: _edit(folder, _noise), "warning", "reliability below 0.3: 2"),
    "noise alone": (lambda folder, toml: _edit(folder, _nothing_but_noise), "warning", "no reliable signal; scores"),
    "missing": (lambda folder, toml: _edit(folder, _one_missing), "note", "0.1% of the repetitions are missing"),
    "few repeated": (lambda folder, toml: _edit(folder, _few_repeated), "warning", "only 30% of the stimuli"),
    "one repetition": (lambda folder, toml: _edit(folder, lambda values: values[:, :, 0]), "warning", "no ceiling"),
    "more repetitions than neuroids": (
        lambda folder, toml: _edit(folder, lambda values: values.transpose(2, 1, 0)),
        "warning",
        "are the two axes exchanged?",
    ),
    "an unused image": (
        lambda folder, toml: [
            _save(folder, "zz.png"),
            (folder / "stimuli.csv").write_text("\n".join(["file", *(f"s{index:02d}.png" for index in range(40))])),
        ],
        "note",
        "1 image without responses, not used: zz.png",
    ),
    "too few for PLS": (
        lambda folder, toml: toml(folder, exclude_stimuli=[f"s{index:02d}.png" for index in range(12)]),
        "warning",
        "28 stimuli: the metric pls needs 29 or more",
    ),
    "no origin": (lambda folder, toml: None, "note", "does not say: subject, unit, source, licence"),
}


@pytest.mark.parametrize("case", REMARKS)
def test_a_doubtful_folder_is_remarked_on(case, lab_folder, write_toml):
    change, severity, message = REMARKS[case]
    change(lab_folder, write_toml)
    report = check(lab_folder)
    assert report.ok
    assert [finding.severity for finding in report.findings if message in finding.message] == [severity]
    assert message in _shown(report)


def test_a_good_folder_draws_no_remark(lab_folder, write_toml):
    write_toml(lab_folder, subject="monkey B", unit="spikes/s", source="our lab", licence="CC0")
    report = check(lab_folder)
    assert report.findings == ()
    shown = _shown(report)
    for fact in ("6 neuroids in V4", "40, 8 degrees wide", "70 to 170 ms", "monkey B", "can be scored"):
        assert fact in shown


def test_the_ceiling_of_noise_is_told_with_its_interval(lab_folder):
    _edit(lab_folder, _nothing_but_noise)
    report = check(lab_folder)
    (message,) = [finding.message for finding in report.findings if "no reliable signal" in finding.message]
    ceiling, low, high = re.fullmatch(r"V4: ceiling (\S+) \(95 % (\S+) to (\S+)\): .*", message).groups()
    assert float(ceiling.replace("−", "-")) == pytest.approx(report.ceilings["V4"], abs=1e-3)
    assert float(low.replace("−", "-")) < 0


def test_the_histogram_counts_every_neuroid(lab_folder):
    report = check(lab_folder)
    bars = [line for line in _shown(report).splitlines() if line.strip()[:3] in {f"0.{digit}" for digit in range(10)}]
    assert sum(int(line.split()[-1]) for line in bars) == 6
    assert report.ceilings["V4"] == pytest.approx(report.neuroids["reliability"].median(), abs=0.05)


def test_an_unreadable_folder_shows_the_error_and_its_remedy(lab_folder, write_toml):
    report = check(write_toml(lab_folder, area="it"))
    assert not report.ok and report.expected_seconds is None
    shown = _shown(report)
    assert "error: recordings.toml: the area 'it'" in shown and 'Write "IT"' in shown and "cannot be scored" in shown


def test_the_command_says_an_error_once(tmp_path):
    answer = CliRunner().invoke(app, ["recordings", "check", str(tmp_path / "nowhere")])
    assert answer.exit_code == 1 and answer.stderr == ""
    assert isinstance(answer.exception, SystemExit)  # a UserError would be printed after the report
    shown = " ".join(answer.stdout.split())
    assert shown.count("no recording folder at") == shown.count("cannot be scored") == 1


def test_markup_in_a_users_words_is_printed_as_it_is(lab_folder, write_toml):
    assert "[bold]our lab[/]" in _shown(check(write_toml(lab_folder, source="[bold]our lab[/]")))


def test_expected_time_grows_with_the_depth_of_the_area(lab_folder, write_toml):
    shallow = check(lab_folder).expected_seconds
    deep = check(write_toml(lab_folder, area="IT")).expected_seconds
    assert deep / shallow == pytest.approx(0.60 / 0.41)


def test_the_report_is_json(lab_folder):
    _edit(lab_folder, lambda values: values[:, :, 0])
    report = json.loads(json.dumps(check(lab_folder).to_json(), allow_nan=False))
    assert report["ok"] and report["ceilings"] == {"V4": None}
    assert report["neuroids"][0]["reliability"] is None and len(report["neuroids"]) == 6
