"""What is masked: the tokens of services by their form, values by the names before them, passwords by their place."""

import time

import pytest

from xlingual.redaction import environment_secrets, redact_command, redact_document, redact_message

SECRET = "Zk9QwErTy7812aBcDeFgHiJkLm"
"""No form of its own: only what stands around it says that it is one."""

TOKENS = [
    f"hf_{SECRET}", f"sk-{SECRET}", f"sk-proj-{SECRET}_x-{SECRET}", f"sk-ant-api03-{SECRET}", f"sk_live_{SECRET}",
    f"ghp_{SECRET}0123456789", f"gho_{SECRET}", f"github_pat_{SECRET}_{SECRET}", "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE", f"glpat-{SECRET}", f"xoxb-123456789012-{SECRET}", "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    f"ya29.{SECRET}", f"npm_{SECRET}", f"pypi-{SECRET}", f"dop_v1_{SECRET}", f"r8_{SECRET}", f"gsk_{SECRET}{SECRET}",
    f"nvapi-{SECRET}", f"tgp_v1_{SECRET}", f"fw_{SECRET}", f"pplx-{SECRET}", f"xai-{SECRET}",
    f"SG.{SECRET}.{SECRET}{SECRET}", "local-0123456789abcdef0123456789abcdef01234567",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}{SECRET}\n{SECRET}==\n-----END RSA PRIVATE KEY-----",
]  # fmt: skip


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token[:12])
def test_a_token_of_a_known_form_is_masked_in_any_text(token: str) -> None:
    for text in (
        token,
        f"said {token}, and left",
        f"('{token}',)",
        f"x={token}&y",
        f'{{"a": "{token}"}}',
        f"my_{token}",
    ):
        for mask in (redact_document, redact_message):
            assert token not in mask(text)
            assert "***" in mask(text)
    assert redact_document(f"said {token}, and left") == "said ***, and left"


@pytest.mark.parametrize(
    "text",
    [
        "pip install hf_transfer; HF_HUB_ENABLE_HF_TRANSFER=1; hf_hub_download",
        "token: the smallest part of a text; a key: C major; password: none",
        "sk-12 and risk-averse task-oriented",
        "ASIAPACIFICECONOMICCOOPERATION met in AKIA",
        "Basic education for all, bearers of good news",
        "https://host:8000/v1/models/org/name@main and mailto:a@b",
        "prompt_tokens: 12, max_new_tokens=512, key-value pairs",
        "fw_version, key-performance-indicators-of-the-company, secret_santa_of_the_year_2026",
    ],
)
def test_plain_words_of_a_document_stay(text: str) -> None:
    assert redact_document(text) == text


NAMED = [
    "Authorization: Bearer {}", "authorization: bearer\n {}", '{{"Authorization": "Bearer {}"}}', "Bearer={}",
    "Bearer%20{}", "Authorization: Token {}", "Authorization: {}", "{{'Authorization': '{}'}}",
    "(b'authorization', b'Bearer {}')", "Proxy-Authorization: Basic {}", "x-api-key: {}", "('x-api-key', '{}')",
    "Ocp-Apim-Subscription-Key: {}", "Incorrect API key provided: {}.", "the api key {} is not valid", "key={}",
    "pwd={}", "pw={}", "pass={}", "passphrase={}", "credential={}", "sig={}", "private_key={}", "secret_key={}",
    "Cookie: session={}", "Set-Cookie: sid={}; path=/", "Authorization: Digest username=u, response={}", "token -> {}",
    "--token {}", "--api-key {}", '\\"token\\": \\"{}\\"', '"token": "two words {}"', '{{"password": "a, {}"}}',
    "password=a,{}", "password=a&{}", "token%3D{}", "http://h/x%3Fapi_key%3D{}", "/v1?api_key={}",
    "machine h login u password {}", "export MY_KEY={}", "KAGGLE_KEY={}", "GITHUB_PAT={}", "Server=h;Password={};",
    "http://u:{}@h/x", "http://{}@h/x", "http://u:a/{}@h/x", "http://u:p@{}@h/x", "http://u:p#{}@h/x",
    "http%3A%2F%2Fu%3A{}%40h%2Fx", "http%253A%252F%252Fu%253A{}%2540h", r"http:\/\/u:{}@h", "socks5h://u:{}@h:1",
    "u:{}@proxy:3128", "//u:{}@h/x", "HTTPConnectionPool(host='u:{}@h', port=80)", "git+https://u:{}@host/x",
    "postgresql://u:{}@h/db", "jdbc:postgresql://h/db?user=u&password={}",
    "https://hooks.slack.com/services/T00000000/B00000000/{}",
]  # fmt: skip


@pytest.mark.parametrize("form", NAMED)
def test_a_value_is_masked_by_what_stands_around_it(form: str) -> None:
    text = f"ValueError: {form.format(SECRET)}\nthe next line"
    assert SECRET not in redact_message(text)
    assert redact_message(text).endswith("\nthe next line")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("MY_TOKEN", "pa ss/w+rd%!", "pa ss/w+rd%!"),
        ("MY_TOKEN", "pa ss/w+rd%!", "pa%20ss%2Fw%2Brd%25%21"),
        ("MY_TOKEN", "pa ss/w+rd%!", "pa+ss%2Fw%2Brd%25%21"),
        ("MY_TOKEN", 'hush"hush\\hush', 'hush\\"hush\\\\hush'),
        ("MY_TOKEN", "/abc+defghijk", "/abc+defghijk"),
        ("MY_TOKEN", "Bearer words12345", "words12345"),
        ("OPENAI_API_KEY_2", "plainplain", "plainplain"),
        ("HF_TOKEN_READ", "plainplain", "plainplain"),
        ("SSH_PASSPHRASE", "plainplain", "plainplain"),
        ("GITHUB_PAT", "plainplain", "plainplain"),
        ("HTTPS_PROXY", "http://u:plain%2Fplain@h:3128", "plain/plain"),
        ("DATABASE_URL", "postgresql://u:plainplain@h/db", "plainplain"),
    ],
)
def test_a_secret_of_the_environment_is_masked_in_all_its_forms(
    name: str, value: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert redact_message(f"the {shown} of it") == "the *** of it"


def test_a_path_in_the_environment_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", __file__)
    assert __file__ not in environment_secrets()


@pytest.mark.parametrize(
    "words",
    [
        ["--server-arg", f"--api-key={SECRET}"],
        ["--server-arg", "--api-key", "--server-arg", SECRET],
        ["--server-arg=--api-key", f"--server-arg={SECRET}"],
        ["--token", SECRET],
        ["-m", f"lm-eval:x,pretrained=a,token={SECRET},dtype=auto"],
        ["-m", f"hf:hf_{SECRET}"],
        ["--set", f"tracking.api_key={SECRET}"],
        ["--system", f"you know that the password is: password={SECRET}"],
        ["--data", f"https://u:{SECRET}@host/data"],
        ["--extra-body", f'{{"headers": {{"Authorization": "Bearer {SECRET}"}}}}'],
    ],
)
def test_a_command_is_repeated_without_its_secrets(words: list[str]) -> None:
    assert SECRET not in redact_command(["xlingual", "eval", *words])


@pytest.mark.parametrize(
    "part",
    ["://", "%3A%2F%2F", "token=", "a:", "\\", "key-", "sk-", "https://a.b", "bearer ", "-----BEGIN PRIVATE KEY-----"],
)
def test_no_text_makes_the_masks_slow(part: str) -> None:
    text = part * (40_000 // len(part))
    before = time.process_time()
    redact_message(text)
    assert time.process_time() - before < 8
