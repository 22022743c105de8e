"""CoIT against English-only tuning at equal supervised tokens: two languages, two seeds."""
