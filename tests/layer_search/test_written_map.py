"""Promises of layer_maps.py: a searched map is told from a given one, and is never written in part."""

import json

import pytest

from brainscore_submission.layer_search.written_map import _set_aside, origin_note, require_whole_map
from brainscore_submission.models.layer_maps import search_of
from brainscore_submission.models.opening import open_model
from brainscore_submission.plugin.areas import AREAS
from brainscore_submission.plugin.errors import UserError

MAP = {"V1": "layer1", "V2": "layer2", "V4": "layer3", "IT": "layer4"}
ORIGIN = {
    "created": "2026-11-21T17:53:38+00:00",
    "suite": "demo",
    "untrained": True,
    "simulated": True,
    "choices": {area: {"layer": layer} for area, layer in MAP.items()},
}
SEARCHED = "searched on demo 2026-11-21 (UNTRAINED, SIMULATED)"


@pytest.fixture
def own_map(tmp_path, monkeypatch):
    """A map of timm's test_resnet in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "layer_maps/timm_test_resnet_r160_in1k.json"
    (path.parent / "origins").mkdir(parents=True)
    path.write_text(json.dumps(MAP))
    return path


def opened():
    return open_model("timm:test_resnet", weights="untrained", areas=["V1"])


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        (None, "paper"),
        (json.dumps(ORIGIN), SEARCHED),
        (json.dumps(ORIGIN | {"untrained": False, "simulated": False}), "searched on demo 2026-11-21"),
        (json.dumps(ORIGIN | {"choices": dict.fromkeys(MAP, {"layer": "fc"})}), f"{SEARCHED}, then changed by hand"),
    ],
)
def test_a_map_is_called_by_where_it_came_from(own_map, origin, name):
    if origin:
        (own_map.parent / "origins" / own_map.name).write_text(origin)
    assert opened().layer_map == name


@pytest.mark.parametrize(("seed", "added"), [(0, ""), (1, " with other weights (searched-one)")])
def test_other_weights_of_the_network_say_whose_map_they_use(own_map, seed, added):
    weights = {"weights": {"sha256": None, "untrained": True, "seed": seed}, "model": "searched-one"}
    (own_map.parent / "origins" / own_map.name).write_text(json.dumps(ORIGIN | weights))
    for name in ("paper", str(own_map)):
        model = open_model("timm:test_resnet", weights="untrained", areas=["V1"], layer_map=name)
        assert model.layer_map == SEARCHED + added
    given = open_model("timm:test_resnet", weights="untrained", areas=["V1"], layers={"V1": "layer1"})
    assert given.layer_map == "given"


def test_a_searched_map_of_other_layers_is_kept_under_its_time(own_map, caplog):
    (own_map.parent / "origins" / own_map.name).write_text(json.dumps(ORIGIN))
    _set_aside(own_map, "timm_test_resnet_r160_in1k", MAP)
    assert own_map.is_file() and not caplog.text  # the same layers: nothing is lost
    _set_aside(own_map, "timm_test_resnet_r160_in1k", MAP | {"IT": "layer1"})
    assert not own_map.exists() and "searched on demo 2026-11-21" in caplog.text
    name = caplog.text.split("--layer-map ")[1].split()[0]
    model = open_model("timm:test_resnet", weights="untrained", areas=AREAS, layer_map=name)
    assert {area: model.layers[area] for area in AREAS} == MAP and model.layer_map == SEARCHED


@pytest.mark.parametrize("damaged", ["{", "[]", "{}"])
def test_a_damaged_origin_still_tells_a_searched_map(own_map, damaged):
    (own_map.parent / "origins" / own_map.name).write_text(damaged)
    assert search_of(own_map).startswith("searched (") and "cannot be read" in search_of(own_map)


def test_a_searched_map_that_is_compared_with_is_noted(own_map):
    assert origin_note(opened(), "paper") is None
    (own_map.parent / "origins" / own_map.name).write_text(json.dumps(ORIGIN))
    assert SEARCHED in origin_note(opened(), "paper") and SEARCHED in origin_note(opened(), str(own_map))


def test_a_map_that_would_lack_an_area_is_refused_for_the_reason_there_is():
    areas = [*MAP, "behavior"]
    require_whole_map(areas, areas, "the benchmarks")
    with pytest.raises(UserError, match="leaves out V2, IT. Leave --areas away"):
        require_whole_map(["V1", "V4"], areas, "the benchmarks")
    with pytest.raises(UserError, match="the recordings have only V4. Leave --write away.*--layers V4=<layer>"):
        require_whole_map(["V4"], ["V4"], "the recordings")
