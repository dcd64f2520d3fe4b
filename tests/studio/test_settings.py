"""Settings survive, and a file that nobody can read does no harm."""

from __future__ import annotations

from pathlib import Path

from studio.settings import Settings, user_folder


def test_settings_come_back_as_they_were_left(studio_home: Path) -> None:
    settings = Settings.load()
    settings.theme, settings.font_scale, settings.memory["train/split"] = "dark", 1.2, [300, 500]
    settings.save()
    again = Settings.load()
    assert (again.theme, again.font_scale, again.memory) == ("dark", 1.2, {"train/split": [300, 500]})
    assert not list(studio_home.rglob("*.tmp"))


def test_a_damaged_file_gives_the_defaults(studio_home: Path) -> None:
    path = Settings.path()
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"theme": 3, "font_scale": 900, "recent": ["/a", 4], "unknown": 1}', "\xff"):
        path.write_text(text, encoding="latin-1")
        settings = Settings.load()
        assert settings.theme == "system"
        assert 0.8 <= settings.font_scale <= 2.0
        assert all(isinstance(entry, str) for entry in settings.recent)


def test_the_newest_project_is_first_and_listed_once(studio_home: Path) -> None:
    settings = Settings()
    for name in ("/a", "/b", "/a"):
        settings.opened(Path(name))
    assert settings.recent == ["/a", "/b"] and settings.last_project == "/a"


def test_one_variable_moves_every_folder(studio_home: Path) -> None:
    assert {user_folder(kind).parent for kind in ("config", "data", "log")} == {studio_home}
