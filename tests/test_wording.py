"""Protocol constants, to the letter: the prompts of Zhu et al. 2023 as its released code has them."""

import pytest

from xlingual.languages import LANGUAGES
from xlingual.selection import select_tasks
from xlingual.wording import QUESTION_WORDS, ask_question, ask_translation

PROTOCOL = {
    "en": ("Answer the final question with following context", "Context: C\nQuestion: Q\nAnswer: "),
    "ar": ("الرجاء الإجابة على الأسئلة بناءً على الفقرات التالية", "فقرة: C\nسؤال: Q\nإجابة: "),
    "el": ("Απαντήστε στις ερωτήσεις με βάση τις παρακάτω παραγράφους", "παράγραφος: C\nερώτηση: Q\nΑπάντηση: "),
    "hi": ("कृपया निम्नलिखित पैराग्राफ के अनुसार प्रश्नों के उत्तर दें", "अनुच्छेद: C\nसवाल: Q\nउत्तर: "),
    "tr": ("Lütfen soruları aşağıdaki paragraflara göre cevaplayınız", "paragraf: C\nsoru: Q\nCevap: "),
    "vi": ("Hãy trả lời các câu hỏi theo đoạn văn sau", "đoạn văn: C\ncâu hỏi: Q\nTrả lời: "),
    "zh": ("请根据以下段落，回答问题", "段落: C\n问题: Q\n答案: "),
}


@pytest.mark.parametrize("language", PROTOCOL)
def test_questions_are_put_as_the_protocol_has_them(language: str) -> None:
    prompt = ask_question(language, context="C", question="Q")
    assert (prompt.instruction, prompt.input) == PROTOCOL[language]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("el", "Modern Greek (1453-)"),
        ("ar", "Arabic"),
        ("hi", "Hindi"),
        ("tr", "Turkish"),
        ("vi", "Vietnamese"),
        ("zh", "Chinese"),
    ],
)
def test_translations_are_asked_for_as_the_protocol_has_them(target: str, name: str) -> None:
    prompt = ask_translation("en", target, "S")
    assert prompt.instruction == f"Translate the following sentences from English to {name}."
    assert prompt.input == "S"
    assert prompt.passage == ""


def test_every_language_of_a_question_task_has_words() -> None:
    languages = {task.spec.prompt_language for task in select_tasks(["xquad", "mlqa/*"], [])}
    assert languages == set(QUESTION_WORDS)
    assert languages <= set(LANGUAGES)
