"""The leaderboard: what it says of each model, and the page as a browser runs it."""

import csv
import functools
import io
import json
import re
import shutil
import subprocess

import pytest

from analysis.comparisons import compare, is_certain
from analysis.leaderboard import csv as as_csv
from analysis.leaderboard import html, main
from analysis.profiles import profiles_of
from analysis.standings import read_standings
from brainscore_submission.plugin.errors import UserError
from brainscore_submission.scoring.records import Measure, Record, read_folder

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def folder(demo_results, tmp_path_factory):
    """The five models; one is UNTRAINED, one lacks IT, and two have another measure."""
    own = tmp_path_factory.mktemp("board") / "results"
    shutil.copytree(demo_results, own)
    for path in own.glob("timm-resnet18/demo/*.json"):
        record = Record.from_json(path)
        Record(**fields(record) | {"marks": ("UNTRAINED", "SIMULATED")}).write(own)
        path.with_suffix(".npz").unlink(missing_ok=True)
    (own / "crossvit_18_dagger_408/demo/demo.IT-pls.json").unlink()
    for model, value in (("timm-resnet18", 0.25), ("crossvit_18_dagger_408_adv", 0.625)):
        first = Record.from_json(own / model / "demo/demo.V1-pls.json")
        body = Measure(metric="robust accuracy", value=value, interval=(value - 0.1, value + 0.1), n=100)
        envelope = {"suite": "robustness", "benchmark": "linf 4/255", "marks": (), "kind": "measure"}
        Record(**fields(first) | envelope | {"measured": body}).write(own)
    return own


def fields(record):
    return {name: getattr(record, name) for name in Record.model_fields}


@pytest.fixture(scope="module")
def standings(folder):
    return read_standings(folder, n_resamples=200)


def test_models_stand_in_the_order_of_their_averages_and_what_is_missing_is_no_zero(standings, folder):
    score = read_folder(folder)[0].query("kind == 'predictivity'").groupby("model")["score"].mean()
    complete = score.drop("crossvit_18_dagger_408").sort_values(ascending=False)
    assert [row.model for row in standings.rows] == [*complete.index, "crossvit_18_dagger_408"]
    assert [row.rank for row in standings.rows] == [1, 2, 3, 4, None]
    for row in standings.rows[:4]:
        assert row.numbers["Avg"].value == pytest.approx(score[row.model])
    last = standings.rows[-1]
    assert "Avg" not in last.numbers and "IT" not in last.numbers and "V4" in last.numbers


def test_the_range_of_ranks_is_that_of_the_pairs_that_can_be_told_apart(demo_results):
    profiles, _ = profiles_of(read_folder(demo_results)[0], n_resamples=200)
    for row in read_standings(demo_results, n_resamples=200).rows:
        pairs, _ = compare(profiles, row.model)
        mine = [pair for pair in pairs.itertuples() if pair.measure == "Avg" and is_certain(pair)]
        better, worse = (sum(pair.difference * sign > 0 for pair in mine) for sign in (1, -1))
        assert row.rank_interval == (1 + better, 5 - worse)
        assert row.rank_interval[0] <= row.rank <= row.rank_interval[1]


def test_any_measure_is_a_column(standings):
    assert "robust accuracy" in standings.columns
    shown = {
        row.model: row.numbers["robust accuracy"].value for row in standings.rows if "robust accuracy" in row.numbers
    }
    assert shown == {"timm:resnet18": 0.25, "crossvit_18_dagger_408_adv": 0.625}


def test_a_metric_of_several_things_is_several_columns(folder, tmp_path):
    record = Record.from_json(next(folder.rglob("robustness/*.json")))
    for eps in (1, 2):
        Record(**fields(record) | {"benchmark": f"linf {eps}/255"}).write(tmp_path)
    standings = read_standings(tmp_path)
    assert standings.columns == ["robust accuracy: linf 1/255", "robust accuracy: linf 2/255"]


def test_what_a_card_says_is_shown(standings):
    mine = {row.model: row for row in standings.rows}
    assert mine["crossvit_18_dagger_408_adv"].numbers["top-1"].value == 64.6
    assert "adversarial" in mine["crossvit_18_dagger_408_adv"].training.lower()
    assert "top-1" not in mine["timm:resnet18"].numbers


def test_csv_and_json_hold_every_number(standings, folder, run_command):
    rows = list(csv.DictReader(io.StringIO(as_csv(standings))))
    facts = json.loads(run_command(main, folder, "--resamples", "200", "--json").stdout)["models"]
    assert len(rows) == len(facts) == 5
    for row, fact, one in zip(rows, facts, standings.rows, strict=True):
        assert (row["model"], row["rank"]) == (one.model, "" if one.rank is None else str(one.rank))
        for name, number in one.numbers.items():
            assert float(row[name]) == fact[name] == number.value
        assert row["IT"] == "" if "IT" not in one.numbers else True


@pytest.mark.parametrize("columns", ["50", "80", "200"])
def test_the_terminal_shows_the_same_order_at_any_width(columns, folder, standings, run_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    shown = run_command(main, folder, "--resamples", "200").stdout
    flat = re.sub(r"\s", "", shown)
    for name in ("rank", "range", *standings.columns):
        assert re.sub(r"\s", "", name) in flat
    ranks = [line.split() for line in shown.splitlines() if re.search(r"\s[1-4]\s", line)]
    assert ranks and "…" not in shown
    for row in standings.rows[:4]:
        assert f"{row.numbers['Avg'].value:.3f}" in shown


def test_a_folder_without_records_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="no usable record"):
        read_standings(tmp_path)


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(standings):
    return html(standings, "my results")


