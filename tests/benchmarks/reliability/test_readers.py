"""Each reader refuses a damaged file by name, or reads it right: damage that hypothesis chooses, and makes as small as it can."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.reliability.fuzz import WAYS, judge
from benchmarks.reliability.readers import READERS

# Where a file is cut, how many bytes go, and what takes their place.
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 64), st.binary(max_size=16)), min_size=1, max_size=3)


@pytest.mark.parametrize("reader", READERS, ids=lambda each: each.name)
def test_reader_refuses_or_reads_right(tmp_path, reader):
    file = reader.make(tmp_path)
    content, expected = file.read_bytes(), reader.read(file)

    @settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(EDITS)
    def attempt(edits):
        damaged = content
        for place, gone, new in edits:
            start = round(place * len(damaged))
            damaged = damaged[:start] + new + damaged[start + gone :]
        assert judge(reader, file, damaged, expected) in WAYS

    attempt()
