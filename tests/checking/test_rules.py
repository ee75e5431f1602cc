"""Broken zips, one per rule or attack: each is refused by its own rule, before anything of it is run or written."""

import json
import re
import stat
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainscore_submission.checking import check
from brainscore_submission.checking import check as check_function
from brainscore_submission.checking.archive import Archive, extract, read_archive
from brainscore_submission.checking.layout import Plugin
from brainscore_submission.checking.registration import name_problem
from brainscore_submission.checking.sources import undeclared_imports
from brainscore_submission.plugin.errors import UserError

INIT = "from brainscore_vision import model_registry\nmodel_registry['my_model'] = lambda: None\n"
COMMITMENT = "def f(**given):\n    f(region_layer_map=1, behavioral_readout_layer=2)\n"
LAYERS = {"V1": "a", "V2": "b", "V4": "c", "IT": "d"}
TOP = "root/models/my_plugin/"
GOOD = {
    "root/": b"",
    "root/models/": b"",
    TOP: b"",
    f"{TOP}__init__.py": INIT.encode(),
    f"{TOP}model.py": b"import torch\nfrom .other import f\n",
    f"{TOP}other.py": COMMITMENT.encode(),
    f"{TOP}region_layer_map/": b"",
    f"{TOP}region_layer_map/my_model.json": json.dumps(LAYERS).encode(),
    f"{TOP}requirements.txt": b"torch\n",
    f"{TOP}test.py": b"def test_it():\n    assert True\n",
}


def write(path, members, compression=zipfile.ZIP_DEFLATED, mode=None):
    """Write members as they are given, also names that a careful tool would refuse."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as archive:
        warnings.simplefilter("ignore", UserWarning)  # zipfile warns of the duplicate names some cases want
        for name, data in members.items() if isinstance(members, dict) else members:
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            info.external_attr = (mode or {}).get(name, 0) << 16
            archive.writestr(info, data)
    return path


def good(path):
    return write(path, GOOD)


def put(name, data=b"", **options):
    """A good zip with one more member, or one replaced (None takes it out)."""
    members = {key: value for key, value in (GOOD | {name: data}).items() if value is not None}
    return lambda path: write(path, members, **options)


def of(members):
    return lambda path: write(path, members)


def text(name, content):
    return put(TOP + name, content.encode())


def renamed(old, new):
    return of({name.replace(old, new): data for name, data in GOOD.items()})


def raw(change):
    """A good zip whose bytes are changed."""

    def case(path):
        path.write_bytes(change(good(path).read_bytes()))

    return case


def in_directory(name, offset, value):
    """Overwrite bytes in a member's entry of the table of contents."""

    def change(data):
        start = data.rindex(name.encode()) - 46
        assert data[start : start + 4] == b"PK\x01\x02"
        return data[: start + offset] + value + data[start + offset + len(value) :]

    return raw(change)


def in_name(byte):
    def case(path):
        put(f"{TOP}modX.py")(path)
        path.write_bytes(path.read_bytes().replace(b"modX.py", b"mod" + byte + b".py"))

    return case


def huge(path):
    good(path)
    with path.open("r+b") as file:
        file.truncate(60_000_000)


def zip64(path):
    data = good(path).read_bytes()
    end = data.rindex(b"PK\x05\x06")
    path.write_bytes(data[:end] + b"PK\x06\x07" + bytes(16) + data[end:])


def stored_then_flipped(path):
    write(path, GOOD, compression=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"import torch", b"import tozch", 1))


def overlapping(path):
    good(path)
    data = path.read_bytes()
    offsets = [data.rindex(f"{TOP}{name}".encode()) - 46 + 42 for name in ("model.py", "other.py")]
    first, second = offsets
    path.write_bytes(data[:second] + data[first : first + 4] + data[second + 4 :])


LINK, DEVICE = stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o666
MAP = "region_layer_map/my_model.json"
NO_ENTRY = {name: data for name, data in GOOD.items() if not name.endswith("/")}

