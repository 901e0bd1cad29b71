"""Every error that Darkroom raises on purpose, with the exit code that the command ends with.

* DarkroomError: anything else that went wrong and can be told in a sentence (1)
    * ConfigurationError: the experiment file or an argument is wrong (2)
    * DataError: the data failed validation, or are not where they should be (3)
    * GateRefused: a gate refused what was explicitly asked for (4)
    * Unreachable: a server or a download cannot be reached (5)

A message names what was expected, what was received and the likely mend, in one sentence or two.
"""


class DarkroomError(Exception):
    """Something failed that can be told in a sentence."""

    exit_code = 1


class ConfigurationError(DarkroomError):
    """The experiment file or an argument is wrong."""

    exit_code = 2


class DataError(DarkroomError):
    """The data failed validation, or are not where they should be."""

    exit_code = 3


class GateRefused(DarkroomError):
    """A gate refused a promotion that was explicitly asked for."""

    exit_code = 4


class Unreachable(DarkroomError):
    """A server or a download cannot be reached."""

    exit_code = 5
