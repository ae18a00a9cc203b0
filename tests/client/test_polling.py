from itertools import islice

import pytest
from selvage_client.errors import WaitTimeout
from selvage_client.polling import Watch, pauses_seconds

from tests.client.fake_service import JOB_ID, make_job


def test_pauses_grow_from_a_tenth_of_a_second_to_one() -> None:
    pauses = list(islice(pauses_seconds(), 20))
    assert pauses[0] == 0.1
    assert pauses == sorted(pauses)
    assert pauses[-1] == 1.0


def test_only_changes_are_reported() -> None:
    watch = Watch()
    looks = [make_job("running", 1), make_job("running", 1), make_job("running", 2)]
    assert [watch.changed(job) for job in looks] == [True, False, True]


def test_patience_ends() -> None:
    now = 0.0
    watch = Watch(timeout_seconds=0.15, clock=lambda: now)
    assert watch.pause_seconds(make_job()) == 0.1
    now = 0.1
    assert watch.pause_seconds(make_job()) == pytest.approx(0.05)
    now = 0.15
    with pytest.raises(WaitTimeout, match=f"{JOB_ID} is 'running' after 0.15 s") as caught:
        watch.pause_seconds(make_job("running", 1))
    assert caught.value.job.counts.succeeded == 1


def test_a_service_that_held_its_answer_is_asked_again_at_once() -> None:
    now = 100.0
    watch = Watch(clock=lambda: now)
    assert watch.ask_seconds() == 20
    now += 20.1
    assert watch.pause_seconds(make_job()) == 0.0
    watch.ask_seconds()
    now += 0.1  # it does not know the wish: without a pause it would be asked without end
    assert watch.pause_seconds(make_job()) == 0.1


def test_the_service_is_asked_to_wait_no_longer_than_the_caller_does() -> None:
    now = 0.0
    watch = Watch(timeout_seconds=3.5, clock=lambda: now)
    assert watch.ask_seconds() == 3
    now = 3.2
    assert watch.ask_seconds() == 0
    assert watch.pause_seconds(make_job()) == 0.1
