"""What of an answer is thinking: by hand."""

import time

import pytest

from xlingual.thinking import (
    KNOWN_MARKERS,
    ThinkingMarkers,
    answer_start,
    find_markers,
    opens_thinking,
    split_first_thought,
    split_thinking,
)


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
        # A thought ends at the end of its own family.
        ("<think>I write </thought> THE PASSAGE</think>no", "I write </thought> THE PASSAGE", "no", True),
        ("<think>I write [/THINK] THE PASSAGE", "I write [/THINK] THE PASSAGE", "", False),
        ("[THINK]the <think> tag, THE PASSAGE[/THINK]no", "the <think> tag, THE PASSAGE", "no", True),
        ("<think>a</think>It is </thought>.", "a", "It is </thought>.", True),
        # However the tag is written, and whatever invisible stands before it.
        ("<THINK>THE PASSAGE</THINK>no", "THE PASSAGE", "no", True),
        ("<think >THE PASSAGE</think >no", "THE PASSAGE", "no", True),
        ("\ufeff<think>THE PASSAGE", "THE PASSAGE", "", False),
        ("\u200b<think>THE PASSAGE", "THE PASSAGE", "", False),
        ("◁think▷THE PASSAGE◁/think▷no", "THE PASSAGE", "no", True),
        ("<|inner_prefix|>THE PASSAGE<|inner_suffix|>no", "THE PASSAGE", "no", True),
        # What a family puts around the answer behind its thinking.
        ("<think>a</think><answer>\nParis\n</answer>", "a", "Paris", True),
        ("<think>a</think><answer>Paris", "a", "Paris", True),
        ("<think>a</think><answer></answer>", "a", "", True),
        ("<think>a</think><answer>Paris</answer> or <answer>Rome</answer>", "a",
         "<answer>Paris</answer> or <answer>Rome</answer>", True),
        ("<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>\nParis<|end_of_solution|>",
         "a", "Paris", True),
        ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>Paris<|END_RESPONSE|>", "a", "Paris", True),
        ("<|channel|>final<|message|>Paris<|return|>", "", "Paris", True),
        ("<answer>Paris</answer>", None, "<answer>Paris</answer>", True),
        # Thinking that begins after some text, and is cut off.
        ("no\n<think>THE PASSAGE", "THE PASSAGE", "no", True),
        ("<think>a</think>no <think>THE PASSAGE", "a\nTHE PASSAGE", "no", True),
        ("<think>a</think>no <thought> is a tag", "a", "no <thought> is a tag", True),
        ("The tags <think> and <thought> open it.", None, "The tags <think> and <thought> open it.", True),
        # Families with words of their own.
        ("<longcat_think>THE PASSAGE</longcat_think>\n巴黎", "THE PASSAGE", "巴黎", True),
        ("<|think|>a<|end|><|begin|>assistant<|content|>Paris<|end|>", "a<|end|><|begin|>assistant", "Paris", True),
        ("[unused16]THE PASSAGE[unused17]Paris[unused10]", "THE PASSAGE", "Paris", True),
        ("<thoughts>THE PASSAGE</thoughts>Paris", "THE PASSAGE", "Paris", True),
        ("Here are my reasoning steps:\nTHE PASSAGE\n[BEGIN FINAL RESPONSE]\nParis\n[END FINAL RESPONSE]\n<|end|>",
         "THE PASSAGE", "Paris", True),
        ("THE PASSAGE\n[BEGIN FINAL RESPONSE]\nParis", "THE PASSAGE", "Paris", True),
        ("Here is my thought process:\nTHE PASSAGE\n\nHere is my response:\nParis", "THE PASSAGE", "Paris", True),
        ("Here's my thought process: THE PASSAGE Here's my response: Paris", "THE PASSAGE", "Paris", True),
        ("Here is my thought process: it is Paris.", None, "Here is my thought process: it is Paris.", True),
        ("Here is my response: Paris", None, "Here is my response: Paris", True),
        # gpt-oss: every channel, a message that names its format, and an answer without its special tokens.
        ("<|start|>assistant<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>Paris",
         "a<|end|><|start|>assistant", "Paris", True),
        ("<|channel|>commentary<|message|>THE PASSAGE", "THE PASSAGE", "", False),
        ("<|channel|>commentary to=functions.find <|constrain|>json<|message|>{}", "{}", "", False),
        ("<|channel|>analysis<|message|>a<|channel|>final <|constrain|>json<|message|>Paris", "a", "Paris", True),
        ("analysisThe user asks THE PASSAGE.assistantfinalParis", "The user asks THE PASSAGE.", "Paris", True),
        ("analysisThe user asks THE PASSAGE", "The user asks THE PASSAGE", "", False),
        ("analysis of variance", None, "analysis of variance", True),
        # However the tags are written; the frames and ends of other families, one in the other.
        ("< think >THE PASSAGE</ think >no", "THE PASSAGE", "no", True),
        ("<think/>\nParis", "", "Paris", True),
        ("<think>a</think>\n<response>\nParis\n</response>", "a", "Paris", True),
        ("<Thought>a</Thought>\n<Output>\nParis\n</Output>", "a", "Paris", True),
        ("<REASONING>a</REASONING><SOLUTION>Paris</SOLUTION>", "a", "Paris", True),
        ("<think>a</think><answer><|begin_of_box|>Paris<|end_of_box|></answer>", "a", "Paris", True),
        ("<think>a</think><answer>Paris</answer><|im_end|>\n<|endoftext|>", "a", "Paris", True),
        # A marker in quotation marks is a word of the text.
        ("`<think>` opens it and `</think>` closes it.", None, "`<think>` opens it and `</think>` closes it.", True),
        ("<think>I close with `</think>`. THE PASSAGE", "I close with `</think>`. THE PASSAGE", "", False),
        ("<think>Then “</think>”. THE PASSAGE</think>no", "Then “</think>”. THE PASSAGE", "no", True),
        ('<think>It says "Paris"</think>"Paris"', 'It says "Paris"', '"Paris"', True),
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


