"""The palette, the style sheet, the fonts and the icons of the application, and switching them while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QIcon, QPalette
from PySide6.QtWidgets import QApplication, QWidget

from studio.theme.tokens import CONTROL, DARK, LIGHT, Colors

FALLBACK_FAMILIES = ("Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", "WenQuanYi Micro Hei", "Noto Color Emoji")
_ICON, _ROLE = "themeIcon", "themeRole"  # dynamic properties, so that icons can be painted again in other colours


class Theme(QObject):
    """`changed` follows every switch of colours, scale or icons; QPalette changes reach widgets by Qt's own event."""

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.choice = "system"
        self.colors: Colors = LIGHT
        self._awesome: Any = None
        self._size = 0.0
        self._icons: dict[tuple[str, str, bool], QIcon] = {}
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_changed)

    def apply(self, choice: str = "system", scale: float = 1.0) -> None:
        """Dress the whole application. `choice` is system, light or dark; `scale` multiplies the system's font size."""
        app = QApplication.instance()
        if not isinstance(app, QApplication):
            return
        self.choice = choice
        dark = choice == "dark" or (choice == "system" and system_is_dark())
        self.colors = DARK if dark else LIGHT
        if app.style().objectName() != "fusion" and not app.styleSheet():
            app.setStyle("Fusion")
        if not self._size:
            self._size = max(9.0, app.font().pointSizeF())
        font = app.font()
        font.setPointSizeF(self._size * scale)
        font.setFamilies([*dict.fromkeys([font.family(), *FALLBACK_FAMILIES])])
        app.setFont(font)
        app.setPalette(palette(self.colors))
        app.setStyleSheet(style_sheet(self.colors))
        self._icons.clear()
        self._repaint_icons()
        self.changed.emit()

    def load_icons(self) -> None:
        """Import the icon font. It takes a third of a second: call it once the window has been painted."""
        import os

        os.environ.setdefault("QT_API", "pyside6")
        import qtawesome

        self._awesome = qtawesome
        self._repaint_icons()

    def icon(self, name: str, role: str = "text") -> QIcon:
        """An icon such as "mdi6.home" in one of the palette's colours; empty until the icon font is loaded."""
        if self._awesome is None or not name:
            return QIcon()
        key = (name, role, self.colors.dark)
        if key not in self._icons:
            color = getattr(self.colors, role)
            full = name if "." in name else f"mdi6.{name}"
            self._icons[key] = self._awesome.icon(full, color=color, color_disabled=self.colors.muted)
        return self._icons[key]

    def set_icon(self, target: Any, name: str, role: str = "text") -> None:
        """Give a button or action an icon that keeps its role's colour when the theme changes."""
        target.setProperty(_ICON, name)
        target.setProperty(_ROLE, role)
        target.setIcon(self.icon(name, role))

    def _repaint_icons(self) -> None:
        if self._awesome is None:
            return
        for widget in QApplication.allWidgets():
            for target in (widget, *widget.actions()):
                name = target.property(_ICON)
                if name and hasattr(target, "setIcon"):
                    target.setIcon(self.icon(str(name), str(target.property(_ROLE))))
                elif name and hasattr(target, "refresh_icon"):
                    target.refresh_icon()

    def _system_changed(self) -> None:
        if self.choice == "system":
            QTimer.singleShot(0, self, lambda: self.apply("system"))


_theme: Theme | None = None


def theme() -> Theme:
    """The application's theme; made on first use, once there is a QApplication."""
    global _theme
    if _theme is None:
        _theme = Theme()
    return _theme


def colors() -> Colors:
    return theme().colors


def icon(name: str, role: str = "text") -> QIcon:
    return theme().icon(name, role)


def set_icon(target: Any, name: str, role: str = "text") -> None:
    theme().set_icon(target, name, role)


def mono_font(widget: QWidget | None = None) -> QFont:
    """The fixed-width font, a little smaller than the text around it."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    size = widget.font().pointSizeF() if widget else QApplication.font().pointSizeF()
    font.setPointSizeF(max(8.0, size * 0.95))
    font.setFamilies([*dict.fromkeys([font.family(), "DejaVu Sans Mono", *FALLBACK_FAMILIES])])
    return font


def system_is_dark() -> bool:
    """What the desktop asks for. Plain X11 does not say; its default palette does."""
    scheme = QGuiApplication.styleHints().colorScheme()
    if scheme != Qt.ColorScheme.Unknown:
        return scheme == Qt.ColorScheme.Dark
    return False


def palette(c: Colors) -> QPalette:
    """A QPalette of our own: QStyleHints.setColorScheme() silently does nothing on plain X11 and over ssh -X."""
    role, group = QPalette.ColorRole, QPalette.ColorGroup
    made = QPalette()
    for which, color in (
        (role.Window, c.window),
        (role.WindowText, c.text),
        (role.Base, c.surface),
        (role.AlternateBase, c.window),
        (role.Text, c.text),
        (role.Button, c.raised),
        (role.ButtonText, c.text),
        (role.BrightText, c.bad),
        (role.ToolTipBase, c.surface),
        (role.ToolTipText, c.text),
        (role.PlaceholderText, c.muted),
        (role.Highlight, c.accent),
        (role.HighlightedText, c.on_accent),
        (role.Link, c.link),
        (role.LinkVisited, c.link),
        (role.Light, c.raised),
        (role.Midlight, c.border),
        (role.Mid, c.border),
        (role.Dark, c.border),
        (role.Shadow, "#000000"),
        (role.Accent, c.accent),
    ):
        made.setColor(which, QColor(color))
    faded = QColor(c.muted)
    for which in (role.WindowText, role.Text, role.ButtonText):
        made.setColor(group.Disabled, which, faded)
    made.setColor(group.Disabled, role.Highlight, QColor(c.border))
    return made


def style_sheet(c: Colors) -> str:
    text = (Path(__file__).parent / "studio.qss").read_text(encoding="utf-8")
    values = {name: str(getattr(c, name)) for name in Colors.__slots__ if name not in ("dark", "series")}
    values["folder"] = Path(__file__).parent.as_posix()
    values["control"] = str(CONTROL - 2)  # a border of one pixel above and below
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(f"@{name}", values[name])
    return text
