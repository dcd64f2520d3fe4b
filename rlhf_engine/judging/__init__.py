"""What judgements say of those who gave them: how consistent they are, what habits they have, how far they agree.

Pure functions of plain values: no torch, no Qt, no SQL.
"""
