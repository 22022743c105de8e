"""numbers: whether an answer has the numbers of an accepted one, in the digits of whatever script."""

import re

import xlingual as xl


@xl.register_metric("numbers")
def numbers() -> xl.Metric:
    """Answers that have the numbers of an accepted answer, and no others."""
    return xl.MeanMetric(
        name="numbers", higher_is_better=True, judge=judge, describe=lambda _language: "numbers:equal|1"
    )


def judge(example: xl.Example, text: str, _response: xl.Response) -> float | None:
    """Return 1.0 or 0.0; None where no accepted answer has a number, so that there is nothing to judge."""
    golds = [found for target in example.targets if (found := read(target))]
    return float(read(text) in golds) if golds else None


def read(text: str) -> list[int]:
    """Return the numbers of a text, 1963 for "١٩٦٣", in their order."""
    return [int(digits) for digits in re.findall(r"\d+", text)]
