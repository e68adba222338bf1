"""How much the service costs, held against the least that the same server can do: `python -m tests.benchmarks`.

cases      what is measured, as data             rounds    in which order, and the medians
stage      the stores and the servers            report    the table, JSON, Markdown
cast       the clients and the user              load      wrk, or the generator beside it
script     what they say                         ceilings  what the service is held against
                                                 memory    what a remembered token takes
"""
