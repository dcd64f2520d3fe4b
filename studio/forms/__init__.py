"""Forms made from specs."""

from __future__ import annotations

from studio.forms.editors import Combo, Editor, FloatSpin, Spin, editor_for
from studio.forms.entries import EntriesEditor
from studio.forms.form import Fold, SpecForm
from studio.forms.pickers import LABELS, DatasetPicker, ModelPicker, PathPicker, RewardModelPicker

__all__ = [
    "LABELS",
    "Combo",
    "DatasetPicker",
    "Editor",
    "EntriesEditor",
    "FloatSpin",
    "Fold",
    "ModelPicker",
    "PathPicker",
    "RewardModelPicker",
    "SpecForm",
    "Spin",
    "editor_for",
]
