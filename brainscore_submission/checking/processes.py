"""Processes that run other people's code: little of the environment, bounded, and ended with their children.

What they run is in `sandbox` (the plugin) and `environment` (pip, which runs the build scripts of requirements); what
they can reach is in `wall`.
"""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..words import count, printable, size_in_words

# All that is passed on: how programs are found, how text is written, and where (never as whom) the network is asked.
# A proxy's address may hold a password: without it there would be no network.
PASSED_ON = {"PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT"}
PASSED_ON |= {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"}
PASSED_ON |= {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HF_ENDPOINT"}
PASSED_ON |= {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy"}
# Threads and kernels of the numeric libraries: with others the last digits are others.
NUMERIC = (
    "OMP_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
    "GOTO_",
    "BLIS_",
    "NVPL_",
    "NUMEXPR_",
    "DNNL_",
    "ONEDNN_",
    "ATEN_",
)
# Credentials that the libraries which fetch weights would look for outside the environment.
NO_STORED_CREDENTIALS = {
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "HF_TOKEN_PATH": os.devnull,
}
# These would have pip install somewhere else than into the environment it belongs to.
MISLEADING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_DRY_RUN", "PIP_REQUIREMENT", "PIP_CONSTRAINT")

OUTPUT_BYTES = 1_000_000  # the end of what is printed; the rest is dropped as it comes
PROCESSES = 1_000  # processes and threads at once
MEMORY_SHARE = 0.8  # of the machine's
WATCH_SECONDS = 0.5
MARK = "BRAINSCORE_SUBMISSION_RUN"  # by it children are found that left the group
END_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass(frozen=True)
class Finished:
    """How a process ended.

    Parameters
    ----------
    code : exit code, or None when it was ended because of `limit`
    output : the last of what it printed, errors included, without control characters
    limit : why it was ended: "not done after 1800 s", …
    machine : whether that limit is this machine's rather than a fault of what ran
    """

    code: int | None
    output: str
    limit: str = ""
    machine: bool = False

    @property
    def reason(self) -> str:
        """Why it was ended, or the last line it printed, where Python names the exception."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return self.limit or (lines[-1][:300] if lines else "it printed nothing")


def environment_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The little of an environment that code which is not the user's may see (`PASSED_ON`, `NUMERIC`).

    >>> sorted(environment_of({"GITHUB_TOKEN": "x", "LANG": "C"}).keys() - NO_STORED_CREDENTIALS.keys())
    ['LANG']
    """
    kept = {name: value for name, value in environment.items() if name in PASSED_ON or name.startswith(NUMERIC)}
    return kept | NO_STORED_CREDENTIALS


def environment_of_pip(environment: Mapping[str, str]) -> dict[str, str]:
    """As `environment_of`, with pip's settings, even where the address of an index holds a password, and the home
    folder where ``pip.conf`` and ``.netrc`` lie: without them nothing could be installed from it.

    Left out is what would make pip install elsewhere (`MISLEADING`).

    >>> "PIP_TARGET" in environment_of_pip({"PIP_TARGET": "/elsewhere"})
    False
    """
    of_pip = {name for name in environment if name.startswith("PIP_")} - set(MISLEADING)
    kept = {name: environment[name] for name in (*of_pip, "HOME", "TMPDIR") if name in environment}
    return environment_of(environment) | kept | {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run_group(
    command: list[str],
    environment: Mapping[str, str],
    timeout: float,
    folder: Path | None = None,
    given: bytes = b"",
) -> Finished:
    """Run a command as a group of its own, which never outlives this call, however the call ends.

    It is ended with its children, also with those that left the group, after `timeout`, or when it takes too much
    memory or starts too many processes. Of what it prints the last `OUTPUT_BYTES` are kept; nobody waits for children
    that hold its output open.

    Parameters
    ----------
    command : program and arguments
    environment : all of its environment
    timeout : seconds after which it is ended
    folder : to run in; default the current one
    given : what it reads on standard input: no more than a pipe holds
    """
    mark = uuid.uuid4().hex
    with _endings_raise():
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, MARK: mark},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        output = bytearray()
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(given)
                process.stdin.close()
            limit, machine = _watch(process, output, timeout)
        finally:  # Ctrl-C comes by here too: it reaches this process alone, for the group has a session of its own
            _end(process, mark)
            _read(process, output, 0)
            process.stdout.close()
        text = printable(output.decode("utf-8", errors="replace"))
        return Finished(None if limit else process.returncode, text, limit, machine)


def _watch(process: subprocess.Popen, output: bytearray, timeout: float) -> tuple[str, bool]:
    """Read along until the process has ended, or is to be ended: why, and whether it is for lack of this machine's."""
    os.set_blocking(process.stdout.fileno(), False)
    end, memory = time.monotonic() + timeout, _memory_limit()
    looked = time.monotonic()
    while process.poll() is None:
        _read(process, output, 0.05)
        now = time.monotonic()
        if now > end:
            return f"not done after {timeout:.0f} s", False
        if now - looked > WATCH_SECONDS:
            looked = now
            number, resident = _usage(process.pid)
            if number > PROCESSES:
                return f"more than {count(PROCESSES, 'process', 'processes')} and threads at once", False
            if memory is not None and resident > memory:
                return f"more than {size_in_words(memory)} of memory, which is all this machine can spare", True
    return "", False


def _read(process: subprocess.Popen, output: bytearray, seconds: float) -> None:
    """Add what has been printed so far, and keep the end of it."""
    pipe = process.stdout.fileno()
    for _ in range(64):  # who prints without end does not keep us here
        if not select.select([pipe], [], [], seconds)[0]:
            return
        chunk = os.read(pipe, 1 << 16)
        if not chunk:
            if seconds and process.poll() is None:
                time.sleep(seconds)  # it closed its output and goes on
            return
        output += chunk
        del output[:-OUTPUT_BYTES]
        seconds = 0


def _memory_limit() -> int | None:
    try:
        return int(MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError):
        return None


def _usage(root: int) -> tuple[int, int]:
    """Threads and resident bytes of a process and all that descends from it; nothing where there is no /proc."""
    facts: dict[int, tuple[int, int, int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            facts[int(stat.parent.name)] = int(fields[1]), int(fields[17]), int(fields[21])  # parent, threads, pages
    children: dict[int, list[int]] = {}
    for pid, (parent, _, _) in facts.items():
        children.setdefault(parent, []).append(pid)
    waiting, threads, pages = [root], 0, 0
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        threads += facts.get(pid, (0, 0, 0))[1]
        pages += facts.get(pid, (0, 0, 0))[2]
    return threads, pages * os.sysconf("SC_PAGE_SIZE")


def _end(process: subprocess.Popen, mark: str) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # no one is left; macOS says it with the second
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wanted = f"{MARK}={mark}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):  # daemons: in a session of their own, but of this environment
        with contextlib.suppress(OSError):
            if wanted in environ.read_bytes().split(b"\0"):
                os.kill(int(environ.parent.name), signal.SIGKILL)


@contextlib.contextmanager
def _endings_raise() -> Iterator[None]:
    """Let a signal that would end this process unwind it instead, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # signals can be handled in that one alone
        yield
        return
    before = {number: signal.getsignal(number) for number in END_SIGNALS}
    for number, handler in before.items():
        if handler is signal.SIG_DFL:  # who ignores them (nohup) or handles them himself goes on doing so
            signal.signal(number, _exit)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is signal.SIG_DFL:
                signal.signal(number, handler)


def _exit(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
