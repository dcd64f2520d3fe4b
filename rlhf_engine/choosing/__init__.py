"""Which pair a person should judge next, what their verdicts say of a run, and how many more of them are needed.

Pure functions of texts, scores and verdicts: no torch, no store and no window here.
"""
