"""What is recorded of other tools: every fault of every tool, words that follow from facts, nothing of one machine."""

import json
import re
import time
import urllib.request
from pathlib import Path

import pytest
from bench.contrast.faults import FAULTS
from bench.contrast.server import QUESTIONS, Reply, serve
from bench.contrast.titles import TITLES
from bench.contrast.words import WORDS, words_of

RECORDED = Path(__file__).resolve().parents[2] / "bench" / "contrast" / "recorded"
FILES = sorted(RECORDED.glob("*.json"))


def test_every_fault_has_a_title_and_words() -> None:
    assert list(FAULTS) == list(TITLES) == list(WORDS)
    assert "xlingual" in [path.stem for path in FILES], "our own column is measured in the same way"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_words_follow_from_what_was_measured(path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["version"]
    assert set(found["faults"]) <= set(FAULTS)
    for fault, one in found["faults"].items():
        assert one["words"] == words_of(fault, one["facts"]), f"{path.stem}: {fault}"
        assert one["title"] == TITLES[fault]
        assert one["commands"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_of_one_machine_is_recorded(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(^|[^A-Za-z.])/(work|tmp|root|home)/|127\.0\.0\.1:\d|20\d\d-\d\d-\d\d|canary", text)


def test_the_server_adds_counts_and_fails_as_told() -> None:
    def post(url: str, question: int) -> tuple[int, str]:
        body = json.dumps({"messages": [{"role": "user", "content": f"What is {question} plus 5?"}]}).encode()
        request = urllib.request.Request(f"{url}/chat/completions", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, json.load(reply)["choices"][0]["message"]["content"]
        except urllib.error.HTTPError as error:
            return error.code, ""

    def manner(question: int, before: int) -> Reply:
        return Reply(status=429 if question == 3 and not before else 200)

    with serve(manner) as server:
        assert post(server.url, 2) == (200, "7")
        assert post(server.url, 3) == (429, "")
        assert post(server.url, 3) == (200, "9"), "wrong on purpose"
        until = time.monotonic() + 30
        while not server.asked[-1].is_answered and time.monotonic() < until:  # said once the reply has been sent
            time.sleep(0.01)
        assert [(each.question, each.is_answered) for each in server.asked] == [(2, True), (3, False), (3, True)]
        assert server.answered() == {2, 3}
        right = sum(post(server.url, number)[1] == str(number + 5) for number in range(QUESTIONS))
    assert right == QUESTIONS * 3 / 4
