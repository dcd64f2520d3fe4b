"""What somebody has begun to write and not yet said, kept so that closing or a crash takes at most a moment of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database

from rlhf_engine.store.annotator_pages import AnnotatorReader
from rlhf_engine.store.database import transaction


class DraftKeeper(AnnotatorReader):
    """Drafts are no facts: each is written over by the next, and gone once what it was for has been said."""

    _db: Database

    def keep_draft(self, record_id: str, body: Mapping[str, Any], author: str = "") -> None:
        """Put `body` (JSON values) in the place of what was kept of this record; an empty one forgets it.

        Raises:
            StoreError: it could not be written.
        """
        told = json.dumps({key: value for key, value in body.items() if value}, ensure_ascii=False)
        with self._turn, transaction(self._db, self.path):
            if told == "{}":
                self._db.execute("DELETE FROM drafts WHERE record_id = ? AND author = ?", [record_id, author])
            else:
                self._db.execute(
                    "INSERT INTO drafts VALUES (?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET body = excluded.body, changed = excluded.changed",
                    [record_id, author, told, time.time()],
                )
