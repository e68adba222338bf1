"""The list of what is thrown where is true."""

import re
from pathlib import Path

import tests.faults
from tests.faults.catalog import CATALOG
from tests.faults.schedule import TWO_AT_ONCE

TESTS = Path(__file__).parents[1]
THROWN = {part for fault in CATALOG.values() for part in fault.id.split("/")} | {TWO_AT_ONCE[:6]}


def test_each_fault_is_thrown_where_the_list_says() -> None:
    listed: dict[str, str] = dict(re.findall(r"^(FLT-\d\d)  (.+)$", tests.faults.__doc__ or "", re.MULTILINE))
    assert listed.keys() >= THROWN
    for fault, places in listed.items():
        for place in places.split(", "):
            text = "".join(THROWN) if place == "catalog" else (TESTS / f"{place}.py").read_text(encoding="utf-8")
            assert fault in text, place
