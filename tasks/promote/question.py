"""What a person is shown who is asked: the challenger's figures and every gate, as Markdown."""

from tasks.promote.card import escape
from tasks.promote.card_tables import metric_rows
from tasks.promote.proposal import Proposal
from tasks.records import Decision


def tell_comparison(proposal: Proposal, waiting: Decision) -> str:
    """The question, with the comparison of challenger and champion among the gates."""
    challenger = proposal.challenger
    metrics = [f"| {row.name} | {row.value} | {row.interval} |" for row in metric_rows(challenger.metrics)]
    gates = [
        f"| {escape(gate.name)} | {'passed' if gate.passed else 'failed'} | {escape(gate.detail)} |"
        for gate in waiting.gates
    ]
    lines = [
        f"Shall **{escape(challenger.name)}** (version {waiting.version} of {escape(proposal.name)}, run "
        f"`{challenger.run_id}`) become champion? {escape(waiting.detail)}.",
        "",
        "| gate | verdict | because |",
        "|:--|:--|:--|",
        *gates,
        "",
        "| metric | value | 95 % interval |",
        "|:--|--:|--:|",
        *metrics,
    ]
    return "\n".join(lines)
