"""A card becomes a zip that Brain-Score's own code reads, and the same bytes every time."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
import typer

from brainscore_submission.checking import check
from brainscore_submission.checking.archive import read_archive
from brainscore_submission.checking.layout import the_plugin
from brainscore_submission.checking.sources import requirements, undeclared_imports
from brainscore_submission.checking.verdict import Finding, Verdict
from brainscore_submission.cli import packaging as command_line
from brainscore_submission.models.opening import committed_model
from brainscore_submission.packaging import export_weights, package, parse_weights_location
from brainscore_submission.plugin.card import Card, Preprocessing, Source, Weights, find_card, load_card
from brainscore_submission.plugin.errors import UserError

LAYERS = {"V1": "layer1", "V2": "layer2", "V4": "layer3", "IT": "layer4", "behavior": "layer4"}
LOCATION = "s3:brainscore-storage/brainscore-vision/models/user_1/mine.pt@abc.123"
PROJECT = Path(__file__).parent.parent
NAME = "tiny_resnet_of_ours"


@pytest.fixture
def checkpoint(tmp_path):
    """A mirror folder with the weights of timm's smallest ResNet, in the layout of the submitted files."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        torch.save({"state_dict": timm.create_model("test_resnet").state_dict()}, folder / "tiny.pt")
    return folder / "tiny.pt"


@pytest.fixture
def card(checkpoint):
    return Card(
        identifier="tiny",
        competition_id=7,
        title="A name with 'quotes', \"more\" and †",
        architecture="test_resnet",
        weights=Weights(
            "tiny.pt", "state_dict", sha1=sha(checkpoint, "sha1"), sources=(Source("s3", "b", "k/tiny.pt", "v"),)
        ),
        preprocessing=Preprocessing("small", resize_px=96, crop_px=80),
        behavior_layer="layer4",
    )


def sha(path, kind):
    return hashlib.new(kind, path.read_bytes()).hexdigest()


def packed_card(path):
    with zipfile.ZipFile(path) as archive:
        name = path.stem
        return tomllib.loads(archive.read(f"{name}/models/{name}/cards/{name}.toml").decode())


def plugin_of(path):
    return the_plugin(read_archive(path)[0])


# --- the zip ---


def test_two_builds_have_the_same_bytes(card, tmp_path):
    first = package(card, LAYERS, NAME, tmp_path / "a.zip")
    second = package(card, dict(LAYERS), NAME, tmp_path / "b.zip")
    assert sha(first, "sha256") == sha(second, "sha256")
    other = package(card, LAYERS | {"V2": "layer1"}, NAME, tmp_path / "c.zip")
    assert sha(first, "sha256") != sha(other, "sha256")


def test_a_package_passes_every_rule_that_reads(card, tmp_path):
    verdict = check(package(card, LAYERS, NAME, tmp_path), execute=False)
    assert verdict.passed, verdict.failures
    assert verdict.of("advice") == ()
    assert verdict.identifiers == (NAME,)


