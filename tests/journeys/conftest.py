"""What every journey drives: the command line, in an empty folder."""

from command_line import render, room, sfumato

__all__ = ["render", "room", "sfumato"]
