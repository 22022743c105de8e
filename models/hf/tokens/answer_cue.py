"""What a chat template puts before an answer, where it has no generation prompt.

    {% for m in messages %}<|im_start|>{{ m.role }}\\n{{ m.content }}<|im_end|>\\n{% endfor %}

puts "<|im_start|>assistant\\n" there, and does not know `add_generation_prompt`. A model that is asked without it has
to begin the turn by itself: its answer is "assistant\\nParis".
"""

from xlingual.errors import ModelError
from xlingual.records import Failure
from xlingual.text import is_blank
from xlingual.thinking import find_end, find_start

from .chat_template import PROBE, Render, render_messages
from .turn_end import ANSWER, QUESTION, REPLY

GENERATION_PROMPT = "add_generation_prompt"


def find_answer_cue(template: str, render: Render) -> str:
    """Return what stands between a question and its answer in a chat, "" where the template has a generation prompt.

    It is "" as well where nothing but white space stands there, as with templates that end a question with "[/INST]",
    and where it holds thinking: that is the model's to say.
    """
    if GENERATION_PROMPT in template:
        return ""
    try:
        asked, answered = render_messages(render, [QUESTION]), render_messages(render, [QUESTION, REPLY])
    except ModelError:
        return ""
    if isinstance(asked, Failure) or isinstance(answered, Failure) or not answered.startswith(asked):
        return ""
    cue, answer, _ = answered[len(asked) :].partition(ANSWER)
    says_more = find_start(cue) or find_end(cue) or PROBE in cue
    return "" if not answer or is_blank(cue) or says_more else cue.rstrip(" ")