def test_the_page_loads_nothing(page):
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!#)|@import|url\(|https?://(?!www\.w3\.org)", page)
    assert "default-src 'none'" in page
    assert "python -m analysis.leaderboard 'my results'" in page.replace("&#39;", "'")


def test_names_cannot_become_markup(folder, tmp_path):
    record = Record.from_json(next(folder.rglob("demo.V4-pls.json")))
    Record(**fields(record) | {"model": "</script><b>x"}).write(tmp_path)
    page = html(read_standings(tmp_path, n_resamples=100), "x")
    assert "<b>x" not in page and page.count("</script>") == 2


def browse(page, tmp_path, script=""):
    """The page as it is after its script, and then `script`, whose value comes back as JSON."""
    if script:  # of the reader, not of the page
        page = re.sub(r"script-src '[^']+'", "script-src 'unsafe-inline'", page)
        do = f"document.body.insertAdjacentHTML('beforeend', '<pre id=out></pre>'); {DO} out(JSON.stringify({script}))"
        page = page.replace("</body>", f"<script>{do}</script></body>")
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", path.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return json.loads(re.search(r'<pre id="out">(.*?)</pre>', dom, re.S)[1].replace("&amp;", "&")) if script else dom


DO = """
const out = (text) => (document.getElementById('out').textContent = text);
const head = (name) => document.querySelector(`th[data-name="${name}"]`);
const names = () => [...document.querySelectorAll('#board tbody tr:not([hidden]) th button')]
    .map((button) => button.textContent.trim());
const set = (element, value, event) => { element.value = value; element.dispatchEvent(new Event(event)); };
const count = () => document.getElementById('count').textContent;
"""
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@in_a_browser
def test_the_script_runs_under_the_pages_own_policy(page, tmp_path):
    assert ">5 models</output>" in browse(page, tmp_path)


@in_a_browser
@pytest.mark.parametrize("column", ["V4", "Avg", "IT", "robust accuracy", "rank", "model"])
def test_a_click_on_a_column_sorts_the_rows_and_a_second_turns_them(page, tmp_path, standings, column):
    script = f"""(() => {{
        if ('{column}' !== 'rank') head('{column}').querySelector('button').click();
        const once = [names(), head('{column}').getAttribute('aria-sort')];
        head('{column}').querySelector('button').click();
        return [...once, names(), head('{column}').getAttribute('aria-sort')];
    }})()"""
    first, sort, second, turned = browse(page, tmp_path, script)

    def value(row):
        plain = {"rank": row.rank, "model": row.model}
        return plain[column] if column in plain else getattr(row.numbers.get(column), "value", None)

    there = [row for row in standings.rows if value(row) is not None]
    absent = [row.model for row in standings.rows if value(row) is None]  # last, either way
    usual = sorted(there, key=value, reverse=column not in ("rank", "model"))
    assert first == [*(row.model for row in usual), *absent]
    assert second == [*(row.model for row in reversed(usual)), *absent]
    assert [sort, turned] == (
        ["ascending", "descending"] if column in ("rank", "model") else ["descending", "ascending"]
    )


@in_a_browser
def test_searching_filtering_and_choosing_columns(page, tmp_path):
    script = """(() => {
        const said = {};
        set(document.getElementById('search'), 'ROTATION', 'input');
        said.search = [names().length, count()];
        set(document.getElementById('search'), '', 'input');
        const mark = document.querySelector('[data-mark=UNTRAINED]');
        set(mark, 'only', 'change'); said.only = names();
        set(mark, 'without', 'change'); said.without = names().length;
        const named = (box) => box.parentNode.textContent.trim();
        const box = [...document.querySelectorAll('[data-column]')].find((one) => named(one) === 'V2');
        box.click();
        said.hidden = getComputedStyle(head('V2')).display;
        said.hash = location.hash;
        said.csv = csv().split('\\n')[0]; said.rows = JSON.parse(json()).length;
        set(document.getElementById('search'), 'nobody', 'input');
        said.nothing = !document.getElementById('nothing').hidden;
        return said;
    })()"""
    said = browse(page, tmp_path, script)
    assert said["search"] == [2, "2 of 5 models"]
    assert said["only"] == ["timm:resnet18"] and said["without"] == said["rows"] == 4
    assert said["hidden"] == "none" and "V2" not in said["csv"] and "V4 low" in said["csv"]
    assert "mark-UNTRAINED=without" in said["hash"] and "off=" in said["hash"] and said["nothing"]


@in_a_browser
def test_an_address_that_was_sent_shows_the_same(page, tmp_path):
    script = """(() => {
        location.hash = '#sort=V4&dir=up&q=adv';
        read();
        const rows = names();
        document.querySelector('#board tbody tr:not([hidden]) th button').click();
        const open = document.getElementById('details').open;
        return [rows, open, document.getElementById('details').textContent.includes('demo.V1') ||
            document.querySelector('#details dl').textContent.includes('python evaluate.py')];
    })()"""
    rows, is_open, says = browse(page, tmp_path, script)
    assert sorted(rows) == ["crossvit_18_dagger_408_adv", "crossvit_18_dagger_408_rotation_adv"]
    assert is_open and says


def test_the_command_writes_the_page(folder, tmp_path, run_command):
    invoke = functools.partial(run_command, main, folder, "--resamples", "100")
    answer = invoke("-o", tmp_path / "page.html", "--csv", tmp_path / "page.csv")
    assert answer.exit_code == 0 and "written:" in answer.stdout
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert len((tmp_path / "page.csv").read_text(encoding="utf-8").splitlines()) == 6