def test_a_package_passes_brainscores_own_tests(card, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_MIRROR", str(checkpoint.parent))
    verdict = check(package(card, LAYERS, NAME, tmp_path), timeout=600)
    assert verdict.passed, verdict.failures
    passed = [finding.rule for finding in verdict.of("ok")]
    assert {"loads", "area-V1", "area-V2", "area-V4", "area-IT", "behavior"} <= set(passed)
    assert {"generic-test_look_at_neural_V1", "generic-test_look_at_behavior_probabilities"} <= set(passed)
    assert len([rule for rule in passed if rule.startswith("own-")]) == 3


def test_a_package_whose_weights_are_out_of_reach_is_not_refused_and_not_proven(card, tmp_path, monkeypatch):
    """Where it cannot be fetched here, what would need the model is not tried."""
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_MIRROR", "http://127.0.0.1:9")  # nobody listens there
    offline = replace(
        card, weights=replace(card.weights, sources=(Source("url", url="http://weights.invalid/tiny.pt"),))
    )
    verdict = check(package(offline, LAYERS, NAME, tmp_path), timeout=600)
    assert not verdict.failures and not verdict.passed
    (loads,) = [finding for finding in verdict.unchecked if finding.rule == "loads"]
    assert "could not be fetched here (http://127.0.0.1:9/tiny.pt: no connection" in loads.message
    assert not [finding for finding in verdict.findings if finding.rule.startswith(("area-", "generic-", "own-"))]
    (step,) = verdict.next_steps
    assert step.startswith("NOT PROVEN") and "not through a fault of the zip" in step


def test_the_package_holds_one_card_one_map_and_the_plugin_verbatim(card, tmp_path):
    files = plugin_of(package(card, LAYERS, NAME, tmp_path)).files
    assert [name for name in files if name.startswith("cards/")] == [f"cards/{NAME}.toml"]
    neural = {area: layer for area, layer in LAYERS.items() if area != "behavior"}
    assert json.loads(files[f"region_layer_map/{NAME}.json"]) == neural
    from brainscore_submission import packaging

    for name in ("card.py", "checkpoint.py", "activations.py", "commitment.py", "model.py", "test.py"):
        assert files[name] == (packaging.PLUGIN / name).read_bytes()


def test_the_packed_card_is_the_card_under_its_new_name(card, tmp_path):
    path = package(card, LAYERS, NAME, tmp_path)
    (tmp_path / "card.toml").write_bytes(plugin_of(path).files[f"cards/{NAME}.toml"])
    assert load_card(tmp_path / "card.toml") == replace(card, identifier=NAME, competition_id=None)


def test_folders_have_entries_and_nothing_varies_with_the_clock(card, tmp_path):
    with zipfile.ZipFile(package(card, LAYERS, NAME, tmp_path)) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert {f"{NAME}/", f"{NAME}/models/", f"{NAME}/models/{NAME}/"} <= set(names)
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_requirements_name_what_is_imported_and_nothing_else(card, tmp_path):
    plugin = plugin_of(package(card, LAYERS, NAME, tmp_path))
    assert undeclared_imports(plugin) == {}
    source = b"\n".join(data for name, data in plugin.files.items() if name.endswith(".py")).decode()
    modules = {"pillow": "PIL", "scikit-learn": "sklearn", "boto3": "boto3"}
    for requirement in requirements(plugin):
        module = modules.get(requirement.name, requirement.name)
        assert f"import {module}" in source or f"from {module}" in source, f"{requirement} is not imported"


@pytest.mark.parametrize("number", ["991", "1084", "1095", "crossvit_18_dagger_408_rotation_adv_color"])
def test_every_card_of_the_paper_is_packed_in_less_than_a_megabyte(number, tmp_path):
    card = find_card(number)
    _, layers, _ = committed_model(number)
    path = package(card, layers, "paper_model_again", tmp_path)
    assert path.stat().st_size < 1_000_000
    assert check(path, execute=False).passed


# --- where it is written ---


def test_a_slash_at_the_end_means_a_folder_and_makes_it(card, tmp_path):
    out = f"{tmp_path}/deep/zips/"
    assert package(card, LAYERS, NAME, out) == tmp_path / "deep" / "zips" / f"{NAME}.zip"
    assert package(card, LAYERS, NAME, out).is_file(), "a folder that is there is taken as well"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/ cannot be made a folder: File exists"):
        package(card, LAYERS, NAME, f"{tmp_path}/file/")


@pytest.fixture
def packed_by_command(card, tmp_path, monkeypatch):
    """`packed_by_command(models, out)`: the command in an empty folder, with small models under the given names."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def committed(name, *rest):
        return replace(card, identifier=f"tiny_{name}", competition_id=int(name)), LAYERS, "paper"

    monkeypatch.setattr("brainscore_submission.models.opening.committed_model", committed)

    def run(models, out, **options):
        command_line.package(models, "mine", out, **options)
        return sorted(str(path) for path in Path().rglob("*.zip"))

    return run


@pytest.mark.parametrize("out", ["zips/", "zips", "./deep/zips"])
def test_several_models_are_several_zips_in_a_folder_made_for_them(out, packed_by_command):
    folder = Path(out)
    assert packed_by_command("991,1084", out) == [f"{folder}/mine_1084.zip", f"{folder}/mine_991.zip"]


def test_several_models_do_not_fit_in_one_zip(packed_by_command):
    with pytest.raises(UserError, match="all.zip is one zip, and 2 models make 2. Give a folder"):
        packed_by_command("991,1084", "all.zip")
    with pytest.raises(UserError, match="names no model"):
        packed_by_command(",", "zips/")
    assert list(Path().iterdir()) == []


def test_one_model_is_one_zip_under_the_name_given(packed_by_command):
    assert packed_by_command("991", "one.zip") == ["one.zip"]
    assert packed_by_command("991", ".") == ["mine.zip", "one.zip"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder where nobody may write")
def test_a_place_that_cannot_be_written_is_a_user_error_before_any_work(card, tmp_path, monkeypatch):
    for command in (lambda out: package(card, LAYERS, NAME, out), lambda out: export_weights(card, "absent.pt", out)):
        with pytest.raises(UserError, match=r"^cannot write to /proc/mine.x: .+\. Give another with -o\.$"):
            command("/proc/mine.x")
    monkeypatch.setattr("brainscore_submission.models.opening.describe", lambda name: card)
    monkeypatch.setattr("brainscore_submission.plugin.fetching.fetch", lambda *args, **kwargs: pytest.fail("fetched"))
    with pytest.raises(UserError, match="cannot write to .*: Is a directory"):
        command_line.weights("tiny", tmp_path)


# --- what the command shows ---


def test_json_is_one_object_with_path_size_and_hashes(packed_by_command, card, checkpoint, monkeypatch, capsys):
    packed_by_command("991,1084", "zips/", as_json=True)
    packages = json.loads(capsys.readouterr().out)["packages"]
    assert [(one["model"], one["identifier"]) for one in packages] == [("991", "mine_991"), ("1084", "mine_1084")]
    for one in packages:
        path = Path(one["path"])
        assert (one["bytes"], one["sha256"]) == (path.stat().st_size, sha(path, "sha256"))
    monkeypatch.setattr("brainscore_submission.models.opening.describe", lambda name: card)
    command_line.weights("tiny", Path("w.pt"), str(checkpoint), as_json=True)
    facts = json.loads(capsys.readouterr().out)
    assert facts.pop("bytes") == Path("w.pt").stat().st_size
    hashes = {kind: sha(Path("w.pt"), kind) for kind in ("sha1", "sha256")}
    assert facts == {"identifier": "tiny", "path": "w.pt"} | hashes


def test_findings_are_shown_as_they_are_written(capsys, tmp_path, monkeypatch):
    """Paths and requirements in brackets are no markup: neither swallowed nor a traceback."""
    quoted = "pip install 'brainscore-vision[test]' fails in [/home/me/x] with [red]:warning:"
    finding = Finding("loads[a]", "failed", quoted, "see [/x]")
    verdict = Verdict("a[/b].zip", "abc", ("mine",), (finding,), (f"Mend {quoted}",), {"V1[/x]": 0.5})

    def check(path, full, progress, **options):
        progress(f"reading {verdict.zip}")
        return verdict

    monkeypatch.setattr("brainscore_submission.checking.check", check)
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(typer.Exit):
        command_line.check(Path(verdict.zip))
    shown, said = capsys.readouterr()
    assert "error: a[/b].zip would be refused: 1 rule failed" in said
    assert shown.count(quoted) == 2
    for text in ("loads[a]", "→ see [/x]", "a[/b].zip: mine", "V1[/x]: 0.5"):
        assert text in shown


def test_long_names_are_wrapped_and_never_cut(capsys, monkeypatch):
    name = "crossvit_18_dagger_408_rotation_adv_epoch_100_of_the_paper_and_the_competition.pth"
    verdict = Verdict("a.zip", "abc", ("mine",), (Finding("loads", "unchecked", f"s3://bucket/{name}"),))
    monkeypatch.setattr("brainscore_submission.checking.check", lambda *args, **options: verdict)
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(typer.Exit):
        command_line.check(Path("a.zip"))
    shown, said = capsys.readouterr()
    assert "error: a.zip is not proven: the model could not be tried here" in said
    assert "…" not in shown
    assert name in re.sub(r"[\s│]", "", shown)


def test_failures_come_first_then_advice_and_what_holds_is_counted(capsys, monkeypatch):
    statuses = ("ok", "unchecked", "advice", "failed", "ok", "advice", "ok")
    findings = tuple(Finding(f"rule-{i}", status, f"what {i}\x1b[2J") for i, status in enumerate(statuses))
    monkeypatch.setattr(
        "brainscore_submission.checking.check", lambda *args, **options: Verdict("a.zip", "abc", ("mine",), findings)
    )
    for show_all, order in ((False, [3, 2, 5, 1]), (True, [3, 2, 5, 1, 0, 4, 6])):
        with pytest.raises(typer.Exit):
            command_line.check(Path("a.zip"), show_all=show_all)
        shown, said = capsys.readouterr()
        assert "1 rule failed" in said
        assert [int(number) for number in re.findall(r"rule-(\d)", shown)] == order
        assert ("3 rules hold (--all lists them)" in shown) != show_all
        assert "\x1b" not in shown


def test_after_package_the_five_steps_to_the_leaderboard_are_shown(packed_by_command, capsys):
    packed_by_command("991", "one.zip")
    shown = " ".join(capsys.readouterr().err.split())
    assert re.findall(r"(\d)\. [A-Z]", shown) == list("12345")
    for step in (
        "check --full one.zip",
        "large-file upload",
        "upload the zip",
        "public pull request",
        "'mine' is merged",
    ):
        assert step in shown
    packed_by_command("991", "one.zip", as_json=True)
    (packed,) = json.loads(capsys.readouterr().out)["packages"]
    assert len(packed["next_steps"]) == 5


# --- weights ---


def test_uploaded_weights_are_named_by_place_version_and_hash(card, checkpoint, tmp_path):
    weights = packed_card(package(card, LAYERS, NAME, tmp_path, LOCATION, weights=checkpoint))["weights"]
    assert weights["file"] == "mine.pt"
    assert weights["sha256"] == sha(checkpoint, "sha256")
    assert weights["sources"] == [
        {
            "kind": "s3",
            "bucket": "brainscore-storage",
            "key": "brainscore-vision/models/user_1/mine.pt",
            "version": "abc.123",
        }
    ]


def test_an_exported_file_is_packed_in_its_own_layout(card, checkpoint, tmp_path):
    training = {"epoch": 5, "state_dict": {f"module.{k}": v for k, v in torch.load(checkpoint)["state_dict"].items()}}
    torch.save(training, tmp_path / "training.pt")
    exported = tmp_path / "mine.pt"
    export_weights(card, tmp_path / "training.pt", exported)
    weights = packed_card(package(card, LAYERS, NAME, tmp_path, LOCATION, weights=exported))["weights"]
    assert (weights["layout"], weights["sha1"]) == ("state_dict", sha(exported, "sha1"))


def test_a_location_alone_keeps_the_hash_of_the_card(card, tmp_path):
    weights = packed_card(package(card, LAYERS, NAME, tmp_path, LOCATION))["weights"]
    assert weights["sha1"] == card.weights.sha1


def test_other_weights_than_the_cards_need_a_location(card, tmp_path):
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"(?s)not the file the card .* names.*Upload them.*--weights-location"):
        package(card, LAYERS, NAME, tmp_path, weights=tmp_path / "other.pt")


def test_own_weights_are_not_packed_under_the_address_of_others(card, checkpoint, tmp_path, monkeypatch):
    """A card that states no hash (such as timm's) says nothing of what lies at its address: that is fetched to see."""
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_MIRROR", str(checkpoint.parent))
    unverified = replace(card, weights=replace(card.weights, sha1=None))
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "own.pt")
    with pytest.raises(UserError, match=r"(?s)own.pt is not the file.*Upload them.*--weights-location") as refused:
        package(unverified, LAYERS, NAME, tmp_path, weights=tmp_path / "own.pt")
    assert len(str(refused.value).splitlines()) <= 3
    assert not list(tmp_path.glob("*.zip"))
    same = packed_card(package(unverified, LAYERS, NAME, tmp_path, weights=checkpoint))["weights"]
    assert same["sha256"] == sha(checkpoint, "sha256")


@pytest.mark.parametrize(
    "host", ["localhost:8000", "127.0.0.1", "192.168.1.7", "10.0.0.1", "172.20.1.1", "my_pc", "nas.local"]
)
def test_an_address_that_only_this_network_reaches_is_none_for_the_server(host, card, tmp_path):
    here = Source("url", url=f"http://{host}/w.pt")
    with pytest.raises(UserError, match=r"(?s)reached from here only.*Upload them.*--weights-location") as refused:
        package(replace(card, weights=replace(card.weights, sources=(here,))), LAYERS, NAME, tmp_path)
    assert len(str(refused.value).splitlines()) <= 3
    public = Source("url", url="https://172.32.0.1/w.pt")
    both = replace(card, weights=replace(card.weights, sources=(here, public)))
    (source,) = packed_card(package(both, LAYERS, NAME, tmp_path))["weights"]["sources"]
    assert source["url"] == public.url


def test_a_card_without_hash_is_pinned_to_the_file_it_fetches(card, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINSCORE_SUBMISSION_MIRROR", str(checkpoint.parent))
    unverified = replace(card, weights=replace(card.weights, sha1=None))
    weights = packed_card(package(unverified, LAYERS, NAME, tmp_path))["weights"]
    assert weights["sha256"] == sha(checkpoint, "sha256")


def test_a_card_without_hash_at_another_place_cannot_be_verified(card, tmp_path):
    unverified = replace(card, weights=replace(card.weights, sha1=None))
    with pytest.raises(UserError, match="states no hash"):
        package(unverified, LAYERS, NAME, tmp_path, LOCATION)


@pytest.mark.parametrize("weights", ["untrained", "untrained:3"])
def test_untrained_weights_are_never_packed_or_exported(card, tmp_path, weights):
    with pytest.raises(UserError, match="untrained"):
        package(card, LAYERS, NAME, tmp_path, LOCATION, weights=weights)
    with pytest.raises(UserError, match="untrained"):
        export_weights(card, weights, tmp_path / "w.pt")
    assert not (tmp_path / "w.pt").exists()
    without_source = replace(card, weights=replace(card.weights, sources=()))
    with pytest.raises(
        UserError, match=r"(?s)no place the server can fetch its weights from \(it names none\).*Upload them"
    ):
        package(without_source, LAYERS, NAME, tmp_path)
    assert list(tmp_path.glob("*.zip")) == []


def test_exported_weights_are_tensors_under_the_networks_names(card, checkpoint, tmp_path):
    hashes = export_weights(card, checkpoint, tmp_path / "w.pt")
    assert hashes == {kind: sha(tmp_path / "w.pt", kind) for kind in ("sha1", "sha256")}
    content = torch.load(tmp_path / "w.pt", weights_only=True)
    network = timm.create_model("test_resnet")
    assert list(content) == ["state_dict"]
    network.load_state_dict(content["state_dict"], strict=True)
    given = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(given[name], tensor) for name, tensor in content["state_dict"].items())


def test_exporting_twice_gives_the_same_file(card, checkpoint, tmp_path):
    first = export_weights(card, checkpoint, tmp_path / "a.pt")
    second = export_weights(card, tmp_path / "a.pt", tmp_path / "a2.pt")
    content = [torch.load(tmp_path / name, weights_only=True)["state_dict"] for name in ("a.pt", "a2.pt")]
    assert all(torch.equal(content[0][name], content[1][name]) for name in content[0])
    assert export_weights(card, checkpoint, tmp_path / "a.pt") == first
    assert set(second) == {"sha1", "sha256"}


@pytest.mark.parametrize(
    ("location", "source"),
    [
        ("s3:bucket/a/b.pt@v1", Source("s3", bucket="bucket", key="a/b.pt", version="v1")),
        ("s3://bucket/b.pt", Source("s3", bucket="bucket", key="b.pt")),
        ("https://example.org/w.pt?x=1", Source("url", url="https://example.org/w.pt?x=1")),
    ],
)
def test_weights_locations_are_read(location, source):
    assert parse_weights_location(location) == source


@pytest.mark.parametrize(
    "location",
    ["", "w.pt", "s3:bucket", "s3:bucket/", "s3:bucket/key with space@v", "s3:b/models/user_<id>/w.pt@V", "ftp://a/b"],
)
def test_other_locations_are_refused_with_the_form(location):
    with pytest.raises(UserError, match="s3:<bucket>/<key>@<version>"):
        parse_weights_location(location)


# --- at the door ---


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("cross-vit", "hyphen.*'cross_vit'"),
        ("cross vit", "space.*'cross_vit'"),
        ("custom_model_cv_18_dagger_408", "taken"),
        ("cv_18_dagger_408_pretrained", "taken"),
        ("resnet50_tutorial", "taken"),
        ("9lives", "begin with a letter.*'model_9lives'"),
        ("a.b", "no dot"),
        ("../evil", "letters"),
    ],
)
def test_a_name_the_site_would_refuse_is_refused_first(name, problem, card, tmp_path):
    with pytest.raises(UserError, match=problem):
        package(card, LAYERS, name, tmp_path)
    assert list(tmp_path.glob("*.zip")) == []


