"""How much the service costs, held against the least that the same server can do: `python -m tests.benchmarks`.

cases      what is measured, as data             rounds    in which order, and the medians
case       what a case and a goal are            report    the table, JSON, Markdown
stage      the stores and the servers            plot      the same as a drawing
cast       the clients and the user              page      a run, put into docs/performance.md
script     what they say                         load      wrk, or the generator beside it
ceilings   what the service is held against      memory    what a remembered token takes
peers      other providers                       large     what large stores are filled with
"""
