"""The answer to a request that became a job: always 202, with where to look and when."""

from fastapi.responses import Response


def job_headers(location: str) -> dict[str, str]:
    """Headers that tell a client how to follow the job at `location` (RFC 8288 for the stream)."""
    return {
        "Location": location,
        "Retry-After": "1",
        "Link": f'<{location}/events>; rel="monitor"',
    }


def accepted(body: str, location: str) -> Response:
    """Return the 202 for a job."""
    return Response(body, 202, job_headers(location), media_type="application/json")