def test_a_marker_of_a_model_s_own_may_share_its_start_with_another() -> None:
    markers = (ThinkingMarkers(start="<think>", end="<done>"), *KNOWN_MARKERS)
    assert split_thinking("<think>THE PASSAGE<done>no", markers).text == "no"
    assert split_thinking("<think>THE PASSAGE</think>no", markers).text == "no"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("</think>", "</think>"),
        ("<think>", "<think>"),
        ("The tag </think> closes it.", "The tag </think> closes it."),
        ("<think>Which tag?</think></think>", "</think>"),
        ("<think></think>", "<think></think>"),
    ],
)
def test_an_answer_about_markers_has_one_thought_at_most(raw: str, text: str) -> None:
    assert split_first_thought(raw).text == text


@pytest.mark.parametrize("each", KNOWN_MARKERS, ids=lambda each: each.end)
def test_every_family_in_every_form(each: ThinkingMarkers) -> None:
    closed, cut, opened = f"{each.start}a{each.end}b", f"{each.start}a", f"a{each.end}b"
    assert [split_thinking(text).text for text in (closed, opened)] == ["b", "b"]
    assert [answer_start(text) for text in (closed, opened, cut)] == [len(closed) - 1, len(opened) - 1, None]
    nested = split_thinking(f"{each.start}a{each.start}b{each.end}c{each.end}d")
    assert (nested.text, nested.finished) == ("d", True)


def test_a_marker_that_only_ends_the_thinking() -> None:
    markers = (ThinkingMarkers(start="DONE", end="DONE"), *KNOWN_MARKERS)
    assert split_thinking("THE PASSAGE DONE Paris", markers).text == "Paris"
    assert split_thinking("DONE THE PASSAGE DONE Paris", markers).text == "Paris"


def test_stop_strings_count_from_the_answer_in_its_frame() -> None:
    text = "<think>a</think>\n<answer>\nParis\n</answer>"
    start = answer_start(text)
    assert start is not None
    assert text[start:] == "\nParis\n</answer>"


def test_stop_strings_count_from_behind_the_last_thought_and_not_from_a_marker_in_the_text() -> None:
    text = "<think>a</think>The tag </thought> ends it.\nQuestion:"
    assert answer_start(text) == len("<think>a</think>")
    assert answer_start("Use `</think>`.\nQuestion:") == 0
    framed = "<think>a</think>\n<answer><|begin_of_box|>Paris<|end_of_box|></answer>"
    start = answer_start(framed)
    assert start is not None
    assert framed[start:].startswith("Paris")


def test_a_model_that_loops_over_markers_takes_no_time() -> None:
    start = time.process_time()
    for loop in ("</think>", "<think>", "a</think>b<think>", "a `</think>` ", "a <thought> b", "</think></thought>"):
        split_thinking(loop * 3_000)
        answer_start(loop * 3_000)
    assert time.process_time() - start < 10
