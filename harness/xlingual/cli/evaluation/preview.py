"""`xlingual eval --dry-run`: what would be asked, and how it would look."""

import click

from ...planning import RunSettings, TaskPlan, plan_task
from ...plugin import Model, SupportsPromptProof, Task
from ...pricing import PriceTable, estimate_tokens, forecast, format_money
from ...question_settings import word_tasks
from ...rendered_prompts import prove_prompts
from .. import printable


def show_plans(
    model: Model, tasks: list[Task], settings: RunSettings, prices: PriceTable | None, *, as_json: bool
) -> list[dict[str, object]]:
    """Print counts, limits, the first prompt of every task and what it would cost, and return them; nothing is asked.

    With `as_json` nothing is printed: all models together make one document.
    """
    plans = [plan_task(task, model, settings) for task in word_tasks(tasks, settings.question)]
    proofs = prove_prompts(model, plans)
    documents = [_describe(model, plan, prices, proof) for plan, proof in zip(plans, proofs, strict=True)]
    if as_json:
        return documents
    for plan, document in zip(plans, documents, strict=True):
        _show_plan(plan, document, prices)
    return documents


def _show_plan(plan: TaskPlan, document: dict[str, object], prices: PriceTable | None) -> None:
    tokens = "unknown" if document["prompt_tokens"] is None else document["prompt_tokens"]
    click.echo(f"{plan.name}: {document['samples']} samples, {tokens} prompt tokens, ", nl=False)
    most = plan.protocol.max_new_tokens
    asked = f"up to {most} new tokens each" if most else "choices are scored"
    click.echo(f"{asked}, template {plan.template}, data {plan.origin}")
    click.echo(f"  {document['shots_dropped']} lose demonstrations, {document['passages_cut']} have their passage cut")
    click.echo(f"  files: {', '.join(file.path for file in plan.files)}")
    if isinstance(bill := document["cost"], dict):
        about = "" if bill["counted"] else "about "
        words = f"{about}{format_money(bill['least'])} to {format_money(bill['most'])}"
        click.echo(f"  costs {words}, by the prices of {prices.where if prices else ''}")
    for note in plan.notes:
        click.echo(f"  note: {printable(note)}")
    for name, value in (plan.model.details or {}).items():
        click.echo(printable(f"  {name}: {value}"))
    click.echo(f"  goes to: {plan.folder}")
    for message in plan.fitted[0].request.messages:
        click.echo(printable(f"  [{message.role}]\n{message.text}"))
    for choice in plan.fitted[0].request.choices or ():
        click.echo(printable(f"  [choice] {choice.before}{choice.text}"))
    if document["rendered_prompt"] is not None:
        click.echo(printable(f"  [what the model reads, special tokens shown]\n{document['rendered_prompt']}"))
    click.echo()


def _cost(plan: TaskPlan, prices: PriceTable | None, prompt_tokens: int | None) -> dict[str, object] | None:
    """Return what a run would cost at least and at most; prompts are estimated where nobody counts them."""
    if prices is None:
        return None
    requests = [fitted.request for fitted in plan.fitted]
    texts = [message.text for request in requests for message in request.messages]
    bill = forecast(
        prices.price_of(plan.model.name),
        prompt_tokens=estimate_tokens(texts) if prompt_tokens is None else prompt_tokens,
        most_new_tokens=sum(each.max_new_tokens + (each.max_thinking_tokens or 0) for each in requests),
        is_exact=prompt_tokens is not None,
    )
    return {"least": bill.least, "most": bill.most, "counted": bill.is_exact}


def _describe(model: Model, plan: TaskPlan, prices: PriceTable | None, proof: str | None) -> dict[str, object]:
    requests = [fitted.request for fitted in plan.fitted]
    counts = model.count_tokens(requests)
    prompt_tokens = None if counts is None else sum(counts)
    return {
        "task": plan.name,
        "model": plan.model.name,
        "samples": len(requests),
        "prompt_tokens": prompt_tokens,
        "cost": _cost(plan, prices, prompt_tokens),
        "max_new_tokens": plan.protocol.max_new_tokens,
        "notes": list(plan.notes),
        "details": dict(plan.model.details or {}),
        "template": plan.template,
        "origin": plan.origin.value,
        "files": [file.path for file in plan.files],
        "shots_dropped": sum(fitted.shots_dropped > 0 for fitted in plan.fitted),
        "passages_cut": sum(fitted.passage_cut > 0 for fitted in plan.fitted),
        "folder": str(plan.folder),
        "rendered_prompts": proof,
        "rendered_prompt": model.show_prompt(requests[0]) if isinstance(model, SupportsPromptProof) else None,
        "first_prompt": [f"{message.role}: {message.text}" for message in requests[0].messages],
    }
