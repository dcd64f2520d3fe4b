"""Makes the environments, `.venv` and, for the comparison with TRL, `.venv-oracle`; sees to Qt's system libraries too.

Standard library only. Written for any Python 3.8 or newer to parse, so that a person with an old one gets a sentence
instead of a traceback.
Where packages come from is pip's own configuration (PIP_* variables, pip.conf): nothing here names an index.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
ORACLE_VENV = ROOT / ".venv-oracle"  # apart, so that TRL and what it brings never stand where the studio runs
CONSTRAINTS = ROOT / "packaging" / "constraints.txt"
OLDEST = (3, 11)
HEARTBEAT_SECONDS = 10.0


class SetupFailed(Exception):
    """Setting up cannot go on; the text says why and what to do."""


class Progress:
    """Prints one line per stage, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self._start:4.0f} s] {text}", flush=True)


def set_up(say: Callable[[str], None], extras: str = "", venv: Path | None = None) -> Path:
    """Bring `.venv`, or another environment, up to date and return its Python.

    Does nothing, quickly, when nothing has changed. `extras` are those of pyproject.toml, such as "test,oracle".
    """
    venv = VENV if venv is None else venv
    python = venv_python(venv)
    version = working_version(python)
    if version is None or version < OLDEST:
        make_venv(say, venv)
        version = working_version(python)
        if version is None:
            raise SetupFailed(f"The new environment in {venv} does not work. Delete that folder and try again.")
    gpu = has_nvidia_gpu()
    stamp = stamp_of((ROOT / "pyproject.toml").read_bytes(), CONSTRAINTS.read_bytes(), python_version=version, gpu=gpu)
    if not is_installed(venv, stamp, extras):
        install(venv, say, gpu, extras)
        stamp_path(venv, extras).write_text(stamp + "\n", encoding="ascii")  # last: a cut-off install is redone
    return python


