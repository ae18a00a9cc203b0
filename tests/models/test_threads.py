import pytest
import torch

from models.threads import single_thread


def test_one_thread_meanwhile_and_as_many_as_before_in_the_end():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with single_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), single_thread():
            divmod(1, 0)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
