"""The words that tasks are asked in: one row a language.

Instructions and labels of ar, el, en, hi, tr, vi and zh, the English translation instruction, the language names in it
and the Alpaca wrapper (in `prompt.py`) are protocol constants, kept to the letter so that scores compare with those of
Zhu et al. 2023, arXiv 2308.04948, whose released evaluation code holds them (NJUNLP/x-LLM, commit 0bc91a2). The other
rows are ours, in the same form.
"""

from dataclasses import dataclass

from .errors import DataError
from .languages import LANGUAGES
from .records import Prompt


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
    """Return the reading-comprehension prompt, worded in `language`; only the passage may be cut."""
    words = QUESTION_WORDS.get(language)
    if words is None:
        raise DataError("no words to ask a question in this language", where=language, hint="add a row to wording.py")
    return Prompt(
        instruction=words.instruction,
        before=f"{words.context}: ",
        passage=context,
        after=f"\n{words.question}: {question}\n{words.answer}: ",
    )


def ask_translation(source: str, target: str, sentence: str) -> Prompt:
    """Return the prompt to translate `sentence` from `source` to `target` (codes); the instruction is English."""
    names = [_PROTOCOL_NAMES.get(code, LANGUAGES[code].name) for code in (source, target)]
    return Prompt(
        instruction=f"Translate the following sentences from {names[0]} to {names[1]}.",
        before="",
        passage="",
        after=sentence,
    )
