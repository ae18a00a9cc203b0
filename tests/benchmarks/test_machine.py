from benchmarks.machine import cpu_name, machine_facts, without_place


def test_the_first_model_name_counts() -> None:
    facts = "processor : 0\nmodel name\t: A CPU @ 2.0 GHz: fast\nprocessor : 1\nmodel name\t: B\n"
    assert cpu_name(facts) == "A CPU @ 2.0 GHz: fast"


def test_other_architectures_name_no_model() -> None:
    assert cpu_name("processor : 0\nBogoMIPS : 50\n") == "unknown"


def test_a_figure_names_its_threads_and_its_command() -> None:
    facts = machine_facts(threads=3)
    assert facts["torch_threads"] == 3
    assert facts["command"].startswith("python ")
    assert len(facts["load_average"]) == 3


def test_a_command_names_no_place_of_this_machine() -> None:
    assert without_place("/data/cache") == "cache"
    assert without_place("--out=/data/cache") == "--out=cache"
    assert without_place("benchmarks/results") == "benchmarks/results"
    assert without_place("--seed") == "--seed"
