"""Gates -> decision."""

from collections.abc import Sequence

from tasks.promote.gates import WORTH_MOVING
from tasks.records import Gate


def decide(gates: Sequence[Gate], has_champion: bool) -> tuple[str, str]:
    """The decision's word and sentence: `promoted`, `kept` or `refused`.

    A challenger that fails nothing but `worth_moving` is as good as the champion, which is kept; nothing is wrong.
    """
    failed = [gate for gate in gates if not gate.passed]
    if not failed:
        return "promoted", "every gate passed" if has_champion else "every gate passed; there was no champion yet"
    if [gate.name for gate in failed] == [WORTH_MOVING]:
        return "kept", failed[0].detail
    return "refused", "; ".join(gate.detail for gate in failed if gate.name != WORTH_MOVING)
