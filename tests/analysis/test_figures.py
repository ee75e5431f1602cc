"""Every figure exists as SVG and PNG, says what it must, and shows the numbers it was given."""

import dataclasses
import json

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from analysis import figures, layer_plots
from analysis.hierarchy import published_estimates, record_estimates
from analysis.profiles import profiles_of
from analysis.published import line_up
from analysis.report import html
from analysis.summary import summarise
from brainscore_submission.cli.front_end import typed_command
from brainscore_submission.layer_search.search import SearchOptions, search_folder, search_layers
from brainscore_submission.layer_search.table import write_tables
from brainscore_submission.models.opening import open_model
from brainscore_submission.scoring.records import MARKS, read_folder
from brainscore_submission.scoring.suites import Suite, find_suite


@pytest.fixture(scope="module")
def profiles(demo_results):
    return profiles_of(read_folder(demo_results)[0], n_resamples=100)[0]


def today(profiles):
    return [one for one in record_estimates(profiles)[0] if one.formula == "today"]


def write_search(path, raw, chosen, **facts):
    """Write the table.json of a search: r of each layer on one benchmark of each area, and the layers chosen."""
    rows = [
        {
            "layer": f"blocks.{position}",
            "position": position,
            "depth": (position + 1) / len(values),
            "area": area,
            "benchmark": f"demo.{area}-pls",
            "raw": r,
            "raw_error": 0.01,
            "raw_spread": None,
            "score": r**2 / 0.8,
            "score_error": 2 * abs(r) / 0.8 * 0.01,
            "exact": True,
            "tied": None,
            "chosen": chosen[area] == position,
        }
        for area, values in raw.items()
        for position, r in enumerate(values)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"model": "991", "suite": "demo", "marks": [], **facts, "layers": rows}))
    return path


@pytest.fixture
def a_search(tmp_path):
    """A search whose worst layer of V4 has the largest r², with the wrong sign."""
    raw = {"V1": [0.2, 0.3, 0.1], "V4": [-0.6, 0.5, 0.3], "IT": [0.1, 0.2, 0.4]}
    chosen = {"V1": 1, "V4": 1, "IT": 2}
    return layer_plots.read_search(write_search(tmp_path / "table.json", raw, chosen, marks=["SIMULATED"]))


def all_figures(profiles):
    return {
        "area_profile": figures.area_profile(profiles),
        "hierarchy_slopes": figures.hierarchy_slopes(today(profiles), [profile.model for profile in profiles]),
        "neuroid_distributions": figures.neuroid_distributions(profiles),
        "published_against_own": figures.published_against_own(line_up(profiles)),
    }


