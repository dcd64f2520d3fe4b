"""Models that stay in memory from one question to the next, so that the second does not wait for loading."""

from __future__ import annotations

import gc
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

import torch

from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.load import ModelSource, dtype_for, fingerprint, load_base, resolve
from rlhf_engine.runtime.context import RunContext

KEPT = 2  # bases
ADAPTERS = 12  # on one base: a run that goes on has another adapter each time it is asked


@dataclass(frozen=True, slots=True)
class Opened:
    """A model that can answer: its backbone, and the role to act as."""

    source: ModelSource
    backbone: Backbone
    role: str


@dataclass(slots=True)
class _Base:
    backbone: Backbone
    roles: set[str] = field(default_factory=set)


Key = tuple[str, str, str]  # base, device, number format
_bases: OrderedDict[Key, _Base] = OrderedDict()  # the one used last is at the end


def open_models(refs: list[str], run: RunContext, dtype: str) -> dict[str, Opened]:
    """Each reference as a model in memory; those on the same base share it.

    Raises:
        ModelError, HubError: as `load_base` and `load_adapter` do.
    """
    sources = {ref: resolve(ref, run.project_root) for ref in refs}
    formats = {s.base: dtype_for(dtype, s.base, run.device, run.stage) for s in sources.values()}
    keys = {ref: (s.base, str(run.device), str(formats[s.base])) for ref, s in sources.items()}
    wanted = dict.fromkeys(keys.values())
    for key in list(_bases):
        others = sum(other not in wanted for other in _bases)
        if key not in wanted and others + len(wanted) > KEPT:
            _drop(key)
    try:
        for key in wanted:
            _open_base(key, run, formats[key[0]], adapters=sum(k == key for k in keys.values()))
        return {
            ref: Opened(source, _bases[keys[ref]].backbone, _role(_bases[keys[ref]], source))
            for ref, source in sources.items()
        }
    except BaseException:
        for key in wanted:  # an adapter may be half on its base
            _drop(key)
        raise


def settle() -> None:
    """Keep only the bases that were used last."""
    for key in list(_bases)[:-KEPT]:
        _drop(key)


def forget() -> None:
    """Let go of everything, for somebody who needs the memory."""
    for key in list(_bases):
        _drop(key)


def _open_base(key: Key, run: RunContext, number_format: torch.dtype, adapters: int) -> None:
    """See that the base under `key` is in memory, with room for more adapters."""
    kept = _bases.get(key)
    if kept is not None:
        replaced = fingerprint(kept.backbone.base.folder) != kept.backbone.base.fingerprint
        if replaced or len(kept.roles) + adapters > ADAPTERS:
            _drop(key)
    if key not in _bases:
        run.stage(f"Loading {key[0]}")
        _bases[key] = _Base(Backbone(load_base(key[0], run.device, number_format, run.stage)))
    _bases.move_to_end(key)


def _role(base: _Base, source: ModelSource) -> str:
    if source.folder is None:
        return PLAIN
    written = f"{source.folder}:{fingerprint(source.folder)}"
    role = f"a{hashlib.sha256(written.encode()).hexdigest()[:16]}"
    if role not in base.roles:
        load_adapter(base.backbone, role, source)
        base.roles.add(role)
    return role


def _drop(key: Key) -> None:
    if _bases.pop(key, None) is not None:
        gc.collect()  # a model and its PEFT wrapper refer to each other
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
