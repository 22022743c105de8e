"""Judges: models that say whether answers are right, which of two is better, how good a translation is.

Read in this order: `prompts` (how a judge is asked), `verdicts` (what is read of its reply), `judged` (answers of
runs), `cases` (what is decided without the judge, and what it is shown), `asking` (journal and budget), `scores`,
`agreement` and `calibration` (whether to believe it), `recording` and `judgement` (all of it), `reports` and `section`
(what others read of it).
"""
