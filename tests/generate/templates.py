"""Chat templates in the styles of published models."""

from __future__ import annotations

CHATML = """\
{%- if messages[0]['role'] != 'system' %}
    {{- '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

HEADERS = """\
{% set loop_messages = messages %}
{% for message in loop_messages %}
    {% set content = '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n'
        + message.content | trim + '<|eot_id|>' %}
    {% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}
    {{- content }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

ALTERNATING = """\
{{ bos_token }}
{%- if messages[0].role == 'system' %}{{ raise_exception('no system message, please') }}{% endif %}
{%- for m in messages %}
{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('the roles must alternate') }}
{%- endif %}
{%- if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% else %}
{% generation %} {{ m['content'] }}{{ eos_token }}{% endgeneration %}{% endif %}
{%- endfor %}
"""

ODDITIES = """\
{%- macro shown(m) %}{{ m | tojson }}{{ m | tojson(indent=2) }}{% endmacro %}
{%- set state = namespace(count=0, last=none) %}
{%- for m in messages if m.content is string %}
    {%- if m.content == 'skip' %}{% continue %}{% endif %}
    {%- set state.count = state.count + 1 %}
    {%- set state.last = m.content.split('</think>')[-1].lstrip('\\n') %}
{{ shown(m) }}
    {%- if loop.index > 3 %}{% break %}{% endif %}
{% endfor %}
{{ state.count }} {{ state.last | upper | length }} {{ strftime_now('%Y')[:2] }}
{{ messages[-1:] | map(attribute='role') | join(', ') }} {{ 'a <b> & "é"' }} {{ range(3) | list }}
{% if tools is not none %}tools{% endif %}{{ unknown_word }}{{ '%s-%s' | format(1, 2) }}
"""

TURNS = """\
{{- bos_token }}
{%- for message in messages %}
{%- set role = 'model' if message.role == 'assistant' else message.role %}
{{- '<start_of_turn>' + role + '\\n' }}
{%- if role == 'model' %}
{% generation %}{{ message.content | trim }}<end_of_turn>{% endgeneration %}
{%- else %}
{{- message.content | trim + '<end_of_turn>' }}
{%- endif %}
{{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}
"""

PLAIN_HEADERS = """\
{%- for message in messages %}
{%- if message['role'] == 'assistant' %}
{{- '<|assistant|>\\n' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}
{%- else %}
{{- '<|' + message['role'] + '|>\\n' + message['content'] + eos_token }}
{%- endif %}
{{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}
"""

INSTRUCTIONS = """\
{%- set first = messages[0].content if messages[0].role == 'system' else '' %}
{%- for m in messages if m.role != 'system' %}
{%- if m.role == 'user' %}
{{- bos_token + '[INST] ' }}
{%- if loop.first and first %}{{ '<<SYS>>\\n' + first + '\\n<</SYS>>\\n\\n' }}{% endif %}
{{- m.content.strip() + ' [/INST]' }}
{%- else %}{{ ' ' }}{% generation %}{{ m.content.strip() + ' ' + eos_token }}{% endgeneration %}
{%- endif %}
{%- endfor %}
"""
