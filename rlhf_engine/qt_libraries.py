"""The system libraries that Qt loads on Linux, and what to type where one is missing.

Standard library only and no import from this package: `packaging/dev.py` loads it by path before anything is installed.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple


class QtLibrary(NamedTuple):
    """One shared library. `apt` may hold several names: Debian 13 and Ubuntu 24.04 renamed some packages."""

    soname: str
    plugin: str  # the Qt platform that needs it: offscreen (every one), xcb, wayland
    apt: tuple[str, ...]
    dnf: str
    pacman: str


# Found by installing into a bare Debian 12 one at a time until Qt opened a window. Qt's own message always blames
# libxcb-cursor0, even where it is icccm or keysyms that is missing, and then aborts without a traceback.
LIBRARIES = (
    QtLibrary("libglib-2.0.so.0", "offscreen", ("libglib2.0-0t64", "libglib2.0-0"), "glib2", "glib2"),
    QtLibrary("libGL.so.1", "offscreen", ("libgl1",), "libglvnd-glx", "libglvnd"),
    QtLibrary("libEGL.so.1", "offscreen", ("libegl1",), "libglvnd-egl", "libglvnd"),
    QtLibrary("libxkbcommon.so.0", "offscreen", ("libxkbcommon0",), "libxkbcommon", "libxkbcommon"),
    QtLibrary("libdbus-1.so.3", "offscreen", ("libdbus-1-3",), "dbus-libs", "dbus"),
    QtLibrary("libfontconfig.so.1", "offscreen", ("libfontconfig1",), "fontconfig", "fontconfig"),
    QtLibrary("libxcb-cursor.so.0", "xcb", ("libxcb-cursor0",), "xcb-util-cursor", "xcb-util-cursor"),
    QtLibrary("libxcb-icccm.so.4", "xcb", ("libxcb-icccm4",), "xcb-util-wm", "xcb-util-wm"),
    QtLibrary("libxcb-keysyms.so.1", "xcb", ("libxcb-keysyms1",), "xcb-util-keysyms", "xcb-util-keysyms"),
    QtLibrary("libxcb-shape.so.0", "xcb", ("libxcb-shape0",), "libxcb", "libxcb"),
    QtLibrary("libxcb-xkb.so.1", "xcb", ("libxcb-xkb1",), "libxcb", "libxcb"),
    QtLibrary("libxkbcommon-x11.so.0", "xcb", ("libxkbcommon-x11-0",), "libxkbcommon-x11", "libxkbcommon-x11"),
    QtLibrary("libwayland-cursor.so.0", "wayland", ("libwayland-cursor0",), "libwayland-cursor", "wayland"),
)


def has_display(environ: Mapping[str, str], platform: str) -> bool:
    """Whether a person would see a window, as far as the environment tells. A Qt platform chosen by hand decides."""
    if not platform.startswith("linux"):
        return True
    chosen = environ.get("QT_QPA_PLATFORM", "")
    if chosen:
        return not chosen.startswith(("offscreen", "minimal"))
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def plugins_in_use(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The Qt platforms that this environment will make Qt load; what every platform needs counts as offscreen."""
    chosen = environ.get("QT_QPA_PLATFORM", "")
    if chosen:
        return ("offscreen", *(name for name in ("xcb", "wayland") if name in chosen))
    wayland = ("wayland",) if environ.get("WAYLAND_DISPLAY") else ()
    return ("offscreen", *(("xcb",) if environ.get("DISPLAY") else ()), *wayland)


def missing_libraries(plugins: Iterable[str], load: Callable[[str], object] = ctypes.CDLL) -> list[QtLibrary]:
    """The libraries that `plugins` need and the loader cannot find. Call it on Linux only."""
    wanted = set(plugins)
    missing = []
    for library in LIBRARIES:
        if library.plugin in wanted:
            try:
                load(library.soname)
            except OSError:
                missing.append(library)
    return missing


def install_command(
    missing: Iterable[QtLibrary],
    which: Callable[[str], str | None] = shutil.which,
    apt_has: Callable[[str], bool] | None = None,
) -> list[str]:
    """The command that installs what is missing, without sudo; [] where no known package manager is on the path."""
    apt_has = apt_has or _apt_has
    libraries = list(missing)
    if which("apt-get"):
        return ["apt-get", "install", "-y", *_unique(_apt_name(library, apt_has) for library in libraries)]
    if which("dnf"):
        return ["dnf", "install", "-y", *_unique(library.dnf for library in libraries)]
    if which("pacman"):
        return ["pacman", "-S", "--needed", *_unique(library.pacman for library in libraries)]
    return []


def _apt_name(library: QtLibrary, apt_has: Callable[[str], bool]) -> str:
    """The first name this release knows; the oldest one where it knows none (its lists were never fetched)."""
    if len(library.apt) == 1:
        return library.apt[0]
    return next((name for name in library.apt if apt_has(name)), library.apt[-1])


def _apt_has(package: str) -> bool:
    try:
        shown = subprocess.run(["apt-cache", "show", "--no-all-versions", package], capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return shown.returncode == 0 and bool(shown.stdout.strip())


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
