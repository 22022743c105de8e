"""How the tokens of services look: a form with a beginning of its own is known in any text, whatever stands around it.

hf_...  sk-...  sk_live_...  ghp_...  github_pat_...  glpat-...  AKIA...  AIza...  xoxb-...  eyJ....eyJ....  PEM
"""

import re

_FORMS = (
    r"sk-[A-Za-z0-9_*.-]{8,}",  # OpenAI, Anthropic, OpenRouter, DeepSeek, LiteLLM, Langfuse
    r"hf_(?:[A-Za-z0-9]{20,}|(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{8,})",  # not hf_transfer
    r"(?:api_org|gh[pousr]|github_pat|npm|dckr_pat|glsa|phc|phx|rpa|shp(?:at|ca|pa|ss))_[A-Za-z0-9_]{12,}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{8,}",
    r"whsec_[A-Za-z0-9+/=]{12,}",
    r"gl(?:pat|ptt|dt|rt|cbt|ft|oas|soat|agent)-[A-Za-z0-9_.-]{12,}",
    r"xox[a-z]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,}",
    r"(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)(?:[A-Z0-9]{16}|(?=[A-Z]*\d)[A-Z0-9]{12,})(?![A-Za-z0-9])",
    r"ABSK[A-Za-z0-9+/=]{40,}",
    r"AIza[A-Za-z0-9_-]{30,}|GOCSPX-[A-Za-z0-9_-]{12,}|ya29\.[A-Za-z0-9_.-]{12,}|1//0[A-Za-z0-9_-]{20,}",
    r"pypi-[A-Za-z0-9_-]{16,}|dop_v1_[A-Za-z0-9]{16,}|tgp_v1_[A-Za-z0-9_-]{16,}|wandb_v1_[A-Za-z0-9_]{16,}",
    r"lsv2_(?:pt|sk)_[A-Za-z0-9_]{16,}|local-[0-9a-f]{40}",
    r"(?:gsk|nvapi|xai|pplx|csk|tvly|jina|fw|r8|e2b|vck|lin_api|ntn|dapi|pul|PMAK|NRAK|tskey|hvs|hvb|CFPAT|ATATT|key)"
    r"[_.-](?=[A-Za-z_.-]{0,60}\d)[A-Za-z0-9_.=-]{20,}",
    r"dapi[0-9a-f]{32}|secret_[A-Za-z0-9]{40,}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?",  # a JSON Web Token
    r"AGE-SECRET-KEY-1[A-Z0-9]{20,}",
)
_PRIVATE_KEY = r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.{0,6000}?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)"
_HOOKS = (
    r"(?<=hooks\.slack\.com/services/)[\w/]{12,}|(?<=/api/webhooks/)\d{5,}/[\w-]{12,}"
    r"|(?<=api\.telegram\.org/bot)\d{5,}:[\w-]{12,}"
)
"""Addresses that are secret themselves."""

TOKEN = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(_FORMS)})|{_PRIVATE_KEY}|{_HOOKS}", re.DOTALL)
"""A token of a known form."""
