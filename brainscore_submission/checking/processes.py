"""Processes that run other people's code: without credentials in their environment, and ended with their children.

What they run is in `sandbox` (the plugin) and `environment` (pip, which runs the build scripts of requirements).
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SECRET_NAME = re.compile(r"TOKEN(?!IZER)|SECRET|PASSW(OR)?D|PASSPHRASE|CREDENTIAL|_KEY$|^AWS_", re.IGNORECASE)
# These say where S3 is, not who asks; a proxy's certificate and a stand-in for S3 are named by them.
NOT_SECRET = ("AWS_CA_BUNDLE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION")
# Credentials that the libraries which fetch weights would look for outside the environment.
NO_STORED_CREDENTIALS = {
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "HF_TOKEN_PATH": os.devnull,
}
END_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass(frozen=True)
class Finished:
    """How a process ended.

    Parameters
    ----------
    code : exit code, or None when it ran out of time
    output : what it printed, errors included
    """

    code: int | None
    output: str

    @property
    def reason(self) -> str:
        """The last line it printed, where Python names the exception."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it printed nothing"

    @property
    def last_error(self) -> str:
        """What stands below the last traceback: the exception that ended it, all of its lines."""
        return self.output.rpartition("Traceback (most recent call last):")[2]


def without_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for code that is not the user's, so that it finds what the server would let it find.

    Kept away are variables whose names speak of a token, secret, password, passphrase, credential or key, and those of
    AWS save the addresses (`NOT_SECRET`); the libraries of AWS and Hugging Face are told not to look for stored
    credentials. This is no wall: files in the user's home folder can still be read, an SSH agent be asked, and a secret
    under a name that does not say so is passed on. So are pip's settings (``PIP_*``; ``pip.conf`` and ``.netrc`` are
    files), even where the address of an index holds a password: without them nothing could be installed from it.

    >>> list(without_credentials({"GITHUB_TOKEN": "x", "PIP_INDEX_URL": "https://a:b@c/simple"}))[:1]
    ['PIP_INDEX_URL']
    """
    kept = {name: value for name, value in environment.items() if _may_pass(name)}
    return kept | NO_STORED_CREDENTIALS


def _may_pass(name: str) -> bool:
    return name in NOT_SECRET or name.startswith("PIP_") or not SECRET_NAME.search(name)


def run_group(
    command: list[str], environment: Mapping[str, str], timeout: float, folder: Path | None = None
) -> Finished:
    """Run a command as a group of its own, which never outlives this call, however the call ends.

    Parameters
    ----------
    command : program and arguments
    environment : all of its environment
    timeout : seconds after which it is ended, with its children
    folder : to run in; default the current one
    """
    with _endings_raise():
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            output, _ = process.communicate()
            return Finished(None, output)
        finally:  # Ctrl-C comes by here too: it reaches this process alone, for the group has a session of its own
            _end(process)
        return Finished(process.returncode, output)


def _end(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # no one is left; macOS says it with the second
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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
