"""The demo website of `authsvc dev`: a client as any other, to click through and to copy from.

`relying_party.py` is what a website of yours needs; `sessions.py` and `site.py` are what it has already, in whatever
its framework calls them; `process.py` belongs to `authsvc dev`. None of it knows more of the service than its address.
"""
