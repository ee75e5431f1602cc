"""Plugins that mean harm, or only behave so: nothing they print, fork, write or kill changes the verdict."""

import contextlib
import importlib.util
import json
import os
import socket
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from checking.test_run import LAYERS, MAP, TUTORIAL, on_trial

from brainscore_submission.checking import processes, running
from brainscore_submission.checking.processes import run_group
from brainscore_submission.checking.sandbox import JUDGE, Sandbox
from brainscore_submission.checking.wall import folders_of, walled, why_no_wall
from brainscore_submission.words import printable

behind_a_wall = pytest.mark.skipif(why_no_wall() is not None, reason=str(why_no_wall()))
ROOT = Path(__file__).parents[2]
LIVES = "import time\ntime.sleep(60)\n"


def python(code, timeout=30, environment=None):
    return run_group([sys.executable, "-c", textwrap.dedent(code)], environment or {}, timeout)


def runs(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- what is bounded, walled or not ---


def test_a_daemon_that_holds_the_output_open_keeps_nobody_waiting(tmp_path):
    """It leaves the group and the session, as daemons do, and is ended all the same."""
    code = f"""
        import os, subprocess, sys
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
                import time; time.sleep(60)
            os._exit(0)
        os.wait()
        while not os.path.exists({str(tmp_path / "pid")!r}) or not open({str(tmp_path / "pid")!r}).read(): pass
        print("done", flush=True)
    """
    ended = python(code, timeout=50)
    assert (ended.code, ended.output) == (0, "done\n")
    until(lambda: not runs((tmp_path / "pid").read_text()))


def test_of_what_is_printed_only_the_end_is_kept():
    ended = python("import sys\nfor i in range(3000): sys.stdout.write('x' * 100_000)\nprint('\\nthe last line')")
    assert len(ended.output) <= processes.OUTPUT_BYTES
    assert ended.reason == "the last line"


def test_who_prints_without_end_runs_out_of_time():
    ended = python("while True: print('x' * 1000)", timeout=1)
    assert (ended.code, ended.reason, ended.machine) == (None, "not done after 1 s", False)


def test_who_closes_its_output_is_waited_for():
    assert python("import os, time\nos.close(1); os.close(2); time.sleep(0.5); os._exit(7)").code == 7


def test_memory_is_bounded_with_that_of_all_children(monkeypatch):
    limit = 300_000_000
    monkeypatch.setattr(processes, "_memory_limit", lambda: limit)
    grow = (
        "import os, time\nfor _ in range(3): os.fork() or time.sleep(0)\nhold = bytearray(os.urandom(100) * 800_000)\n"
    )
    ended = python(grow + LIVES)
    assert ended.code is None
    assert ended.machine and "300 MB of memory" in ended.reason
    assert python("hold = bytearray(50_000_000)").code == 0


def test_the_number_of_processes_is_bounded(monkeypatch):
    monkeypatch.setattr(processes, "PROCESSES", 20)
    ended = python(f"import os\nfor _ in range(30):\n    if os.fork() == 0: break\n{LIVES}")
    assert "more than 20 processes" in ended.reason
    assert not ended.machine


def test_terminal_sequences_are_taken_out():
    painted = "\x1b[2J\x1b[1;1H\x1b]0;owned\x07\x1bP1$r\x1b\\38 rules hold\r\x08\x9b31m \u202elive\n"
    assert printable(painted) == "38 rules hold31m live\n"
    ended = python(f"print({painted!r})")
    assert "\x1b" not in ended.output and ended.reason == "38 rules hold31m live"


# --- reports that are none ---


def foreign(make):
    def case(path):
        make(path)
        return running.foreign_text(path)

    return case


LAUGHS = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
NO_REPORTS = {
    "none": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "link to endless zeros": lambda path: path.symlink_to("/dev/zero"),
    "link elsewhere": lambda path: path.symlink_to("/etc/passwd"),
    "huge": lambda path: path.write_bytes(bytes(running.FOREIGN_BYTES + 1)),
    "bytes": lambda path: path.write_bytes(bytes(range(256))),
    "half": lambda path: path.write_text('{"demo.V1-pls": 0.5'),
    "deep": lambda path: path.write_text("[" * 100_000),
    "other JSON": lambda path: path.write_text("[1, 2]"),
    "not a number": lambda path: path.write_text('{"demo.V1-pls": NaN}'),
    "text for a number": lambda path: path.write_text('{"demo.V1-pls": "0.5"}'),
    "other XML": lambda path: path.write_text("<html/>"),
    "half XML": lambda path: path.write_text("<testsuites><testcase"),
    "entities": lambda path: path.write_text(LAUGHS + "]><testsuites>&i;</testsuites>"),
}


@pytest.mark.parametrize("kind", NO_REPORTS)
def test_a_broken_report_is_none(kind, tmp_path):
    NO_REPORTS[kind](tmp_path / "report")
    text = running.foreign_text(tmp_path / "report")
    assert running.outcomes(text) == []
    assert running.scores_in(text) is None


def test_a_report_that_the_judge_did_not_sign_is_none(tmp_path):
    key = os.urandom(32)
    (tmp_path / "report").write_text('{"seconds": 1.0}')
    assert running.signed(tmp_path / "report", key) == {}
    (tmp_path / "report").write_text('0000\n{"seconds": 1.0}')
    assert running.signed(tmp_path / "report", key) == {}


@pytest.fixture(scope="module")
def judge():
    spec = importlib.util.spec_from_file_location("judge_of_the_check", JUDGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def frame(reply, numbers=b""):
    text = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    return struct.pack("<QQ", len(text), len(numbers)) + text + numbers


SEEN = {"dims": ["presentation"], "shape": [2], "dtype": "float64", "coords": {}}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00" * 5,
        b"all is well\n" * 9,
        struct.pack("<QQ", 1 << 60, 0),
        struct.pack("<QQ", 100, 0) + b"{}",
        frame(b"not json"),
        frame(b"[" * 100_000),
        frame([1, 2]),
        frame(SEEN | {"dtype": "object"}, bytes(16)),
        frame(SEEN, bytes(15)),
        frame(SEEN | {"shape": [10**12]}, bytes(16)),
        frame(SEEN | {"shape": "ab"}, bytes(16)),
        frame(SEEN | {"dims": ["a", "b"]}, bytes(16)),
        frame(SEEN | {"coords": [1]}, bytes(16)),
        frame(SEEN | {"coords": {"a": 3}}, bytes(16)),
        frame(SEEN | {"coords": {"a": [["presentation"], [1, 2, 3]]}}, bytes(16)),
        frame({"error": {"a": 1}, "causes": 3}),
    ],
    ids=range(17),
)
def test_an_answer_that_is_none_is_the_models_fault(answer, judge, tmp_path):
    (tmp_path / "answer").write_bytes(answer)
    host = judge.Host(["cat", str(tmp_path / "answer")], {"PATH": os.environ["PATH"]}, str(tmp_path))
    model = judge.StandIn.__new__(judge.StandIn)
    model.host = host
    with pytest.raises(judge.ModelError):
        model.look_at(None)
    host.process.kill()
    with contextlib.suppress(BrokenPipeError):  # the request was never read
        host.process.stdin.close()
    host.process.stdout.close()
    host.process.wait()