BROKEN = {
    # what is wrong: (how to make it, the rule that refuses it, words of the message)
    "empty file": (lambda path: path.write_bytes(b""), "zip", "table of contents"),
    "text file": (lambda path: path.write_text("PK, honestly"), "zip", "table of contents"),
    "cut short": (raw(lambda data: data[:-40]), "zip", "table of contents"),
    "table of contents damaged": (raw(lambda data: data.replace(b"PK\x01\x02", b"PK\x01\x03")), "zip", "cannot be op"),
    "60 MB": (huge, "zip-size", "60.0 MB"),
    "zip64": (zip64, "zip-directory", "zip64"),
    "endless table of contents": (of({f"root/{i:0200d}": b"" for i in range(4500)}), "zip-directory", "bytes"),
    "nothing inside": (of({}), "not-empty", "no file"),
    "folders only": (of({"root/": b"", "root/models/": b""}), "not-empty", "no file"),
    "1500 members": (of(GOOD | {f"{TOP}{i}.txt": b"" for i in range(1500)}), "member-count", "1510 entries"),
    "unpacks to 4 GB": (in_directory(f"{TOP}model.py", 24, b"\xff\xff\xff\xf0"), "unpacked-size", "zip bomb"),
    "zeros": (put(f"{TOP}data.txt", bytes(3_000_000)), "ratio", "shrinks more than 100"),
    "shared bytes": (overlapping, "overlap", "share the same bytes"),
    "encrypted": (in_directory(f"{TOP}model.py", 8, b"\x01\x00"), "encryption", "encrypted"),
    "LZMA": (put(f"{TOP}a.txt", b"a", compression=zipfile.ZIP_LZMA), "compression", "packed by a method"),
    "absolute path": (put("/etc/cron.d/evil", b"x"), "absolute-path", "'/etc/cron.d/evil'"),
    "drive letter": (put("C:/Windows/evil.dll", b"x"), "absolute-path", "'C:/Windows/evil.dll'"),
    "home": (put("~/.bashrc", b"x"), "absolute-path", "'~/.bashrc'"),
    "dot dot": (put("../evil.py", b"x"), "parent-path", "climbs"),
    "dot dot within": (put(f"{TOP}../../../../evil.py", b"x"), "parent-path", "climbs"),
    "dot dot backslash": (put("root\\..\\..\\evil.py", b"x"), "parent-path", "climbs"),
    "backslashes": (put("root\\models\\my_plugin\\a.py", b"x"), "backslash", "backslash"),
    "symbolic link": (put(f"{TOP}link", b"/etc/passwd", mode={f"{TOP}link": LINK}), "links", "symbolic link"),
    "device": (put(f"{TOP}null", b"", mode={f"{TOP}null": DEVICE}), "links", "device"),
    "name in latin-1": (in_name(b"\xe9"), "name-encoding", "not in UTF-8"),
    "NUL in a name": (in_name(b"\x00"), "odd-names", "NUL"),
    "newline in a name": (put(f"{TOP}a\nb.py"), "odd-names", "invisible"),
    "right-to-left name": (put(f"{TOP}a\u202eyp.py"), "odd-names", "invisible"),
    "no name": (put("", b"x"), "odd-names", "has no name"),
    "empty folder name": (put("root//a.py"), "odd-names", "empty or '.'"),
    "dot folder": (put(f"{TOP}./a.py"), "odd-names", "empty or '.'"),
    "long name": (put(f"{TOP}{'a' * 300}.py"), "odd-names", "too long"),
    "twice": (of([*GOOD.items(), (f"{TOP}test.py", b"other")]), "duplicates", "more than once"),
    "file and folder": (put(f"{TOP}model.py/a.py"), "file-or-folder", "file and a folder"),
    "folder with data": (put(TOP, b"data"), "folder-data", "carries data"),
    "flipped byte": (stored_then_flipped, "intact", "cannot be unpacked"),
    "space": (put(f"{TOP}my model.py"), "spaces", "space"),
    "metadata": (text("metadata.yml", "models:"), "metadata", "metadata.yml"),
    "top-level file": (put("README.md", b"x"), "top-level", "'README.md'"),
    "two roots": (put("more/a.py", b"x"), "one-root", "2 root folders"),
    "macOS": (put("__MACOSX/root/._a", b"x"), "one-root", "macOS"),
    "no models folder": (renamed("/models/", "/code/"), "models-folder", "no folder 'models'"),
    "Models": (renamed("/models/", "/Models/"), "models-folder", "only 'Models'"),
    "a benchmark, too": (put("root/benchmarks/b/__init__.py"), "models-folder", "also submits"),
    "models without entry": (put("root/models/", None), "models-entry", "no entry of its own"),
    "plugin without entry": (put(TOP, None), "plugin-entry", "no entry of its own"),
    "no entries": (of(NO_ENTRY), "plugin-entry", "no entry of its own"),
    "caches beside": (put("root/models/__pycache__/a.pyc", b"x"), "one-plugin", "for another plugin"),
    "two plugins": (put("root/models/other/__init__.py", b"x"), "one-plugin", "2 plugin folders"),
    "no plugin": (of({"root/": b"", "root/models/": b"", "root/models/a.py": b""}), "one-plugin", "no plugin folder"),
    "no __init__.py": (put(f"{TOP}__init__.py", None), "init-file", "no __init__.py"),
    "no test.py": (put(f"{TOP}test.py", None), "test-file", "no test.py"),
    "models/__init__.py": (put("root/models/__init__.py", b""), "stray-files", "beside the plugin"),
    "no identifier": (text("__init__.py", "import torch"), "one-identifier", "no identifier"),
    "two identifiers": (
        text("__init__.py", INIT + "model_registry['b'] = lambda: 0\n"),
        "one-identifier",
        "2 identifiers",
    ),
    "identifier in a comment": (
        text("__init__.py", INIT + "# model_registry['my_model']\n"),
        "one-identifier",
        "2 times",
    ),
    "second bracket": (
        text("__init__.py", "model_registry['my_model'] = lambda: [0][0]\n"),
        "literal-line",
        "second ']'",
    ),
    "identifier with hyphen": (text("__init__.py", INIT.replace("my_m", "my-m")), "identifier-name", "hyphen"),
    "identifier with slash": (text("__init__.py", INIT.replace("my_m", "my/m")), "identifier-name", "not made of"),
    "identifier taken": (
        text("__init__.py", INIT.replace("my_model", "resnet50_tutorial")),
        "identifier-name",
        "is taken",
    ),
    "folder with hyphen": (renamed("my_plugin", "my-plugin"), "folder-name", "hyphen"),
    "folder taken": (renamed("my_plugin", "custom_model_cv_18_dagger_408"), "folder-name", "is taken"),
    "hidden folder": (renamed("my_plugin", "_plugin"), "folder-name", "passes over"),
    "folder with dot": (renamed("my_plugin", "my.plugin"), "folder-name", "cannot be imported"),
}
ADVISED = {  # what no upload code refuses: Brain-Score's own code decides when it runs the plugin
    "twice, in capitals": (put(f"{TOP}TEST.py", b"other"), "duplicates", "more than once"),
    "zip in the zip": (put(f"{TOP}more.zip", b"PK"), "nested-archive", "archive within"),
    "weights": (put(f"{TOP}weights.pth", b"x"), "no-weights", "looks like weights"),
    "weights in disguise": (put(f"{TOP}notes.txt", b"PK\x03\x04x"), "disguised-archive", "under another name"),
    "double quotes": (text("__init__.py", INIT.replace("'", '"')), "one-identifier", "double quotes"),
    "indented": (text("__init__.py", "if True:\n    model_registry['m'] = lambda: 0\n"), "literal-line", "plain line"),
    "commented out": (text("__init__.py", "# model_registry['my_model'] = 0"), "literal-line", "plain line"),
    "identifier with space": (text("__init__.py", INIT.replace("my_m", "my m")), "identifier-name", "space"),
    "layer map misnamed": (renamed("my_model.json", "other.json"), "layer-map", "not found under that name"),
    "layer map no JSON": (text(MAP, "{V1: a}"), "layer-map", "not JSON"),
    "layer map of numbers": (text(MAP, '{"V1": 3}'), "layer-map", "does not map"),
    "layer map without IT": (text(MAP, '{"V1": "a", "V2": "b", "V4": "c"}'), "layer-map", "no layer for IT"),
    "syntax error": (text("model.py", "def f(:\n"), "syntax", "model.py is not Python"),
    "NUL in source": (text("model.py", "a = 1\0"), "syntax", "model.py is not Python"),
    "editable requirement": (text("requirements.txt", "-e ."), "requirements", "a local path"),
    "nonsense requirement": (text("requirements.txt", "torch = 2"), "requirements", "is no requirement"),
    "undeclared import": (text("model.py", "import timm.models\n"), "imports", "does not declare"),
    "undeclared import, hidden": (
        text("model.py", "def f():\n    import importlib\n    importlib.import_module('timm')\n"),
        "imports",
        "'timm'",
    ),
    "imports this project": (text("model.py", "import brainscore_submission.engine"), "imports", "not on the server"),
    "GPU checkpoint": (text("model.py", "import torch\ntorch.load('x')\n"), "cpu", "map_location"),
}


