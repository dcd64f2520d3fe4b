"""How consistent the annotators of a project are, and how far they agree."""

from __future__ import annotations

from studio.panels.agreement.panel import AgreementPanel

__all__ = ["AgreementPanel"]