def test_a_layer_that_does_not_exist_is_refused(card, tmp_path):
    with pytest.raises(UserError, match="layer9"):
        package(card, LAYERS | {"IT": "layer9"}, NAME, tmp_path)
    with pytest.raises(UserError, match="IT"):
        package(card, {area: layer for area, layer in LAYERS.items() if area != "IT"}, NAME, tmp_path)
    with pytest.raises(UserError, match="behaviour"):
        package(card, {area: layer for area, layer in LAYERS.items() if area != "behavior"}, NAME, tmp_path)


def test_a_missing_folder_is_named(card, tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        package(card, LAYERS, NAME, tmp_path / "absent" / "a.zip")


def test_the_plugin_imports_where_this_project_is_not(card, tmp_path):
    """Its files are imported as a package of another name, with this project made impossible to import."""
    with zipfile.ZipFile(package(card, LAYERS, NAME, tmp_path)) as archive:
        archive.extractall(tmp_path)
    code = (
        "import sys; sys.modules['brainscore_submission'] = None; "
        f"sys.path.insert(0, {str(tmp_path / NAME / 'models')!r}); "
        f"import {NAME}; from brainscore_vision import model_registry; "
        f"assert list(model_registry) == [{NAME!r}]; import {NAME}.timm_card"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=tmp_path, env={"BS_INSTALL_DEPENDENCIES": "no"})


def test_weights_of_another_class_output_make_a_card_of_as_many_classes(card, tmp_path):
    from brainscore_submission.plugin.checkpoint import build_network

    torch.save(build_network(replace(card, num_classes=10)).state_dict(), tmp_path / "ten.pt")
    assert (
        packed_card(package(card, LAYERS, NAME, tmp_path, LOCATION, weights=tmp_path / "ten.pt"))["num_classes"] == 10
    )