@pytest.fixture(autouse=True)
def _nothing_is_run(monkeypatch, request):
    """Running a refused plugin would be the bug: the one stage that runs and extracts is made to fail the test."""

    def run(*args):
        raise AssertionError("the plugin was run")

    module = check_function.__globals__
    monkeypatch.setitem(module, "_run", run)


def failed_rules(path):
    return {finding.rule: finding for finding in check(path).failures}


def test_a_good_zip_passes_what_can_be_read(tmp_path):
    verdict = check(good(tmp_path / "good.zip"), execute=False)
    assert verdict.passed
    assert verdict.identifiers == ("my_model",)
    assert verdict.of("advice") == ()
    assert "run" in [finding.rule for finding in verdict.unchecked]


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_zip_is_refused_by_its_own_rule(case, tmp_path):
    make, rule, words = BROKEN[case]
    path = tmp_path / "broken.zip"
    make(path)
    failures = failed_rules(path)
    assert rule in failures, f"refused by {sorted(failures)} only"
    assert words in failures[rule].message
    assert failures[rule].remedy


@pytest.mark.parametrize("case", ADVISED)
def test_what_no_upload_code_refuses_is_advice(case, tmp_path):
    make, rule, words = ADVISED[case]
    path = tmp_path / "advised.zip"
    make(path)
    verdict = check(path, execute=False)
    advised = {finding.rule: finding for finding in verdict.of("advice")}
    assert verdict.passed
    assert words in advised[rule].message
    assert advised[rule].remedy


