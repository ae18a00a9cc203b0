"""The installation and the caller: `/v1/system`, `/v1/quota`."""

from api_schemas.api_keys import QuotaReport
from api_schemas.system import System
from selvage_client.calls import Call, get


def system() -> Call[System]:
    """GET /v1/system."""
    return get("/v1/system", System.model_validate_json)


def quota() -> Call[QuotaReport]:
    """GET /v1/quota."""
    return get("/v1/quota", QuotaReport.model_validate_json)
