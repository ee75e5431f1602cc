"""The page: complete, readable, self-contained; and nothing is left out of it silently."""

import csv
import errno
import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import analysis
from analysis.comparisons import compare
from analysis.inline_svg import VARIABLES
from analysis.profiles import profiles_of
from analysis.report import TEMPLATES, html, main, markdown, origins
from analysis.summary import WHY_WIDER, caveats, summarise
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.records import read_folder
from brainscore_submission.scoring.suites import find_suite

CSS = (TEMPLATES / "report.css").read_text(encoding="utf-8")
VOID = {"meta", "br", "wbr", "hr", "img", "link", "input"}


@pytest.fixture(scope="module")
def summary(demo_results):
    return summarise(demo_results, n_resamples=200)


@pytest.fixture(scope="module")
def page(summary):
    return html(summary)


class Reader(HTMLParser):
    """Collects tags and text, and checks that tags close in order and ids are unique."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.ids, self.words = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_well_formed_with_unique_ids(page):
    reader = Reader(page)
    assert len(reader.ids) == len(set(reader.ids))
    targets = re.findall(r'(?:url\(#|href="#)([^)"]+)', page) + re.findall(r'aria-labelledby="([^"]+)"', page)
    assert set(targets) <= set(reader.ids)


def test_nothing_is_loaded_from_anywhere(page):
    reader = Reader(page)
    loading = {"script", "link", "iframe", "img", "image", "object", "embed", "video", "audio", "source", "base"}
    assert not loading & {tag for tag, _ in reader.tags}
    for tag, attributes in reader.tags:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
                assert value.startswith("#"), (tag, name, value)
            assert "url(" not in (value or "") or "url(#" in value
    assert "@import" not in page and "url(" not in CSS
    assert "default-src 'none'; style-src 'unsafe-inline'" in page  # the browser holds it too


def test_the_page_shows_every_score_with_its_interval(summary, page):
    text = re.sub(r"<[^>]+>", "", page)
    for record in summary.table.itertuples():
        assert f"{record.score:.3f}" in text
        assert f"{record.interval[0]:.3f} to {record.interval[1]:.3f}" in text
        assert record.fingerprint in text
    for profile in summary.suites[0].profiles:
        assert profile.model in text


def test_the_interval_of_the_table_is_the_one_of_the_record(demo_results):
    whole = summarise(demo_results, n_resamples=100, seed=5)
    for record in whole.table.itertuples():
        profile = next(one for one in whole.suites[0].profiles if one.model == record.model)
        assert profile.interval("today", record.area) == record.interval


def test_simulated_stands_in_the_title_every_suite_and_every_figure(summary, page):
    assert re.search(r"<h1>[^\n]*SIMULATED", page)
    assert re.search(r'<h2 id="suite-1">[^\n]*SIMULATED', page)
    for figure in re.findall(r"<figure.*?</figure>", page, flags=re.S):
        assert "SIMULATED" in figure
    assert any("SIMULATED" in caveat for caveat in caveats(summary))


def test_untrained_stands_beside_the_model(own_results, change):
    untrained = {"source": "untrained", "untrained": True, "seed": 3}
    for path in (own_results / "crossvit_18_dagger_408_adv/demo").glob("*.json"):
        change(path.parent, path.name, weights=untrained, marks=("UNTRAINED", "SIMULATED"))
    summary = summarise(own_results, n_resamples=100)
    text = html(summary)
    assert re.search(r"<h1>[^\n]*UNTRAINED", text)
    assert "random, seed 3" in text
    beside = re.findall(r'408_<wbr>adv <strong class="mark">UNTRAINED</strong>', text)
    assert len(beside) >= 4  # the card of the model, both tables of scores, and the details
    assert "**UNTRAINED**" in markdown(summary)


def test_the_page_says_how_and_from_what(summary, page):
    for fact in ("python evaluate.py --model 991 --suite demo", "brainscore_vision 2.4.2", "blocks.1.blocks.1.4.norm2"):
        assert fact in page
    assert "sha256 " + "ab" * 32 in page
    assert WHY_WIDER.split("'")[0] in page and "overlap" in page
    assert "published 2022, private data, old formula" in page


def test_text_of_records_cannot_become_markup(own_results, change):
    change(own_results, "demo.V1-pls.json", layer="<script>alert(1)</script>", notes=("<b>&",))
    text = html(summarise(own_results, n_resamples=100))
    assert "<script" not in text and "&lt;script&gt;" in text and "&lt;b&gt;&amp;" in text


def test_faulty_records_are_named_on_the_page_and_on_the_terminal(own_results, tmp_path, invoke, spoil):
    spoiled = [
        spoil(own_results, "demo.V1-pls.json", model=...),
        spoil(own_results, "demo.V2-pls.json", seconds=float("nan")),
        spoil(own_results, "demo.V4-pls.json", colour="red"),
    ]
    spoiled.append(own_results / "crossvit_18_dagger_408_adv/demo/demo.IT-pls.json")
    spoiled[-1].write_text("{")
    answer = invoke(own_results, "-o", tmp_path / "report.html")
    assert answer.exit_code == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for path in spoiled:
        assert str(path) in text and str(path) in answer.stderr


@pytest.fixture
def invoke(run_command):
    return functools.partial(run_command, main, "--resamples", "100")


def test_no_access_and_unceiled_are_shown_as_such(own_results, change, no_access):
    no_access(own_results, "demo.IT-pls.json", reason="needs credentials")
    unceiled = ["score", "score_2022", "ceiling", "interval", "score_error", "score_2022_error"]
    change(own_results, "demo.V4-pls.json", **dict.fromkeys(unceiled))
    summary = summarise(own_results, n_resamples=100)
    text = html(summary)
    assert "no access: needs credentials" in text and "unceiled" in text
    assert summary.suites[0].averages["crossvit_18_dagger_408_adv"] is None
    assert "unceiled" in markdown(summary)


def test_a_suite_out_of_reach_is_one_warning_and_no_table(own_results, change):
    changes = {"suite": "public", "status": "no access", "reason": "no internet connection", "measured": None}
    for model in list(own_results.iterdir()):
        for benchmark, area in find_suite("public").leaves.items():
            path = shutil.copy(model / "demo/demo.IT-pls.json", model / f"{benchmark}.json")
            change(model, path.name, **changes, benchmark=benchmark, area=area)
    summary = summarise(own_results, n_resamples=100)
    assert summary.warnings == ["public: no access to any of its benchmarks (no internet connection)"]
    assert [suite.name for suite in summary.suites] == ["demo"]
    assert not any("Suite public" in text for text in (*summary.sentences, html(summary), markdown(summary)))
    assert "no access: no internet connection" in html(summary), "every record is still listed"
    shutil.rmtree(model / "demo")
    alone = summarise(model, n_resamples=100)
    assert (alone.suites, alone.sentences, len(alone.warnings)) == ([], [], 1)
    assert html(alone) and markdown(alone)


def test_one_area_alone_looks_like_a_result(demo_results, tmp_path):
    for model in ("timm-resnet18", "crossvit_18_dagger_408_adv"):
        (tmp_path / "my results" / model / "demo").mkdir(parents=True)
        for path in (demo_results / model / "demo").glob("demo.V4-pls.*"):
            shutil.copy(path, tmp_path / "my results" / model / "demo")
    summary = summarise(tmp_path / "my results", n_resamples=100)
    assert summary.warnings == []  # nothing that was not asked for is missing
    (suite,) = summary.suites
    page = html(summary)
    for profile in suite.profiles:
        assert suite.headline(profile) == [("V4", f"{profile.values['today']['V4']:.3f}")]
        assert f"<dt>V4</dt><dd>{profile.values['today']['V4']:.3f}</dd>" in page
    assert "average" not in page.split("Every record")[0] and "ρ needs" not in page
    assert [shown.name for shown in suite.figures][0] == "scores-demo"
    assert "python -m analysis.report '" in page.replace("&#39;", "'")  # can be pasted, the space notwithstanding


def test_missing_areas_are_named_from_shallow_to_deep(own_results, no_access):
    for area in ("V2", "V4", "IT"):
        no_access(own_results, f"demo.{area}-pls.json", reason="away")
    gap, no_rho = summarise(own_results, n_resamples=100).warnings
    assert gap == "crossvit_18_dagger_408_adv on demo: V2, V4, IT have no score (no access: away)"
    assert no_rho.startswith("no rho for crossvit_18_dagger_408_adv on demo")


def test_markdown_and_csv_hold_the_same_numbers(demo_results, tmp_path, invoke):
    files = {name: tmp_path / name for name in ("report.md", "report.csv", "figures")}
    answer = invoke(
        demo_results,
        "--markdown",
        files["report.md"],
        "--csv",
        files["report.csv"],
        "--figures",
        files["figures"],
        "--json",
    )
    facts = json.loads(answer.stdout)
    assert set(facts["written"]) == {"markdown", "csv", "figures"} and facts["marks"] == ["SIMULATED"]
    rows = list(csv.DictReader(io.StringIO(files["report.csv"].read_text(encoding="utf-8"))))
    table, _ = read_folder(demo_results)
    assert [float(row["score"]) for row in rows] == pytest.approx(list(table["score"]))
    assert json.loads(rows[0]["versions"])["torch"] == "2.9.0"
    text = files["report.md"].read_text(encoding="utf-8")
    assert all(f"{score:.3f}" in text for score in table["score"])
    pictures = re.findall(r"!\[.*\]\((.+)\)", text)
    assert pictures and all((tmp_path / picture).is_file() for picture in pictures)


def test_every_markdown_table_is_a_table(summary):
    lines = markdown(summary).splitlines()
    for number, line in enumerate(lines):
        if line.startswith("|---"):
            rows = [lines[number - 1], line]
            for row in lines[number + 1 :]:
                if not row.startswith("|"):
                    break
                rows.append(row)
            assert len(rows) > 2 and len({row.count("|") for row in rows}) == 1


def test_one_model_alone_is_a_report_too(own_results, tmp_path):
    (only,) = (own_results / "crossvit_18_dagger_408_adv").parent.glob("*_408_adv")
    summary = summarise(only, n_resamples=100)
    assert summary.suites[0].reference is None
    assert any("exact two-sided p" in sentence for sentence in summary.sentences)
    assert "Brain-Score report: crossvit_18_dagger_408_adv" in html(summary)


def test_one_model_whose_scores_are_all_equal_is_a_report_too(own_results, change):
    for area in ("V1", "V2", "V4", "IT"):
        change(own_results / "crossvit_18_dagger_408_adv", f"demo.{area}-pls.json", score=0.5)
    summary = summarise(own_results / "crossvit_18_dagger_408_adv", n_resamples=100)
    assert "ρ undefined, exact two-sided p = –" in summary.sentences[-1]
    assert "all scores are equal" in html(summary)


def test_a_folder_without_records_is_a_user_error_that_says_what_to_do(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match=r"x\.json.*broken JSON[^\0]*evaluate\.py"):
        summarise(tmp_path)


@pytest.mark.parametrize("module", ["analysis.hierarchy", "analysis.published", "analysis.report"])
def test_a_user_error_is_two_lines_at_most_without_a_traceback(module, tmp_path):
    command = [sys.executable, "-m", module, str(tmp_path / "nowhere")]
    answer = subprocess.run(command, cwd=Path(analysis.__file__).parents[1], capture_output=True, text=True)
    assert answer.returncode == 1 and answer.stdout == ""
    assert answer.stderr.startswith("error: there is no folder") and len(answer.stderr.splitlines()) <= 2


@pytest.mark.parametrize("option", ["-o", "--markdown", "--csv", "--figures"])
def test_a_place_that_cannot_be_written_is_a_user_error(option, own_results, tmp_path, invoke):
    (tmp_path / "file").touch()
    answer = invoke(own_results, option, tmp_path / "file" / "report")
    assert isinstance(answer.exception, UserError)
    assert re.fullmatch(rf"cannot write to .*/file/report: .+\. Give another with {option}\.", str(answer.exception))


def test_a_folder_where_a_file_is_meant_is_wrong_usage(demo_results, tmp_path, invoke):
    assert invoke(demo_results, "-o", tmp_path).exit_code == 2


def test_a_write_that_fails_leaves_the_old_report_whole(demo_results, tmp_path, invoke, monkeypatch):
    for option in ("-o", "--markdown", "--csv"):
        path = tmp_path / "report"
        path.write_text("the old one")
        monkeypatch.setattr("os.fsync", no_room)
        answer = invoke(demo_results, option, path)
        assert isinstance(answer.exception, UserError) and "No space left" in str(answer.exception)
        assert path.read_text() == "the old one" and list(tmp_path.iterdir()) == [path]


def no_room(_file):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_commands_are_those_of_the_records(own_results, change):
    change(own_results, "demo.V1-pls.json", command="python evaluate.py --model 1084 --benchmark demo.V1-pls")
    change(own_results, "demo.V2-pls.json", command=None)
    change(own_results, "demo.V4-pls.json", command=None, format=1)
    table, _ = read_folder(own_results)
    first, second = origins(table)
    assert sorted(first["commands"]) == [
        "made from Python",
        "not kept: recorded by version 0.1.0",
        "python evaluate.py --model 1084 --benchmark demo.V1-pls",
        "python evaluate.py --model 1084 --suite demo",
    ]
    assert second["commands"] == ["python evaluate.py --model 991 --suite demo"]
    text = html(summarise(own_results, n_resamples=100))
    for command in first["commands"]:
        assert re.search(rf"^(<dt>command</dt><dd><pre>)?{re.escape(command)}(</pre></dd>)?$", text, re.M)


def test_the_reports_differences_are_those_of_the_command(summary, page):
    profiles, _ = profiles_of(summary.table, n_resamples=summary.n_resamples)
    from_command, _ = compare(profiles, summary.suites[0].reference)
    pd.testing.assert_frame_equal(summary.suites[0].differences, from_command)
    text = re.sub(r"<[^>]+>", "", page)
    for row in from_command.itertuples():
        assert f"{row.difference:+.3f}".replace("-", "−") in text


def test_other_kinds_of_records_stand_apart_and_change_no_score(own_results, accuracy, tmp_path, invoke):
    before = summarise(own_results, n_resamples=100)
    accuracy.write(own_results)
    after = summarise(own_results, n_resamples=100)
    assert (after.sentences, after.warnings) == (before.sentences, before.warnings)
    assert [suite.averages for suite in after.suites] == [suite.averages for suite in before.suites]
    text = re.sub(r"<[^>]+>", "", html(after))
    assert "0.625± 0.010" in text and "0.600 to 0.650" in text and "1,234" in text
    assert "0.625 ± 0.010 | 0.600 to 0.650 | 1,234 |" in markdown(after)
    invoke(own_results, "--csv", tmp_path / "all.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 11
    assert [float(row["value"]) for row in rows if row["kind"] == "measure"] == [0.625]


def test_a_folder_with_other_kinds_of_records_alone_is_a_report_too(accuracy, tmp_path):
    accuracy.write(tmp_path)
    alone = summarise(tmp_path, n_resamples=100)
    assert (alone.suites, alone.warnings) == ([], [])
    assert "0.625" in html(alone) and "0.625" in markdown(alone)


# --- colours ----------------------------------------------------------------------------------------------------------


def themes():
    """Variables of the light and the dark theme, as the browser resolves them."""
    blocks = [
        dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.S)
    ]
    light, dark, printed = blocks
    return {"light": light, "dark": light | dark, "print": light | printed}


def contrast(one, other):
    """WCAG 2.2 contrast ratio of two colours."""
    lights = sorted((luminance(one), luminance(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(color):
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_computed_right():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_text_and_series_have_contrast(theme):
    colors = themes()[theme]
    for ground in ("page", "panel"):
        for text in ("ink", "muted", "link", "mark"):
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
        for series in (name for name in colors if name.startswith("series")):
            assert contrast(colors[series], colors[ground]) >= 3, (series, ground)
    assert contrast(colors["mark"], colors["mark-page"]) >= 4.5
    assert contrast(colors["ink"], colors["mark-page"]) >= 4.5


def test_every_colour_of_the_figures_follows_the_theme(page):
    light = themes()["light"]
    assert all(light[variable] for variable in VARIABLES.values())
    style = (Path(analysis.__file__).parent / "figures.mplstyle").read_text()
    used = set(re.findall(r"(?:color: |\")([0-9a-f]{6})\b", style)) - {"ffffff"}
    assert used <= set(VARIABLES)
    for figure in re.findall(r"<figure.*?</figure>", page, flags=re.S):
        assert "layer-search" in figure or not re.search(r"(?:fill|stroke): #(?!ffffff)", figure)


# --- imports ----------------------------------------------------------------------------------------------------------


def test_analysis_never_imports_a_network_except_for_the_layer_search():
    modules = [path.stem for path in Path(analysis.__file__).parent.glob("*.py") if path.stem != "__init__"]
    assert {"hierarchy", "published", "figures", "report"} <= set(modules)
    program = (
        "import importlib, sys\n"
        f"for name in {[name for name in modules if name != 'layer_search']}:\n"
        "    importlib.import_module('analysis.' + name)\n"
        "print([name for name in ('torch', 'timm', 'torchvision', 'brainscore_vision') if name in sys.modules])\n"
    )
    root = Path(analysis.__file__).parents[1]
    answer = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_making_a_report_imports_no_network(demo_results, tmp_path):
    program = (
        "import sys\n"
        "from analysis.report import html\n"
        "from analysis.summary import summarise\n"
        f"html(summarise({str(demo_results)!r}, n_resamples=100))\n"
        "print([name for name in ('torch', 'timm', 'brainscore_vision') if name in sys.modules])\n"
    )
    root = Path(analysis.__file__).parents[1]
    answer = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
