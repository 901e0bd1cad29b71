"""An error, told in a sentence."""

from pipeline_config.errors import DarkroomError
from pipeline_config.settings import Settings
from tasks.disk import full_sentence, is_disk_full
from tasks.outage import away_sentence, is_away


def reason(error: BaseException) -> str:
    """What went wrong in one line: for people, for run tags, for the answer in JSON."""
    if is_disk_full(error):
        return full_sentence(Settings().home, "the disk is full")
    if isinstance(error, DarkroomError):
        return str(error)
    if is_away(error):
        return away_sentence(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def ends_all(error: BaseException | None) -> bool:
    """Whether what one model failed with would meet the others too: a full disk, a server that is away."""
    return is_disk_full(error) or is_away(error)
