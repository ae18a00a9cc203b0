"""The last look at a new job before its transaction ends: may this key have it?"""

from sqlalchemy.orm import Session

from domain import quotas, webhook_rules, webhooks
from service.principals import Principal
from service.state import ServiceState
from storage.catalog.tables import JobRow

# make a model version, and may promote it
NEEDS_TRAIN = ("adapt", "fit_connectivity", "fit_rectifier", "train")


def admit(session: Session, state: ServiceState, caller: Principal, job: JobRow) -> None:
    """Check scope, quota and whom it tells, for a job that was just inserted.

    Raises:
        Forbidden: the type of the job takes another scope.
        QuotaExceeded: the key has too much under way, or used too much today.
        ValidationProblem: messages do not go to the address of its webhook.
    """
    admit_type(caller, job.type)
    webhooks.check_job(webhook_rules.policy_of(state.settings), job)
    quotas.check_job(session, state.settings, job)


def admit_type(caller: Principal, job_type: str) -> None:
    """Check the scope for a type of job, also where a schedule will start it.

    Raises:
        Forbidden: the type of the job takes another scope.
    """
    if job_type in NEEDS_TRAIN:
        caller.require("train")
