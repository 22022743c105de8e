"""The letter of a choice: the forms that models answer in, and the letters that are words."""

import pytest

from xlingual.extraction import extract_answer


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        # The whole answer.
        ("B", "B"), ("b", "B"), ("(B)", "B"), ("(b)", "B"), ("B.", "B"), ("B)", "B"), (" **B** ", "B"), ("[B]", "B"),
        ("Ｂ", "B"), ("（Ｂ）", "B"), ("Ⓑ", "B"), (r"$\boxed{D}$", "D"), (r"\boxed{\text{D}}", "D"), ("a", "A"),
        # After an answer word; the last one counts.
        ("Answer: B", "B"), ("**Answer:** C", "C"), ("answer is (b)", "B"), ("The answer is b.", "B"),
        ("The answer is **B**", "B"), ("The correct answer is (C), because (A) is wrong.", "C"), ("Option A", "A"),
        ("The correct answer to the question is option (D).", "D"), ("Answer:\nB", "B"), ("Answer:\n\n(B) foo", "B"),
        ("A. x\nB. y\nC. z\nAnswer: C", "C"), ("My first answer was A. The answer is D.", "D"),
        ("The answer is A.", "A"), ("The answer is A because it barks", "A"), ("Answer: A, the dog", "A"),
        ("Answer: A, B is wrong", None),
        # Lines that begin with a label.
        ("(B) Paris", "B"), ("B. Paris", "B"), ("D) all of them", "D"), ("C: the third", "C"),
        ("It says so in the text.\nB. Paris", "B"), ("- **B.** Paris", "B"),
        # The first or the last word.
        ("B is right", "B"), ("C, since it is", "C"), ("I think B", "B"), ("A because it barks", "A"),
        ("That must be (B), of course", "B"),
        # A letter that is a word, or part of one, is no label.
        ("A dog is an animal.", None), ("The answer is a dog.", None), ("Answer: A dog", None), ("I think a cat", None),
        ("vitamins", None), ("U.S.A.", None), ("Neither", None), ("", None), ("E", None), ("A-frame", None),
        ("A) Paris", "A"), ("a) Paris", "A"), ("The answer is not A but B", "B"), ("Since A is wrong, B.", None),
        # Several are none.
        ("The answers are A and B", None), ("Answer: A, B", None), ("Answer: (A) or (C)", None),
        ("It could be A or B", None), ("both (A) and (B)", None), ("A. x\nB. y\nC. z", None),
    ],
)  # fmt: skip
def test_english(text: str, letter: str | None) -> None:
    assert extract_answer("choice_letter", "en", text) == letter


@pytest.mark.parametrize(
    ("language", "text", "letter"),
    [
        ("ar", "ب", "B"), ("ar", "أ", "A"), ("ar", "ا", "A"), ("ar", "الجواب: ب", "B"), ("ar", "الإجابة: (ج)", "C"),
        ("ar", "الإجابة الصحيحة هي د.", "D"), ("ar", "الإجابة: B", "B"), ("ar", "بيت", None),
        ("zh", "答案是乙", "B"), ("zh", "答案：B", "B"), ("zh", "选B。", "B"), ("zh", "选项C是正确的", "C"),
        ("zh", "Ｄ", "D"), ("ja", "答えはCです。", "C"), ("ko", "정답은 B입니다.", "B"), ("th", "คำตอบคือ B", "B"),
        ("hi", "उत्तर: ख", "B"), ("hi", "सही उत्तर (C) है", "C"), ("bn", "উত্তর: গ", "C"),
        ("el", "Απάντηση: Γ", "C"), ("el", "Α", "A"), ("el", "Η σωστή απάντηση είναι το Δ.", "D"),
        ("ru", "Ответ: Б", "B"), ("ru", "Ответ: Г.", "D"), ("ru", "А потом пришёл он", None), ("ru", "Ответ: B", "B"),
        ("tr", "Doğru cevap B şıkkıdır.", "B"), ("tr", "Cevap: A", "A"), ("vi", "Đáp án đúng là D", "D"),
        ("es", "A mi juicio, la respuesta es C", "C"), ("pt", "A resposta é B", "B"), ("hu", "A válasz: C", "C"),
        ("de", "Die Antwort lautet (B).", "B"), ("fr", "La réponse est la C.", "C"), ("pl", "Odpowiedź: A.", "A"),
    ],
)  # fmt: skip
def test_languages(language: str, text: str, letter: str | None) -> None:
    assert extract_answer("choice_letter", language, text) == letter