# --- a plugin that writes its own verdict ---

FORGED = {"seconds": 1.0, "identifier": "tiny_resnet", "registered": ["tiny_resnet"], "layers": [], "layer_map": {}}
FORGES = f"""
import gc, glob, json, os, sys
forged = {json.dumps(json.dumps(FORGED))}
for name in os.listdir("/proc/self/fd"):
    for text in (forged, "0" * 64 + "\\n" + forged):
        try:
            os.write(int(name), text.encode())
        except OSError:
            pass
for found in gc.get_objects():
    if type(found).__name__ == "Report":
        found.add("layer_map", {{}})
here = os.environ["HOME"]
court = here + "/../../court/out/"
for path in [*sys.argv, *glob.glob(court + "*"), court + "load.json", here + "/../out/own.xml"]:
    try:
        if path.endswith((".json", ".xml")):
            open(path, "w").write(forged)
    except OSError:
        pass
os._exit(0)
"""


@pytest.mark.parametrize("wall", [False, pytest.param(True, marks=behind_a_wall)])
def test_a_plugin_cannot_write_its_verdict(wall, tmp_path):
    (finding,) = running.load(on_trial(tmp_path, TUTORIAL | {"model.py": FORGES}, wall=wall))
    assert (finding.rule, finding.status) == ("loads", "failed")


def test_own_tests_that_break_off_are_a_failed_check(tmp_path):
    """The report of its own tests is written beside the plugin: a forged one is read as one, and this is none."""
    (finding,) = running.own_tests(on_trial(tmp_path, TUTORIAL | {"test.py": FORGES}))
    assert (finding.rule, finding.status) == ("own-tests", "failed")


