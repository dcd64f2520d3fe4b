"""Which of Qt's system libraries are missed, by which environment, and what installs them."""

from __future__ import annotations

from rlhf_engine.qt_libraries import LIBRARIES, has_display, install_command, missing_libraries, plugins_in_use

GLIB = LIBRARIES[0]


def test_only_what_the_display_needs_is_looked_for():
    asked: list[str] = []
    assert missing_libraries(plugins_in_use({}), asked.append) == []
    assert "libEGL.so.1" in asked and "libxcb-icccm.so.4" not in asked
    assert plugins_in_use({"DISPLAY": ":0"}) == ("offscreen", "xcb")
    assert plugins_in_use({"DISPLAY": ":0", "QT_QPA_PLATFORM": "offscreen"}) == ("offscreen",)
    assert plugins_in_use({"WAYLAND_DISPLAY": "wayland-0"}) == ("offscreen", "wayland")


def test_a_library_the_loader_cannot_find_is_named():
    def load(soname: str) -> None:
        if "keysyms" in soname:
            raise OSError("cannot open shared object file")

    assert [library.soname for library in missing_libraries(("offscreen", "xcb"), load)] == ["libxcb-keysyms.so.1"]


def test_apt_names_follow_the_release():
    def only_apt(name: str) -> str | None:
        return "/usr/bin/apt-get" if name == "apt-get" else None

    new = install_command([GLIB], only_apt, apt_has=lambda name: name.endswith("t64"))
    old = install_command([GLIB], only_apt, apt_has=lambda name: not name.endswith("t64"))
    unknown = install_command([GLIB], only_apt, apt_has=lambda _: False)
    assert new == ["apt-get", "install", "-y", "libglib2.0-0t64"]
    assert old == unknown == ["apt-get", "install", "-y", "libglib2.0-0"]


def test_other_package_managers_have_their_own_names_without_repeats():
    def only(manager: str):
        return lambda name: name if name == manager else None

    glx_and_egl = LIBRARIES[1:3]
    assert install_command(glx_and_egl, only("dnf")) == ["dnf", "install", "-y", "libglvnd-glx", "libglvnd-egl"]
    assert install_command(glx_and_egl, only("pacman")) == ["pacman", "-S", "--needed", "libglvnd"]
    assert install_command(glx_and_egl, only("none")) == []


def test_a_display_is_a_matter_of_the_environment_on_linux_only():
    assert not has_display({}, "linux")
    assert has_display({"DISPLAY": ":1"}, "linux")
    assert has_display({"QT_QPA_PLATFORM": "vnc"}, "linux")
    assert not has_display({"DISPLAY": ":1", "QT_QPA_PLATFORM": "offscreen"}, "linux")
    assert has_display({}, "win32") and has_display({}, "darwin")