@pytest.mark.parametrize(
    ("language", "text", "letter"),
    [
        # An answer that begins with its label goes on to speak of the others.
        ("en", "B\n\nExplanation: A is wrong because C.", "B"), ("en", "(B)\n\nOption A: no. Option C: no.", "B"),
        ("en", "B. Paris\n\nExplanation: option A is a village, and option C is in Spain.", "B"),
        ("zh", "B\n解析：选项A错误，选项C错误。", "B"), ("zh", "C．巴黎\n选项A是村庄", "C"),
        ("ar", "ج\nالشرح: الخيار أ خطأ", "C"), ("hi", "(ग) पेरिस\nविकल्प (क) गलत है", "C"),
        ("el", "Β\n\nΕξήγηση: η επιλογή Α είναι λάθος.", "B"),
        ("en", "A. no\nB. yes\nC. no\nOption B", "B"), ("en", "A\nB", None),
        ("en", "I thought of A.\nThe answer: B", "B"),
        # What the answer is not, in many languages.
        ("en", "The answer is neither A nor B.", None), ("en", "The right choice is C; the answer isn't A", "C"),
        ("en", "The answer can’t be A. It's B.", "B"), ("en", "The answer is not option A, it is D.", "D"),
        ("de", "Weder A noch C, sondern B.", "B"), ("fr", "Ce n'est pas la A, c'est la B.", "B"),
        ("fr", "Ni A ni B : C.", "C"), ("es", "La respuesta no es la opción A, sino la C.", "C"),
        ("it", "Non è A, è B.", "B"), ("pl", "Nie A, tylko B.", "B"), ("ru", "Ни A, ни B, а D.", "D"),
        ("el", "Η απάντηση δεν είναι το Α αλλά το Γ.", "C"), ("tr", "Cevap A değil, C.", "C"),
        ("hi", "उत्तर A नहीं बल्कि B है", "B"), ("ko", "A가 아니라 B입니다.", "B"),
        ("ja", "答えはAではありません。Cです。", "C"),
        ("vi", "Đáp án không phải là A mà là C", "C"), ("zh", "并非A，应选C", "C"), ("th", "ไม่ใช่ ก แต่เป็น ข", "B"),
        ("ar", "الإجابة الصحيحة ليست أ بل ب", "B"), ("sw", "Jibu ni C", "C"),
        # "A" before a word of another script, or in a language that has no such word, is as much a label as "B".
        ("zh", "答案：A 巴黎", "A"), ("hi", "उत्तर: A पेरिस", "A"), ("ar", "الإجابة: A باريس", "A"),
        ("ru", "Ответ: A Париж", "A"),
        ("el", "Απάντηση: A Παρίσι", "A"), ("th", "คำตอบ A ถูกต้อง", "A"), ("ja", "答え：A パリ", "A"),
        ("tr", "Doğru cevap: A şıkkı", "A"), ("vi", "Đáp án A phù hợp nhất", "A"),
        ("de", "Antwort A passt am besten.", "A"),
        ("tr", "A dog is here", None), ("hi", "A dog is an animal", None), ("ru", "Ответ: А Париж", "A"),
        ("es", "Respuesta: A París", None), ("de", "Answer: A dog", None),
        # Letters of other alphabets, stretched ones, and those that no space sets off.
        ("en", "𝐁", "B"), ("en", "🅱", "B"), ("en", "ⓑ", "B"), ("ar", "بـ", "B"), ("th", "คำตอบคือข", "B"),
        ("th", "ข้อค", "C"), ("th", "คำตอบคือของเก่า", None), ("ko", "정답은 나입니다", "B"),
        ("ko", "나는 모릅니다", None),
        ("de", "A ist richtig.", "A"), ("vi", "A là đúng.", "A"),
    ],
)  # fmt: skip
def test_what_is_said_beside_the_label(language: str, text: str, letter: str | None) -> None:
    assert extract_answer("choice_letter", language, text) == letter


@pytest.mark.parametrize(
    ("labels", "language", "text", "label"),
    [
        ("甲乙丙丁", "zh", "答案是丙。", "丙"),
        ("АБВГ", "ru", "Ответ: В", "В"),
        ("АБВГ", "ru", "ответ в", "В"),
        ("ΑΒΓΔ", "el", "(γ)", "Γ"),
        ("أبجد", "ar", "(ا)", "أ"),
        ("1234", "en", "The answer is 3.", "3"),
        ("1234", "en", "It has 12 legs", None),
        ("ABCDEFGHIJ", "en", "The answer is (I).", "I"),
        ("ABCDEFGHIJ", "en", "I think so", None),
        ("CDAB", "en", "Answer: D", "D"),
        ("1234", "ko", "정답: ②", "2"),
    ],
)
def test_labels_of_the_task(labels: str, language: str, text: str, label: str | None) -> None:
    assert extract_answer(f"choice_letter:{labels}", language, text) == label
    assert extract_answer("choice_letter", language, text, tuple(labels)) == label
