"""docs/coverage.md says what the tests show, and the tests speak of operations that the SDK has."""

from __future__ import annotations

import operations
import pytest


@pytest.mark.parametrize("operation", sorted({operation for _, operation, _ in operations.marks()}))
def test_operation_named_by_a_mark_exists_in_the_sdk(operation: str) -> None:
    assert operations.exists(operation)


def test_operation_missing_from_the_sdk_is_detected() -> None:
    assert not operations.exists("Run.fly")
    assert not operations.exists("Pipeline.fly")
    assert operations.exists("Dataset.File.from_files")
    assert operations.exists("ScriptRunConfig.arguments")


def test_coverage_document_is_up_to_date() -> None:
    assert operations.DOCUMENT.read_text() == operations.document(), "run `make coverage`"
