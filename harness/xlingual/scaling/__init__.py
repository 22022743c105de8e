"""How good a language gets with so much translation data, and how to split a budget of it over languages.

Points (a table of measured scores) -> LawFit -> Allocation -> a recipe that tuning runs.
"""
