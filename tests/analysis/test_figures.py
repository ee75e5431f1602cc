"""Every figure exists as SVG and PNG, says what it must, and shows the numbers it was given."""

import dataclasses

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis import figures
from analysis.hierarchy import published_estimates, record_estimates
from analysis.profiles import profiles_of
from analysis.published import line_up
from analysis.report import html
from analysis.summary import summarise
from brainscore_submission.layer_search.search import Options, search_folder, search_layers
from brainscore_submission.layer_search.table import write_tables
from brainscore_submission.models.opening import GROUND_TRUTH, open_model
from brainscore_submission.scoring.records import read_folder
from brainscore_submission.scoring.suites import Suite, find_suite


@pytest.fixture(scope="module")
def profiles(demo_results):
    return profiles_of(read_folder(demo_results)[0], n_resamples=100)[0]


def today(profiles):
    return [one for one in record_estimates(profiles)[0] if one.formula == "today"]


def a_search():
    rows = [
        {
            "layer": f"blocks.{depth}",
            "depth": depth / 10,
            "area": area,
            "score": 0.5 - abs(depth / 10 - at),
            "exact": True,
        }
        for depth in range(10)
        for area, at in {"V1": 0.2, "V4": 0.5, "IT": 0.8}.items()
    ]
    return pd.DataFrame(rows)


def all_figures(profiles):
    return {
        "area_profile": figures.area_profile(profiles),
        "hierarchy_slopes": figures.hierarchy_slopes(today(profiles)),
        "neuroid_distributions": figures.neuroid_distributions(profiles),
        "published_against_own": figures.published_against_own(line_up(profiles)),
        "layer_search_map": figures.layer_search_map(a_search(), "991", "demo", profiles[0].marks),
    }


