"""What of an answer is thinking: by hand."""

import pytest

from xlingual.thinking import KNOWN_MARKERS, ThinkingMarkers, find_markers, opens_thinking, split_thinking


@pytest.mark.parametrize(
    ("raw", "thinking", "text", "finished"),
    [
        ("<think>THE PASSAGE</think>\nI do not know.", "THE PASSAGE", "I do not know.", True),
        ("  \n<think>THE PASSAGE</think>Paris", "THE PASSAGE", "Paris", True),
        ("<think>THE PASSAGE", "THE PASSAGE", "", False),
        ("\n\n<think>\n", "", "", False),
        ("so it is Paris.</think>Paris", "so it is Paris.", "Paris", True),
        ("<think>\n\n</think>\n\nParis", "", "Paris", True),
        ("<think>a</think>", "a", "", True),
        ("<think>a</think><think>b</think>Paris", "a\nb", "Paris", True),
        ("<think>a</think><think>b", "a\nb", "", False),
        ("<think>a</think>Paris<think>b</think>", "a\nb", "Paris", True),
        ("Well. <think>a</think>Paris", "a", "Well. Paris", True),
        ("a</think>b</think>Paris", "a\nb", "Paris", True),
        ("[THINK]a[/THINK]Paris", "a", "Paris", True),
        ("<|START_THINKING|>a<|END_THINKING|>Paris", "a", "Paris", True),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>Paris",
         "a<|end|><|start|>assistant", "Paris", True),
        ("<|channel>thought\na<channel|>Paris", "a", "Paris", True),
        ("<|channel>thought\na", "a", "", False),
        ("Paris", None, "Paris", True),
        (" Paris\n", None, " Paris\n", True),
        ("", None, "", True),
        ("The tag <think> opens it.", None, "The tag <think> opens it.", True),
        ("<thinker> is a word", None, "<thinker> is a word", True),
    ],
)  # fmt: skip
def test_answers_are_taken_apart(raw: str, thinking: str | None, text: str, finished: bool) -> None:
    found = split_thinking(raw)
    assert (found.thinking, found.text, found.finished) == (thinking, text, finished)


@pytest.mark.parametrize(
    ("raw", "thinking", "text", "finished"),
    [("a</think>Paris", "a", "Paris", True), ("a and b", "a and b", "", False), ("", "", "", False)],
)
def test_a_prompt_may_have_opened_the_thinking(raw: str, thinking: str, text: str, finished: bool) -> None:
    found = split_thinking(raw, opened=True)
    assert (found.thinking, found.text, found.finished) == (thinking, text, finished)


def test_markers_are_found_in_templates_and_at_the_end_of_prompts() -> None:
    think = KNOWN_MARKERS[0]
    assert find_markers("{% if x %}{{ y.split('</think>')[-1] }}{% endif %}") == think
    assert find_markers("{{ messages }}") is None
    assert opens_thinking("user: x\nassistant: <think>\n") == think
    assert opens_thinking("user: what is <think>?\nassistant:") is None


def test_markers_of_a_model_s_own() -> None:
    markers = (ThinkingMarkers(start="[[", end="]]"),)
    assert split_thinking("[[a]]Paris", markers).text == "Paris"
    assert split_thinking("<think>a</think>Paris", markers).thinking is None