def test_every_finding_says_something_else():
    reasons = [(rule, words) for _, rule, words in [*BROKEN.values(), *ADVISED.values()]]
    rules = {rule for rule, _ in reasons}
    assert len(rules) >= 35
    assert len(set(reasons)) >= 60


def test_a_failed_check_says_not_to_upload(tmp_path):
    verdict = check(put(f"{TOP}test.py", None)(tmp_path / "broken.zip"))
    assert not verdict.passed
    assert "Do not upload yet" in " ".join(verdict.next_steps)


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no file .*Build a zip first"):
        check(tmp_path / "absent.zip")


def test_what_is_named_must_be_there(tmp_path):
    path = good(tmp_path / "good.zip")
    with pytest.raises(UserError, match="constraints.txt cannot be read"):
        check(path, constraints=tmp_path / "constraints.txt")
    with pytest.raises(UserError, match="no virtual environment"):
        check(path, environment=tmp_path)


def test_a_verdict_is_json(tmp_path):
    verdict = check(put(f"{TOP}test.py", None)(tmp_path / "broken.zip"))
    facts = json.loads(json.dumps(verdict.as_json()))
    assert facts["passed"] is False
    assert [finding["rule"] for finding in facts["findings"] if finding["status"] == "failed"] == ["test-file"]


def test_missing_test_tools_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'brainscore-vision\[test\]'"):
        check(good(tmp_path / "good.zip"))


# --- attacks made by hypothesis from a good zip ---

MEMBERS = st.sampled_from(sorted(GOOD))
ESCAPES = st.sampled_from(["/", "//", "../", "../../", "./../", "..\\", "C:/", "C:\\", "~/", "\\\\host\\", "\\"])