def words_of(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_every_figure_of_simulated_data_says_so(profiles):
    for name, figure in all_figures(profiles).items():
        assert "SIMULATED" in words_of(figure), name
        assert "UNTRAINED" not in words_of(figure), name


def test_every_figure_of_an_untrained_network_says_so_and_names_it(profiles):
    some = [dataclasses.replace(profiles[0], marks=("UNTRAINED",))]
    some += [dataclasses.replace(profile, marks=()) for profile in profiles[1:]]
    for name, figure in all_figures(some).items():
        assert "SIMULATED" not in words_of(figure), name
        assert "UNTRAINED" in words_of(figure), name
    assert f"{some[0].model} [UNTRAINED]" in words_of(figures.area_profile(some))


def test_untrained_stands_over_a_figure_only_where_all_models_are(profiles):
    some = [dataclasses.replace(profiles[0], marks=MARKS), *profiles[1:]]
    every = [dataclasses.replace(profile, marks=MARKS) for profile in profiles]
    for name, figure in all_figures(some).items():
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
    real = [dataclasses.replace(profile, marks=()) for profile in profiles]
    for name, figure in all_figures(real).items():
        assert not set(MARKS) & set(words_of(figure).split()), name


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
    (axes,) = figures.hierarchy_slopes([one], [one.model]).axes
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


def test_the_chosen_layer_is_marked_not_the_largest_square(a_search):
    """r of V4 is -.6, +.5 (chosen) and +.3: the mark stands over +.5, and the words name it."""
    axes, _ = layer_plots.heat_map(a_search).axes
    marks = {tuple(np.ravel(line.get_data())) for line in axes.get_lines() if line.get_marker() == "v"}
    assert marks == {(1.5, -0.3), (1.5, 0.7), (2.5, 1.7)}  # middle of the layer's cell, above the row of its area
    assert f"blocks.1, {0.5**2 / 0.8:.3f}" in words_of(axes)


def test_the_heat_map_shows_signed_scores(a_search):
    axes, _ = layer_plots.heat_map(a_search).axes
    meshes = [mesh for mesh in axes.collections if isinstance(mesh, mpl.collections.QuadMesh)]
    expected = [-(0.6**2) / 0.8, 0.5**2 / 0.8, 0.3**2 / 0.8]
    assert list(meshes[1].get_array().ravel()) == pytest.approx(expected)
    assert meshes[1].norm.vmin == pytest.approx(expected[0])


def test_the_committed_layer_is_marked_beside_the_chosen_one(a_search):
    for draw in (layer_plots.heat_map, layer_plots.profiles):
        figure = draw(a_search, {"V4": "blocks.0", "IT": "elsewhere"})
        (line,) = (line for axes in figure.axes for line in axes.get_lines() if line.get_marker() == "D")
        assert line.get_xdata() == [0.5]
        assert "committed by the layer map" in words_of(figure)
        assert over(figure) == "SIMULATED"


def test_a_layer_search_of_version_0_1_0_is_read(tmp_path):
    flags = {"untrained": True, "simulated": False}
    path = write_search(tmp_path / "table.json", {"V1": [0.1, 0.2]}, {"V1": 1}, **flags)
    facts = json.loads(path.read_text())
    del facts["marks"]
    path.write_text(json.dumps(facts))
    assert layer_plots.read_search(path).marks == ("UNTRAINED",)


def test_a_figure_that_cannot_be_drawn_leaves_the_old_file_whole(profiles, tmp_path):
    before = [path.read_bytes() for path in figures.save(figures.area_profile(profiles), tmp_path, "one")]
    broken = figures.area_profile(profiles)
    broken.axes[0].set_title(r"$\frac$")  # mathtext that has no meaning
    with pytest.raises(ValueError, match="frac"):
        figures.save(broken, tmp_path, "one")
    assert [(tmp_path / f"one.{kind}").read_bytes() for kind in ("svg", "png")] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "one.svg"]


@pytest.mark.slow
def test_every_layer_search_is_found_and_a_broken_one_is_named(own_results, demo_cache, monkeypatch):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(demo_cache))
    model, demo = open_model("demo:ground_truth", areas=()), find_suite("demo")
    options = SearchOptions(results=own_results, areas=("V1",), layers=("V1", "V2"))
    write_tables(search_layers(model, demo, options))
    lab = search_folder(own_results, model, Suite("recordings.v1", {})) / "table.json"
    write_search(lab, {"V1": [0.1, 0.2]}, {"V1": 1}, suite="recordings.v1")
    broken = search_folder(own_results, model, Suite("cut", {})) / "table.json"
    broken.parent.mkdir()
    broken.write_text('{"model": "m", "suite": "cut", "layers": [{"layer": "V1"}]}')
    other = search_folder(own_results, model, Suite("other", {})) / "table.json"
    other.parent.mkdir()
    other.write_text("[]")
    summary = summarise(own_results, n_resamples=100)
    assert [one.name for one in summary.searches] == [
        "layer-search-demo_ground_truth-demo",
        "layer-search-demo_ground_truth-recordings.v1",
    ]
    simulated, own = (words_of(one.figure) for one in summary.searches)
    assert "demo_ground_truth, suite demo" in simulated and "SIMULATED" in simulated
    assert "suite recordings.v1" in own and "SIMULATED" not in own
    cut, no_search = summary.warnings
    assert str(broken) in cut and "depth" in cut
    assert no_search == f"left out: {other}: it holds no layer search"
    page = html(summary)
    assert all(f'<figure id="{one.name}">' in page for one in summary.searches)


def test_drawing_leaves_the_users_settings_alone(profiles):
    before = dict(mpl.rcParams)
    figures.area_profile(profiles)
    assert dict(mpl.rcParams) == before


def test_the_command_of_a_search_with_plots_is_kept_as_it_was_typed(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/somewhere/analysis/layer_search.py", "--model", "991", "--layers", "blocks.1.*"])
    assert typed_command() == "python -m analysis.layer_search --model 991 --layers 'blocks.1.*'"