def words_of(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_every_figure_of_simulated_data_says_so(profiles):
    for name, figure in all_figures(profiles).items():
        assert "SIMULATED" in words_of(figure), name
        assert "UNTRAINED" not in words_of(figure), name


def test_every_figure_of_an_untrained_network_says_so_and_names_it(profiles):
    some = [dataclasses.replace(profiles[0], untrained=True, simulated=False)]
    some += [dataclasses.replace(profile, simulated=False) for profile in profiles[1:]]
    for name, figure in all_figures(some).items():
        assert "SIMULATED" not in words_of(figure), name
        if name != "layer_search_map":
            assert "UNTRAINED" in words_of(figure), name
    assert f"{some[0].model} [UNTRAINED]" in words_of(figures.area_profile(some))
    assert "UNTRAINED" in words_of(figures.layer_search_map(a_search(), "991", "demo", some[0].marks))


def test_untrained_stands_over_a_figure_only_where_all_models_are(profiles):
    names = ("area_profile", "hierarchy_slopes", "neuroid_distributions", "published_against_own")
    some = [dataclasses.replace(profiles[0], untrained=True), *profiles[1:]]
    every = [dataclasses.replace(profile, untrained=True) for profile in profiles]
    for name, figure in all_figures(some).items():
        if name in names:
            assert over(figure) == "SIMULATED", name
            entries = {line for words in figure.findobj(mpl.text.Text) for line in words.get_text().splitlines()}
            marked = {line for line in entries if line.endswith("[UNTRAINED]")}
            assert len(marked) == 1 and marked.pop()[:8] == some[0].model[:8], name
    for name, figure in all_figures(every).items():
        assert over(figure) == "UNTRAINED · SIMULATED", name
        assert "[UNTRAINED]" not in words_of(figure), name


def over(figure):
    """The mark in the corner of a figure, if any."""
    return " ".join(text.get_text() for text in figure.texts if text.get_color() == figures.MARK_COLOR)


def test_figures_of_real_and_trained_models_carry_no_mark(profiles):
    real = [dataclasses.replace(profile, simulated=False) for profile in profiles]
    for name, figure in all_figures(real).items():
        assert not set(figures.MARKS) & set(words_of(figure).split()), name


def test_published_values_are_always_marked_in_the_figure(profiles):
    assert "published 2022, private data, old formula" in words_of(figures.published_against_own(line_up(profiles)))


def test_figures_are_saved_as_svg_and_png(profiles, tmp_path):
    for name, figure in all_figures(profiles).items():
        svg, png = figures.save(figure, tmp_path, name)
        assert svg.read_text().lstrip().startswith("<?xml") and "<image" not in svg.read_text()
        with Image.open(png) as picture:
            assert picture.width > 900 and np.asarray(picture.convert("L")).std() > 5


def test_the_same_records_give_the_same_svg(profiles, tmp_path):
    first, _ = figures.save(figures.area_profile(profiles), tmp_path, "first")
    second, _ = figures.save(figures.area_profile(profiles), tmp_path, "second")
    assert first.read_text() == second.read_text()


def test_the_profile_shows_scores_and_intervals(profiles):
    (axes,) = figures.area_profile(profiles[:1]).axes
    lines = axes.get_lines()
    neural = next(line for line in lines if line.get_label() == profiles[0].model)
    assert list(neural.get_ydata()) == [profiles[0].values["today"][area] for area in ("V1", "V2", "V4", "IT")]
    intervals = {tuple(line.get_ydata()) for line in lines if len(line.get_ydata()) == 2}
    assert profiles[0].interval("today", "V1") in intervals


def test_the_slope_of_the_line_is_rho():
    one = next(one for one in published_estimates() if one.model.startswith("991"))
    (axes,) = figures.hierarchy_slopes([one]).axes
    (line,) = (line for line in axes.get_lines() if line.get_marker() in ("", "None"))
    x, y = line.get_data()
    assert np.polyfit(x, y, 1)[0] == pytest.approx(0.8)


def test_more_models_than_looks_still_look_different():
    with figures.style():
        looks = [tuple(sorted(figures.look(number).items())) for number in range(21)]
    assert len(set(looks)) == 21


def test_without_neuroids_there_is_no_distribution(profiles):
    bare = [dataclasses.replace(profile, neuroid_r={}) for profile in profiles]
    assert figures.neuroid_distributions(bare) is None


def test_the_best_layer_of_each_area_is_framed():
    figure = figures.layer_search_map(a_search(), "991", "demo")
    frames = [patch for patch in figure.axes[0].patches if patch.get_facecolor()[3] == 0]
    assert [(frame.get_x(), frame.get_y()) for frame in frames] == [(0, 2), (1, 5), (2, 8)]


def test_every_layer_search_is_found_and_a_broken_one_is_named(own_results, demo_cache, monkeypatch):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
    model, demo = open_model(GROUND_TRUTH, areas=()), find_suite("demo")
    options = Options(results=own_results, areas=("V1",))
    for suite in (demo, Suite("recordings.v1", demo.areas, loaders=demo.loaders)):
        write_tables(search_layers(model, suite, options))
    broken = search_folder(own_results, model, Suite("cut", {})) / "table.json"
    broken.parent.mkdir()
    broken.write_text('{"layers": [{"layer": "V1"}]}')
    summary = summarise(own_results, n_resamples=100)
    assert [one.name for one in summary.searches] == [
        "layer-search-demo_ground_truth-demo",
        "layer-search-demo_ground_truth-recordings.v1",
    ]
    simulated, own = (words_of(one.figure) for one in summary.searches)
    assert "suite demo\ndemo_ground_truth" in simulated and "SIMULATED" in simulated
    assert "suite recordings.v1" in own and "SIMULATED" not in own
    (warning,) = summary.warnings
    assert str(broken) in warning and "depth" in warning
    page = html(summary)
    assert all(f'<figure id="{one.name}">' in page for one in summary.searches)


def test_drawing_leaves_the_users_settings_alone(profiles):
    before = dict(mpl.rcParams)
    figures.area_profile(profiles)
    assert dict(mpl.rcParams) == before
