"""What is wrong with the rows of a source, and what is left out of them: counted before anything is trained.

records        the records that a plan holds of it
findings       counts by kind, with the first rows of each
texts          copies, URLs, letters: one text or pair at a time
language       rows in another language, by identifier and by script
lengths        length ratios of a source of pairs
alignment      whether line N of one side translates line N of the other
source         all checks on the rows of one source
filters        which rows the filter of a recipe leaves out, and why
"""
