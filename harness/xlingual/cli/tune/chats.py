"""What `tune plan` and `tune run` say of conversations: how they lie in rows, and what of them is not learnt."""

from ...tune.audit.records import AuditFinding
from ...tune.chats import ChatCounts
from ...tune.records import MixPlan, SourceReport


def chat_lines(plan: MixPlan) -> list[str]:
    """Return lines on the sources that hold conversations; [] without any."""
    return [line for source in plan.sources if source.chats is not None for line in _lines(source, source.chats, plan)]


def _lines(source: SourceReport, chats: ChatCounts, plan: MixPlan) -> list[str]:
    is_all_learnt = source.held_out is None and source.distinct == source.available
    learnt = "learnt" if is_all_learnt else "that can be learnt"
    said = f"{source.name}: {_count(chats.conversations, 'conversation')}, {_count(chats.answers, 'answer')} {learnt}"
    if chats.rows == chats.conversations:
        lines = [f"{said}, all of a conversation in one row"]
    else:
        lines = [
            f"{said} in {chats.rows:,} rows: the chat template changes earlier turns, so an answer has a row of its "
            "own where it would stand behind them"
        ]
    if chats.shortened:
        lines.append(
            f"{source.name}: longer than {plan.recipe.length:,} tokens: {_count(chats.shortened, 'conversation')}, of "
            f"which {_count(chats.left_out, 'answer')} at the end are not learnt, and none is cut"
        )
        lines += _examples(source, AuditFinding.SHORTENED)
    if chats.open_ended:
        lines.append(
            f"{source.name}: nothing answers the last message of {_count(chats.open_ended, 'conversation')}: it is not "
            "trained on"
        )
        lines += _examples(source, AuditFinding.OPEN_ENDED)
    return lines


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _examples(source: SourceReport, kind: AuditFinding) -> list[str]:
    counts = source.audit.counts if source.audit is not None else ()
    return [f"  {row.row}: {row.excerpt}" for count in counts if count.kind is kind for row in count.examples]
