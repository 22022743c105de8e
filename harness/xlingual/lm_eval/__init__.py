"""The other way round: our engine as a model of lm-eval's, and our tasks as tasks of lm-eval's.

Importing `model` or `task` registers the model `xlingual` with lm-eval. Version 0.4.13 has no entry points, so that
this is done by `xlingual lm-eval`, or by the task files of `xlingual lm-eval-path` as soon as lm-eval reads one.
"""
