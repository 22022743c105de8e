"""The words that tasks are asked in: one row a language.

Instructions and labels of ar, el, en, hi, tr, vi and zh, the English translation instruction, the language names in it
and the Alpaca wrapper (in `prompt.py`) are protocol constants, kept to the letter so that scores compare with those of
Zhu et al. 2023, arXiv 2308.04948, whose released evaluation code holds them (NJUNLP/x-LLM, commit 0bc91a2). The other
rows are ours, in the same form.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .errors import DataError
from .languages import LANGUAGES
from .records import Corpus, Example, Prompt, Role


@dataclass(frozen=True, slots=True)
class QuestionWords:
    """How a reading-comprehension question is put in one language."""

    instruction: str
    context: str
    """Label of the passage."""
    question: str
    """Label of the question."""
    answer: str
    """The answer cue."""


QUESTION_WORDS: dict[str, QuestionWords] = {
    # Protocol constants.
    "ar": QuestionWords("الرجاء الإجابة على الأسئلة بناءً على الفقرات التالية", "فقرة", "سؤال", "إجابة"),
    "el": QuestionWords(
        "Απαντήστε στις ερωτήσεις με βάση τις παρακάτω παραγράφους", "παράγραφος", "ερώτηση", "Απάντηση"
    ),
    "en": QuestionWords("Answer the final question with following context", "Context", "Question", "Answer"),
    "hi": QuestionWords("कृपया निम्नलिखित पैराग्राफ के अनुसार प्रश्नों के उत्तर दें", "अनुच्छेद", "सवाल", "उत्तर"),
    "tr": QuestionWords("Lütfen soruları aşağıdaki paragraflara göre cevaplayınız", "paragraf", "soru", "Cevap"),
    "vi": QuestionWords("Hãy trả lời các câu hỏi theo đoạn văn sau", "đoạn văn", "câu hỏi", "Trả lời"),
    "zh": QuestionWords("请根据以下段落，回答问题", "段落", "问题", "答案"),
    # Ours.
    "de": QuestionWords("Bitte beantworte die Frage anhand des folgenden Absatzes", "Absatz", "Frage", "Antwort"),
    "es": QuestionWords("Responde a la pregunta según el siguiente párrafo", "Párrafo", "Pregunta", "Respuesta"),
    "ro": QuestionWords("Răspunde la întrebare pe baza paragrafului următor", "Paragraf", "Întrebare", "Răspuns"),
    "ru": QuestionWords("Ответьте на вопрос, опираясь на следующий абзац", "Абзац", "Вопрос", "Ответ"),
    "th": QuestionWords("โปรดตอบคำถามโดยอิงจากย่อหน้าต่อไปนี้", "ย่อหน้า", "คำถาม", "คำตอบ"),
}
"""By language code."""

_PROTOCOL_NAMES = {"el": "Modern Greek (1453-)"}
"""Language names of the protocol where they differ from ours: it takes them from ISO 639."""


def ask_question(language: str, *, context: str, question: str) -> Prompt:
    """Return the reading-comprehension prompt, worded in `language`; only the passage may be cut.

    DataError for a language without wording.
    """
    words = QUESTION_WORDS.get(language)
    if words is None:
        raise DataError("no words to ask a question in this language", where=language, hint="add a row to wording.py")
    return Prompt(
        instruction=words.instruction,
        before=f"{words.context}: ",
        passage=context,
        after=f"\n{words.question}: {question}\n{words.answer}: ",
    )


def ask_question_first(language: str, *, context: str, question: str) -> Prompt:
    """Return the same words with the question before the passage, to see how much an answer owes to their order."""
    own = ask_question(language, context=context, question=question)
    words = QUESTION_WORDS[language]
    return Prompt(
        instruction=own.instruction,
        before=f"{words.question}: {question}\n{words.context}: ",
        passage=context,
        after=f"\n{words.answer}: ",
    )


def ask_without_instruction(language: str, *, context: str, question: str) -> Prompt:
    """Return the same labels without any instruction, as base models are often asked."""
    own = ask_question(language, context=context, question=question)
    return Prompt(instruction="", before=own.before, passage=own.passage, after=own.after)


def question_wordings(language: str) -> dict[tuple[str, str], Callable[[Example], Prompt]]:
    """Return every way to ask a question on a passage in `language`: in its own words and in English.

    By language of the instruction and name of the wording; examples have the fields "context" and "question".
    """
    asks = {"own": ask_question, "question-first": ask_question_first, "no-instruction": ask_without_instruction}
    return {
        (words, name): _asking(ask, words) for words in dict.fromkeys((language, "en")) for name, ask in asks.items()
    }


def _asking(ask: Callable[..., Prompt], language: str) -> Callable[[Example], Prompt]:
    return lambda example: ask(language, context=example.fields["context"], question=example.fields["question"])


TRANSLATION_WORDS = (
    # Protocol constant, and all that evaluation ever uses.
    "Translate the following sentences from {source} to {target}.",
    # Ours: training rotates through all of them.
    "Please translate this text from {source} into {target}.",
    "What is the {target} translation of the following {source} text?",
    "Render the passage below in {target}. It is written in {source}.",
    "The input is in {source}. Give its meaning in {target}.",
    "How would a speaker of {target} say this {source} text?",
    "You are given a text in {source}; write it again in {target}.",
    "Turn this {source} sentence into fluent {target}.",
    "Translate into {target}:",
    "From {source} to {target}, please.",
    "Act as a translator: read the {source} text and answer with its {target} version only.",
    "Express the following in {target}, keeping the meaning of the {source} original.",
    "Someone who reads only {target} has to understand this {source} text. Translate it for them.",
    "Write down, in {target}, what the {source} input says.",
    "I need this in {target}. The original is {source}.",
    "Give a faithful {target} translation of the {source} text below.",
    "Convert the text from {source} to {target} without adding or leaving out anything.",
    "Put the following {source} words into {target}.",
    "Provide the {target} equivalent of this {source} passage.",
    "Here is a {source} text. What does it say in {target}?",
    "Produce a natural {target} rendering of the {source} sentence.",
    "Translate the {source} input. The output must be in {target}.",
    "Help me translate what follows: {source} is the source language, {target} the target language.",
    "Read the text in {source} and reply with the same content in {target}.",
)
"""Instructions to translate; rows of training data take them in turn."""


def ask_translation(source: str, target: str, sentence: str, number: int = 0) -> Prompt:
    """Return the prompt to translate `sentence` from `source` to `target` (codes); the instruction is English.

    `number` chooses the wording, modulo their number; evaluation always has 0.
    """
    names = [_PROTOCOL_NAMES.get(code, LANGUAGES[code].name) for code in (source, target)]
    words = TRANSLATION_WORDS[number % len(TRANSLATION_WORDS)]
    return Prompt(
        instruction=words.replace("{source}", names[0]).replace("{target}", names[1]),
        before="",
        passage="",
        after=sentence,
    )


def ask_labelled(source: str, target: str, sentence: str) -> Prompt:
    """Return the translation prompt of two labelled lines, as base models are often asked."""
    names = [_PROTOCOL_NAMES.get(code, LANGUAGES[code].name) for code in (source, target)]
    return Prompt(instruction="", before="", passage="", after=f"{names[0]}: {sentence}\n{names[1]}: ")


def ask_pair(corpus: Corpus, example: Example, number: int) -> Prompt:
    """Return the prompt for a sentence pair of a parallel corpus, whose examples have the field "source".

    DataError for a corpus without a direction.
    """
    if corpus.direction is None:
        raise DataError("has no direction", where=corpus.name, hint='parallel text needs direction = "en-zh"')
    return ask_translation(*corpus.direction, example.fields["source"], number)


def ask_instruction(_corpus: Corpus, example: Example, _number: int) -> Prompt:
    """Return the prompt for an example of instruction data, with fields "instruction" and "input"; nothing is cut.

    It may have a field "system", and earlier turns in "user 1", "assistant 1", "user 2", ...
    """
    fields = example.fields
    history: list[tuple[str, str]] = []
    while (turn := f"user {len(history) + 1}") in fields:
        history.append((fields[turn], fields[f"assistant {len(history) + 1}"]))
    return Prompt(
        instruction=fields["instruction"],
        before="",
        passage="",
        after=fields["input"],
        system=fields.get("system"),
        history=tuple(history) or None,
    )


def ask_conversation(_corpus: Corpus, example: Example, _number: int) -> Prompt:
    """Return the prompt for a conversation of one question and one answer, for templates without turns.

    Raises DataError for any other conversation: only a chat has turns.
    """
    turns = example.turns or ()
    system = turns[0].text if turns and turns[0].role is Role.SYSTEM else None
    rest = turns if system is None else turns[1:]
    if [turn.role for turn in rest] != [Role.USER, Role.ASSISTANT]:
        what = f"a conversation of {len(rest)} messages has turns, and the recipe's template has none"
        raise DataError(what, where="turns", hint='template = "chat" has them')
    return Prompt(instruction=rest[0].text, before="", passage="", after="", system=system)
