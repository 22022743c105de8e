"""Chat templates of many kinds, in the manner of model families and written for these tests."""

CHATML = """\
{%- for message in messages %}
    {{- '<|im_start|>' ~ message.role ~ '\n' ~ message.content ~ '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""
DEFAULT_SYSTEM = """\
{%- if messages[0].role != 'system' %}
    {{- '<|im_start|>system\nYou help. Today is ' ~ strftime_now('%Y') ~ '.<|im_end|>\n' }}
{%- endif %}
""" + CHATML  # fmt: skip
LLAMA = """\
{{- '<s>' }}
{%- for message in messages %}
    {{- '<|head|>' ~ message.role ~ '<|/head|>\n\n' ~ message.content | trim ~ '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|head|>assistant<|/head|>\n\n' }}{%- endif %}"""
GEMMA = """\
{{- '<s>' }}
{%- for message in messages %}
    {%- if message.role == 'system' %}{{- raise_exception('there is no system role') }}{%- endif %}
    {%- if (message.role == 'user') != (loop.index % 2 == 1) %}
        {{- raise_exception('user and assistant must take turns') }}
    {%- endif %}
    {{- '<turn>' ~ ('model' if message.role == 'assistant' else 'user') ~ '\n' ~ message.content | trim ~ '</turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<turn>model\n' }}{%- endif %}"""
MISTRAL = """\
{{- '<s>' }}
{%- set first = messages[0].content ~ '\n\n' if messages[0].role == 'system' else '' %}
{%- set users = namespace(seen=0) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- set users.seen = users.seen + 1 %}
        {{- '[INST] ' ~ (first if users.seen == 1 else '') ~ message.content ~ ' [/INST]' }}
    {%- elif message.role == 'assistant' %}
        {{- ' ' ~ message.content ~ '</s>' }}
    {%- endif %}
{%- endfor %}"""
THINKS = """\
{%- set last = namespace(question=-1) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}{%- set last.question = loop.index0 %}{%- endif %}
{%- endfor %}
{%- for message in messages %}
    {{- '<|im_start|>' ~ message.role ~ '\n' }}
    {%- if message.role == 'assistant' %}
        {%- set parts = message.content.split('</think>') %}
        {%- set thought = parts[0].split('<think>')[-1].strip('\n') if parts | length > 1 else '' %}
        {%- if loop.index0 > last.question and (loop.last or thought) %}
            {{- '<think>\n' ~ thought ~ '\n</think>\n\n' }}
        {%- endif %}
        {{- parts[-1].lstrip('\n') ~ '<|im_end|>\n' }}
    {%- else %}
        {{- message.content ~ '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and not enable_thinking %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}
{%- endif %}"""
MARKED = """\
{%- for message in messages %}
    {{- '<|im_start|>' ~ message.role ~ '\n' }}
    {%- if message.role == 'assistant' %}
        {%- generation %}{{- message.content ~ '<|im_end|>\n' }}{%- endgeneration %}
    {%- else %}
        {{- message.content ~ '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""
NO_LAST = (
    """\
{%- if messages[-1].role == 'assistant' %}{{- raise_exception('the user speaks last') }}{%- endif %}
"""
    + CHATML
)
ENDS_OTHERWISE = """\
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set end = '<|im_end|>' if loop.last and not add_generation_prompt else '<|eot|>' %}
        {{- '<|head|>assistant<|/head|>' ~ message.content ~ end }}
    {%- else %}{{- '<|head|>' ~ message.role ~ '<|/head|>' ~ message.content ~ '<|eot|>' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|head|>assistant' }}{%- endif %}"""  # fmt: skip
TEXT_ONLY = """\
{%- for message in messages %}{{- '### ' ~ message.role ~ ':\n' ~ message.content ~ '\n\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- '### assistant:\n' }}{%- endif %}"""
SYSTEM_LAST = """\
{{- '<s>' }}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- set system = messages[0].content ~ '\n\n' if loop.last and messages[0].role == 'system' else '' %}
        {{- '[INST] ' ~ system ~ message.content ~ '[/INST]' }}
    {%- elif message.role == 'assistant' %}
        {{- ' ' ~ message.content ~ '</s>' }}
    {%- endif %}
{%- endfor %}"""