def test_what_the_plugin_changes_in_its_folder_does_not_last(tmp_path):
    erases = "import pathlib\nfor file in pathlib.Path(__file__).parent.iterdir(): file.is_file() and file.unlink()\n"
    trial = on_trial(tmp_path, TUTORIAL | {"model.py": erases, MAP: LAYERS})
    running.load(trial)
    assert sorted(path.name for path in trial.place().iterdir()) == sorted({*TUTORIAL, "region_layer_map"})


# --- behind the wall ---


def behind(sandbox, code, **options):
    return sandbox.run([sys.executable, "-c", textwrap.dedent(code)], 60, **options)


@behind_a_wall
def test_behind_the_wall_there_is_no_network_unless_it_is_granted(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 5); print('reached')"
        ended = behind(Sandbox(tmp_path / "closed", wall=True), code)
        assert ended.code != 0 and "refused" in ended.reason
        assert behind(Sandbox(tmp_path / "open", wall=True, network=True), code).reason == "reached"


@behind_a_wall
def test_behind_the_wall_nothing_of_the_user_is_seen_or_changed(tmp_path, monkeypatch):
    (tmp_path / "secret.txt").write_text("secret")
    sandbox = Sandbox(tmp_path / "run", wall=True)
    code = f"""
        import os
        assert os.listdir(os.path.expanduser("~")) == []
        assert not os.path.exists({str(tmp_path / "secret.txt")!r})
        assert not os.path.exists({str(Path.home() / ".ssh")!r}) and not os.path.exists("/etc/shadow")
        for path in ("/x", "/usr/x", {str(sandbox.library / "x")!r}, {sys.prefix!r} + "/x"):
            try:
                open(path, "w")
            except OSError:
                continue
            raise SystemExit(path + " was written")
        open(os.path.expanduser("~/x"), "w").write("its own")
        print(len([name for name in os.listdir("/proc") if name.isdigit()]), os.environ.get("SECRET"))
    """
    monkeypatch.setenv("SECRET", "secret")
    ended = behind(sandbox, code)
    assert ended.code == 0, ended.output
    count, secret = ended.reason.split()
    assert int(count) <= 3 and secret == "None"


WATCHED = """
import json, sys
from brainscore_submission.checking.processes import run_group
print(run_group(json.loads(sys.argv[1]), {}, 60).output)
"""


@behind_a_wall
def test_behind_the_wall_the_parents_environment_cannot_be_read_nor_the_parent_killed():
    """The same two deeds reach the parent where there is no wall."""
    reads = """
        import glob, os, signal
        said, found = glob.glob("/proc/[0-9]*/environ"), False
        for path in said:
            try:
                found = found or b"SECRET_OF_THE_PARENT" in open(path, "rb").read()
            except OSError:
                pass
        print(found, len(said), flush=True)
        if len(said) < 5:  # its own alone: no process of this machine is harmed where the wall is missing
            for path in said:
                os.kill(int(path.split("/")[2]), signal.SIGKILL)
    """
    code = [sys.executable, "-c", textwrap.dedent(reads)]
    environment = {"SECRET_OF_THE_PARENT": "secret", "PYTHONPATH": str(ROOT)}

    def said(command):
        caller = [sys.executable, "-c", WATCHED, json.dumps(command)]
        return subprocess.run(caller, env=environment, capture_output=True, text=True, check=True).stdout.split()

    assert said(code)[0] == "True"
    assert said(walled(code, folders_of(sys.executable, {})))[0] == "False"


@behind_a_wall
def test_no_process_outlives_the_wall(tmp_path):
    """Not even one of a session of its own and without the environment it would be known by."""
    mark = f"outlives_{os.getpid()}"
    child = [sys.executable, "-c", "import time; time.sleep(60)", mark]
    code = f"import subprocess; subprocess.Popen({child!r}, start_new_session=True, env={{}})"
    assert behind(Sandbox(tmp_path / "run", wall=True), code).code == 0
    until(lambda: mark not in subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True).stdout)


def test_where_there_is_no_wall_it_is_said_why(monkeypatch, tmp_path):
    why_no_wall.cache_clear()
    try:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert why_no_wall() == "bubblewrap is not installed"
        why_no_wall.cache_clear()
        (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
        (tmp_path / "bwrap").chmod(0o755)
        assert "cannot make a wall here (bwrap: No permissions to create new namespace)" in why_no_wall()
    finally:
        why_no_wall.cache_clear()
