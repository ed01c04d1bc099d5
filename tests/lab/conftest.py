"""What commands of the laboratory are driven with: the command line, in an empty folder."""

from command_line import room, sfumato

__all__ = ["room", "sfumato"]
