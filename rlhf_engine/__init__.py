"""RLHF on one machine: a library and a command, `rlhf`. It knows nothing of any window."""

__version__ = "0.1.0"
