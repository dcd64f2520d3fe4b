"""What a person prefers and where the window left off, in one JSON file; and the folders all of it lives in."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def user_folder(kind: str) -> Path:
    """The folder for "config", "data" or "log"; RLHF_STUDIO_HOME puts all of them below one folder of its own."""
    home = os.environ.get("RLHF_STUDIO_HOME", "")
    if home:
        return Path(home) / kind
    import platformdirs

    folders = platformdirs.PlatformDirs("rlhf-studio", appauthor=False)
    places = {"config": folders.user_config_path, "data": folders.user_data_path, "log": folders.user_log_path}
    return places[kind]


@dataclass
class Settings:
    """Read with `Settings.load()`, changed by assignment, kept by `save()`.

    `recent` holds project folders, newest first. `memory` is for what panels remember by themselves: splitter
    positions, drafts, the columns of a table. Its values are JSON.
    """

    theme: str = "system"
    font_scale: float = 1.0
    language: str = ""
    device: str = "auto"
    threads: int = 0
    advanced: bool = False
    remote: str = "auto"
    confirm_close: bool = True
    retrain_every: int = 0  # verdicts after which the reward model is trained again; 0 is never
    projects_folder: str = ""
    last_project: str = ""
    last_panel: str = "home"
    rail_collapsed: bool = False
    geometry: str = ""
    recent: list[str] = field(default_factory=list)
    memory: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def path(cls) -> Path:
        return user_folder("config") / "settings.json"

    @classmethod
    def load(cls) -> Settings:
        """Unknown settings and those of a wrong type keep their defaults: a newer studio may have written them."""
        try:
            body = json.loads(cls.path().read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            log.warning("The settings in %s cannot be read (%s): starting with the defaults.", cls.path(), error)
            return cls()
        settings = cls()
        if not isinstance(body, dict):
            return settings
        for f in fields(cls):
            value = body.get(f.name)
            default = getattr(settings, f.name)
            if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if type(value) is type(default):
                setattr(settings, f.name, value)
        settings.font_scale = min(2.0, max(0.8, settings.font_scale))
        settings.recent = [path for path in settings.recent if isinstance(path, str)]
        return settings

    def save(self) -> None:
        path = self.path()
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False), encoding="utf-8")
        draft.replace(path)

    def projects(self) -> Path:
        """Where new projects are put."""
        return Path(self.projects_folder) if self.projects_folder else user_folder("data") / "projects"

    def opened(self, root: Path) -> None:
        """Remember a project as the last one, and as the newest of the recent ones."""
        name = str(root)
        self.last_project = name
        self.recent = [name, *(path for path in self.recent if path != name)][:12]
        self.save()

    @property
    def is_remote(self) -> bool:
        """Whether pixels travel: then curves are drawn less often."""
        if self.remote != "auto":
            return self.remote == "on"
        return bool(os.environ.get("SSH_CONNECTION") and os.environ.get("DISPLAY"))
