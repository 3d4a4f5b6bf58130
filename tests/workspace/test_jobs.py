"""A job's spec, as it is kept with its run."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from security.conftest import examples

from azureml_local.workspace.jobs import Distribution, InputSpec, JobSpec, OutputSpec

TEXT = st.text(max_size=20)
MAYBE = st.none() | TEXT
TEXTS: Any = st.lists(TEXT, max_size=3).map(tuple)
NAMED = st.dictionaries(TEXT, TEXT, max_size=3)
INPUTS = st.builds(InputSpec, name=TEXT, dataset_id=TEXT, mechanism=TEXT, variable=TEXT, path_on_compute=MAYBE)
OUTPUTS = st.builds(
    OutputSpec, *(TEXT, TEXT, TEXT, MAYBE), overwrite=st.booleans(), globs=TEXTS, register_as=MAYBE, tags=NAMED
)
SPECS = st.builds(
    JobSpec,
    target=TEXT,
    script=MAYBE,
    arguments=TEXTS,
    command=MAYBE,
    environment=NAMED,
    variables=NAMED,
    inputs=st.lists(INPUTS, max_size=2).map(tuple),
    outputs=st.lists(OUTPUTS, max_size=2).map(tuple),
    max_seconds=st.none() | st.floats(0, 1e9),
    notes=TEXTS,
    distribution=st.none() | st.builds(Distribution, TEXT, *[st.integers(0, 99)] * 3),
)


@examples(60)
@given(SPECS)
def test_a_spec_that_was_kept_as_json_is_read_back_the_same(spec: JobSpec) -> None:
    assert JobSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