def make_venv(say: Callable[[str], None], venv: Path) -> None:
    """A fresh environment, made by the newest fitting Python; an old or broken one there is removed first."""
    maker = find_python()
    if venv.exists() or venv.is_symlink():
        if not (venv / "pyvenv.cfg").exists() and any(venv.iterdir()):
            raise SetupFailed(f"{venv} exists and is not a Python environment. Move it away and try again.")
        say(f"Removing the environment in {venv.name}, which does not work or is too old")
        if venv.is_symlink():
            venv.unlink()
        else:
            shutil.rmtree(venv)
    say(f"Making an environment in {venv.name}")
    made = subprocess.run([*maker, "-m", "venv", str(venv)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if made.returncode != 0:
        words = made.stdout.decode("utf-8", "replace").strip()
        shutil.rmtree(venv, ignore_errors=True)  # a half-made one would be taken for a broken one next time
        if "ensurepip" in words:
            raise SetupFailed("This Python cannot make environments. On Debian or Ubuntu: apt-get install python3-venv")
        raise SetupFailed(f"Python could not make an environment: {words.splitlines()[-1] if words else 'no reason'}")


def find_python(
    version: Sequence[int] = tuple(sys.version_info[:2]), which: Callable[[str], str | None] = shutil.which
) -> list[str]:
    """The command of a Python that is new enough: the one running this, or else the newest on the path."""
    if tuple(version) >= OLDEST:
        return [sys.executable]
    for minor in (14, 13, 12, 11):
        found = which(f"python3.{minor}")
        if found and working_version(Path(found)):
            return [found]
    raise SetupFailed(
        f"Python {'.'.join(map(str, version))} is too old: Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, "
        "and there is none on the path. Install one and run this again with it."
    )


def install(venv: Path, say: Callable[[str], None], gpu: bool, extras: str) -> None:
    """torch first, then everything else, at the versions in constraints.txt."""
    python, log = venv_python(venv), venv / "setup.log"
    pinned = pinned_version(CONSTRAINTS.read_text(encoding="utf-8"), "torch")
    say(f"Installing torch {pinned}, the largest part ({'for the NVIDIA GPU' if gpu else 'no NVIDIA GPU found'})")
    run_pip(python, ["install", f"torch=={pinned}"], say, log)
    if gpu and not torch_build(python):
        # `===` compares the text: a CPU build, 2.13.0+cpu, also satisfies `==2.13.0`
        say("That torch is built for the CPU only; asking for the ordinary build")
        try:
            run_pip(python, ["install", f"torch==={pinned}"], say, log)
        except SetupFailed as failed:
            say(str(failed))
        if not torch_build(python):
            say("Going on without the GPU: `python packaging/dev.py doctor` says what to type")
    what = f".[{extras}]" if extras else "."
    say(f"Installing the studio and what it needs{', with the tools that check it' if extras else ''}")
    run_pip(python, ["install", "--constraint", str(CONSTRAINTS), "--editable", what], say, log)


def run_pip(python: Path, arguments: Sequence[str], say: Callable[[str], None], log: Path) -> None:
    """Run pip quietly, its words in `log`, its latest one told every few seconds."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    if arguments[0] == "install":
        command += ["--progress-bar", "off"]  # into a log it would be one line of digits after another
    with log.open("ab") as out:
        begin = out.tell()
        out.write(f"\n$ {' '.join(command)}\n".encode())
        out.flush()
        pip = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, env=pip_environment(os.environ))
        told, last = time.monotonic(), ""
        while pip.poll() is None:
            time.sleep(0.1)
            if time.monotonic() - told >= HEARTBEAT_SECONDS:
                told, latest = time.monotonic(), latest_doing(log)
                say(f"  ... {latest if latest not in ('', last) else 'still at it'}")
                last = latest
    if pip.returncode != 0:
        words = log.read_bytes()[begin:].decode("utf-8", "replace")
        raise SetupFailed(f"{why_pip_failed(words)} What pip said is in {log}.")


def pip_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The person's own PIP_* settings, without those that would install somewhere else than into the environment."""
    elsewhere = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONHOME"}
    return {**{k: v for k, v in environ.items() if k not in elsewhere}, "PYTHONUNBUFFERED": "1"}


def why_pip_failed(words: str) -> str:
    """One sentence about what pip said. The network comes before "no version": without one, pip ends with the other."""
    reasons = (
        (r"No space left on device|Errno 28|not enough space on the disk", "The disk is full: free about 10 GB."),
        (
            r"CERTIFICATE_VERIFY_FAILED|SSLError",
            "The package index's certificate was refused: check pip's `cert`.",
        ),
        (
            r"Temporary failure in name resolution|NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout"
            r"|Network is unreachable|Connection refused|ProxyError|getaddrinfo failed|Connection reset",
            "pip could not reach its package index: check the network, or pip's index settings.",
        ),
        (
            r"Requires-Python|requires a different Python",
            "One of the packages needs another Python: use 3.11 to 3.13.",
        ),
        (r"No matching distribution found for (\S+)", "pip found no build of {0} for this Python and system."),
        (
            r"Permission denied|Errno 13|Access is denied",
            "pip may not write into the environment: who owns its folder?",
        ),
        (r"MemoryError|Killed", "There was not enough memory to install: close other programs."),
    )
    for pattern, sentence in reasons:
        found = re.search(pattern, words)
        if found:
            return sentence.format(*found.groups())
    return "pip could not install the packages."


def see_to_qt_libraries(say: Callable[[str], None], environ: Mapping[str, str]) -> bool:
    """Install the system libraries Qt misses where we may, or say what to type. True when nothing is missing."""
    if not sys.platform.startswith("linux"):
        return True
    qt = qt_libraries()
    missing = qt.missing_libraries(qt.plugins_in_use(environ))
    if not missing:
        return True
    names = ", ".join(library.soname for library in missing)
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"Installing system libraries that Qt needs: {names}")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        with (VENV / "setup.log").open("ab") as log:
            subprocess.run(["apt-get", "update"], stdout=log, stderr=log, env=quiet)
            subprocess.run(qt.install_command(missing), stdout=log, stderr=log, env=quiet)
        # asked in a new process: the loader of this one remembers what it did not find
        probe = "import ctypes, sys; [ctypes.CDLL(name) for name in sys.argv[1:]]"
        sonames = [library.soname for library in missing]
        if subprocess.run([sys.executable, "-c", probe, *sonames], stderr=subprocess.DEVNULL).returncode == 0:
            return True
    command = " ".join(qt.install_command(missing)) or "your package manager, for the packages that hold them"
    say(f"Qt misses system libraries: {names}")
    say(f"Install them with: {'' if os.geteuid() == 0 else 'sudo '}{command}")
    return False


def qt_libraries() -> Any:
    """The engine's table of system libraries, by path: its package cannot be imported before it is installed."""
    path = ROOT / "rlhf_engine" / "qt_libraries.py"
    spec = importlib.util.spec_from_file_location("qt_libraries_by_path", path)
    if spec is None or spec.loader is None:
        raise SetupFailed(f"{path} is missing: the checkout is not complete.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def venv_python(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def working_version(python: Path) -> tuple[int, ...] | None:
    """The (major, minor, micro) of a Python that starts and has pip; None for one that does not."""
    probe = "import pip, sys; print(*sys.version_info[:3])"
    try:
        ran = subprocess.run([str(python), "-c", probe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
        return tuple(int(part) for part in ran.stdout.split()) if ran.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def torch_build(python: Path) -> str:
    """The CUDA or ROCm version torch was built for; empty for a CPU build."""
    probe = "import torch; print(torch.version.cuda or torch.version.hip or '')"
    ran = subprocess.run([str(python), "-c", probe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return ran.stdout.decode("ascii", "replace").strip()


def has_nvidia_gpu() -> bool:
    """Whether `nvidia-smi` is there and lists a GPU; one left behind by a removed driver lists none."""
    found = shutil.which("nvidia-smi")
    if not found:
        return False
    try:
        ran = subprocess.run([found, "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ran.returncode == 0 and b"GPU" in ran.stdout


def stamp_of(*files: bytes, python_version: Sequence[int], gpu: bool) -> str:
    """What an installation was made from. Line ends do not count: a checkout on Windows may change them."""
    digest = hashlib.sha256(repr((tuple(python_version), gpu)).encode())
    for content in files:
        digest.update(hashlib.sha256(content.replace(b"\r\n", b"\n")).digest())
    return digest.hexdigest()


def stamp_path(venv: Path, extras: str) -> Path:
    return venv / "-".join(["installed", *filter(None, extras.split(","))])


def is_installed(venv: Path, stamp: str, extras: str) -> bool:
    """Whether `venv` was made from this. One made for tests also runs the studio."""
    good = venv.glob(stamp_path(venv, extras).name + "*")
    return any(path.read_text(encoding="ascii").strip() == stamp for path in good)


def pinned_version(constraints: str, package: str) -> str:
    found = re.search(rf"^{re.escape(package)}==([^\s;#]+)", constraints, re.MULTILINE)
    if not found:
        raise SetupFailed(f"packaging/constraints.txt does not pin {package}.")
    return found.group(1)


def latest_doing(log: Path) -> str:
    """The latest thing pip says it is doing, in plain ASCII, short enough for a terminal."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = [line.strip() for line in file.read().decode("ascii", "ignore").splitlines()]
    doing = ("Collecting", "Downloading", "Processing", "Building", "Installing", "Attempting")
    lines = [line for line in lines if line.startswith(doing)]
    return lines[-1][:76] if lines else ""
