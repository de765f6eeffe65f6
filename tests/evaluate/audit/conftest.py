"""What the tests of the audit begin with: evidence without a fault."""

import pytest

from weldcache.tests.listings import Columns, columns_of


@pytest.fixture
def columns() -> Columns:
    return columns_of()
