"""What py-spy has seen, by place."""

from tests.benchmarks.profile import add_up, build_table

STACKS = """\
run (authsvc/worker.py:123);Loop__run (loop.c:20313);begin (authsvc/flows/introspection.py:99);sha256 (_hashlib.so) 6
run (authsvc/worker.py:123);Loop__run (loop.c:20313);begin (authsvc/flows/introspection.py:99);write (libc.so.6) 2
run (authsvc/worker.py:123);Loop__run (loop.c:20313);uv__read (stream.c:1) 1
run (authsvc/worker.py:123);on_body (uvicorn/protocols/http/httptools_impl.py:1) 1
_worker (concurrent/futures/thread.py:81);_queue_SimpleQueue_get (_queuemodule.c.h:177);0x7f (libc.so.6) 90
""".splitlines()


def test_time_is_of_the_innermost_file_of_ours_unless_the_system_has_it() -> None:
    seen = add_up(STACKS)
    assert seen == {
        "authsvc/flows/introspection.py": 6, "system calls": 2, "uvloop and libuv": 1, "uvicorn and httptools": 1
    }  # fmt: skip
    assert build_table(seen, 50.0).splitlines()[2:4] == [
        "| authsvc/flows/introspection.py | 60 % | 30.0 |",
        "| system calls | 20 % | 10.0 |",
    ]
