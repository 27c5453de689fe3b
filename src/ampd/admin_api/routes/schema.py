"""SQL of derived tables: is it valid, and which columns does it give?"""

from __future__ import annotations

from fastapi import APIRouter

from ampd.admin_api.bodies.schema_models import SchemaRequest, SchemasBody, schemas_body
from ampd.admin_api.errors import SQL_REFUSALS, RequestRefusedError, error_responses
from ampd.admin_api.rules import VIEWER
from ampd.admin_api.services import Services, ServicesParameter
from ampd.datasets import Reference
from ampd.datasets.names import SPECIAL_TAGS
from ampd.errors import AmpError, ErrorCode
from ampd.queries import Question, Source
from ampd.queries.question import check_aliases

router = APIRouter(prefix="/schema", tags=["schema"])

_NOT_FOUND = 404


@router.post(
    "",
    operation_id="infer_schema",
    dependencies=[VIEWER],
    responses=error_responses(
        ErrorCode.INVALID_PAYLOAD_FORMAT,
        *SQL_REFUSALS,
        ErrorCode.INVALID_MANIFEST,
        ErrorCode.MANIFEST_NOT_FOUND,
        ErrorCode.REQUEST_TOO_LARGE,
        ErrorCode.RATE_LIMITED,
        ErrorCode.SCHEMA_INFERENCE,
        ErrorCode.METADATA_DB_UNREACHABLE,
        not_found=ErrorCode.DEPENDENCY_NOT_FOUND,
    ),
)
async def infer_schema(body: SchemaRequest, services: ServicesParameter) -> SchemasBody:
    """Check queries, and tell which columns their rows have; nothing is run.

    A table is one `SELECT` over tables that it names in two parts: `alias.table` of a dependency, or `self.table`,
    another table of the request. Rows must follow the chain block by block: no `LIMIT`, `ORDER BY`, `DISTINCT`, window
    or outer join, one join at most, and groups begin with `_block_num`. `block_num()` gives a row's block. 404
    DEPENDENCY_NOT_FOUND when there is no such dataset or revision.
    """
    functions = {name: function.function() for name, function in body.functions.items()}
    Question(body.tables, {}, functions).check()
    check_aliases(body.dependencies)
    sources = {alias: await _source(services, alias, text) for alias, text in body.dependencies.items()}
    return schemas_body(await services.schemas.columns(Question(body.tables, sources, functions)))


async def _source(services: Services, alias: str, text: str) -> Source:
    reference = _reference(alias, text)
    try:
        dataset = await services.datasets.resolve(reference)
    except AmpError as error:
        if error.code is not ErrorCode.DATASET_NOT_FOUND:
            raise
        raise RequestRefusedError(
            ErrorCode.DEPENDENCY_NOT_FOUND, f"dependencies.{alias}: {error.message}", status=_NOT_FOUND
        ) from None
    manifest = await services.datasets.manifest(dataset.manifest_hash)
    return Source(str(reference), manifest.kind, manifest.network, tuple(manifest.table_names))


def _reference(alias: str, text: str) -> Reference:
    """Return a reference that means the same for ever.

    :raises AmpError: INVALID_PAYLOAD_FORMAT.
    """
    try:
        reference = Reference.parse(text)
    except AmpError as error:
        raise AmpError(ErrorCode.INVALID_PAYLOAD_FORMAT, f"dependencies.{alias}: {error.message}") from None
    if reference.revision in SPECIAL_TAGS:
        raise AmpError(
            ErrorCode.INVALID_PAYLOAD_FORMAT,
            f"dependencies.{alias}: '{reference}' can mean another manifest tomorrow: name a semantic version or a "
            f"manifest hash; 'ampctl dataset versions {reference.dataset}' lists them",
        )
    return reference
