"""The class code in a run's name."""

import pytest

from weldcache.extract.sources.welds.run_name import class_code_of


@pytest.mark.parametrize(
    ("run", "code"),
    [
        ("09-20-22-0010-00", "00"),
        ("09-20-22-0010-11", "11"),
        ("09-20-22-0010-42", "42"),
        ("09-20-22-0010-5", None),
        ("09-20-22-0010-05_copy", None),
        ("weld-05", None),
        ("", None),
    ],
)
def test_class_code(run: str, code: str | None) -> None:
    assert class_code_of(run) == code
