"""docs/coverage.md says what the tests show, and the tests speak of operations that the SDK has."""

from __future__ import annotations

import operations
import pytest


@pytest.mark.parametrize("operation", sorted({operation for _, operation, _ in operations.marks()}))
def test_the_sdk_has_what_a_mark_names(operation: str) -> None:
    assert operations.exists(operation)


def test_an_operation_that_the_sdk_does_not_have_is_noticed() -> None:
    assert not operations.exists("Run.fly")
    assert not operations.exists("Pipeline.fly")
    assert operations.exists("Dataset.File.from_files")
    assert operations.exists("ScriptRunConfig.arguments")


def test_the_document_is_what_would_be_written_now() -> None:
    assert operations.DOCUMENT.read_text() == operations.document(), "run `make coverage`"
