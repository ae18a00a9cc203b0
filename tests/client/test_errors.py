from selvage_client.errors import SelvageError

from api_schemas.problems import FieldProblem, Problem


def test_the_text_says_what_is_wrong_what_to_do_and_where() -> None:
    problem = Problem(
        type="/problems/validation-error",
        title="The request is not valid",
        status=422,
        detail="Correct these fields.",
        code="validation-error",
        request_id="req_1",
        errors=[FieldProblem(pointer="/model", detail="is missing")],
    )
    error = SelvageError(problem)
    assert str(error) == (
        "The request is not valid: Correct these fields.\n  /model: is missing\n  (request req_1)"
    )
    assert error.code == "validation-error"