@settings(max_examples=60, deadline=None)
@given(member=MEMBERS, escape=ESCAPES, depth=st.integers(0, 3))
def test_no_member_can_be_made_to_leave_the_folder(member, escape, depth):
    parts = member.split("/")
    name = "/".join(parts[:depth] + [escape + "/".join(parts[depth:])])
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.zip", GOOD | {name: b"evil"})
        archive, _ = read_archive(path)
    harmless = name.replace("//", "/") in GOOD or not re.search(r"^[/~]|\.\.|\\|:|//", name)
    assert archive is None or harmless


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_change_of_bytes_gets_past_the_reader_or_writes_outside(data):
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        path = good(top / "a.zip")
        changed = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, len(changed) - 1))
            cut = data.draw(st.integers(0, 4))
            changed[start : start + cut] = data.draw(st.binary(max_size=6))
        path.write_bytes(changed)
        archive, findings = read_archive(path)
        assert (archive is None) == any(finding.status == "failed" for finding in findings)
        target = top / "extracted"
        target.mkdir()
        if archive is not None:
            extract(archive, target)
        assert sorted(item.name for item in top.iterdir()) == ["a.zip", "extracted"]
        assert not any(item.is_symlink() for item in target.rglob("*"))


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(sorted(GOOD)))
def test_the_order_of_the_members_does_not_matter(order):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.zip", {name: GOOD[name] for name in order})
        assert check(path, execute=False).passed


@settings(max_examples=30, deadline=None)
@given(needed=st.sampled_from(["root/models/", TOP, f"{TOP}__init__.py", f"{TOP}test.py"]), order=st.randoms())
def test_nothing_the_site_needs_can_be_left_out(needed, order):
    names = [name for name in GOOD if name != needed]
    order.shuffle(names)
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "a.zip", {name: GOOD[name] for name in names})
        assert not check(path).passed


def test_extraction_itself_refuses_to_leave_its_folder(tmp_path):
    archive = Archive(tmp_path / "a.zip", "", (), {"../evil.py": b"evil"})
    (tmp_path / "extracted").mkdir()
    with pytest.raises(ValueError, match="leads out"):
        extract(archive, tmp_path / "extracted")
    assert not (tmp_path / "evil.py").exists()


def test_extraction_gives_back_every_byte(tmp_path):
    archive, _ = read_archive(good(tmp_path / "a.zip"))
    extract(archive, tmp_path)
    for name, data in GOOD.items():
        if not name.endswith("/"):
            assert (tmp_path / name).read_bytes() == data


# --- names and imports ---


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("my-model", "hyphen"),
        ("my model", "space"),
        ("custom_model_cv_18_dagger_408", "taken"),
        ("cv_18_dagger_408_pretrained", "taken"),
        ("resnet50_tutorial", "taken"),
        ("alexnet", "taken"),  # in the installed Brain-Score
        ("modèle", "letters"),
        ("", "letters"),
    ],
)
def test_a_bad_name_is_refused_with_a_suggestion(name, problem):
    message, remedy = name_problem(name)
    assert problem in message
    assert remedy.startswith("Call it")


def test_a_new_name_is_accepted():
    assert name_problem("crossvit18_rotation_adv_of_2026") is None


def plugin(requirements, source):
    return Plugin("root", "mine", {"requirements.txt": requirements.encode(), "model.py": source.encode()})


@pytest.mark.parametrize(
    ("requirements", "source", "undeclared"),
    [
        ("", "import os, json.decoder", []),
        ("", "import torch, torchvision.transforms, numpy, sklearn, PIL, xarray, pytest", []),  # Brain-Score brings it
        ("", "from brainscore_vision.metrics import Score", []),
        ("", "from . import other\nfrom .other import f", []),
        ("", "import timm", ["timm"]),
        ("timm", "import timm", []),
        ("Timm>=1.0  # the network", "import timm.models", []),
        ("timm", "import safetensors, huggingface_hub", []),  # timm brings them
        ("", "try:\n    import flax\nexcept ImportError:\n    flax = None", []),  # it says what it does without
        ("scikit-image", "import skimage.io", []),
        ("", "__import__('open_clip')", ["open_clip"]),
        ("open-clip-torch", "import open_clip", []),
        ("git+https://example.org/a.git", "import a", ["a"]),
    ],
)
def test_undeclared_imports_are_found_statically(requirements, source, undeclared):
    assert list(undeclared_imports(plugin(requirements, source))) == undeclared
