"""How much the service costs, held against the least that the same server can do: `python -m tests.benchmarks`.

cases      what is measured, as data             rounds    in which order, and the medians
stage      the stores, the service, its clients  report    the table, JSON, Markdown
ceilings   what it is held against               load      wrk, or the generator beside it
"""
