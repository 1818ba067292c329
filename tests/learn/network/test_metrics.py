import json

import pytest
import torch
from fitting import lines

from firsthand.errors import Failed
from firsthand.learn.network import flops
from firsthand.learn.network.metrics import Metrics
from firsthand.learn.network.model import Network, shape_for


def test_lines_after_the_checkpoint_are_taken_back_and_those_of_others_stay(tmp_path):
    path = tmp_path / "m.jsonl"
    mine, other = Metrics(path, "mine"), Metrics(path, "other")
    for update in range(1, 6):
        mine.tell({"update": update})
        other.tell({"update": update})
    mine.tell({"kept_update": 5})
    with path.open("a") as file:
        file.write('{"network": "mine", "upd')
    Metrics(path, "mine").rewind(3)
    assert [r["update"] for r in lines(path) if r["network"] == "mine"] == [1, 2, 3]
    assert [r["update"] for r in lines(path) if r["network"] == "other"] == [1, 2, 3, 4, 5]
    mine.tell({"update": 4})
    assert json.loads(path.read_text().splitlines()[-1]) == {"network": "mine", "update": 4}


def test_nothing_is_written_without_a_path():
    assert Metrics(None, "mine").tell({"update": 1}) == {"network": "mine", "update": 1}
    Metrics(None, "mine").rewind(0)


def test_metrics_that_cannot_be_written_are_told(tmp_path):
    (tmp_path / "m.jsonl").mkdir()
    with pytest.raises(Failed, match=r"m\.jsonl cannot be written"):
        Metrics(tmp_path / "m.jsonl", "mine").tell({"update": 1})


def test_the_multiplied_weights_are_those_of_the_network_without_tables_and_vectors():
    shape = shape_for(3, [9, 20], [5, 4], people=7)
    network = Network(shape)
    matrices = sum(p.numel() for p in network.parameters() if p.dim() == 2)
    looked_up = network.world.weight.numel() + network.person.weight.numel()
    assert flops.multiplied(shape) == matrices - looked_up


def test_the_peak_is_that_of_the_data_sheet_or_measured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    assert flops.peak_of(torch.device("cuda", 0), bf16=True) == 989e12
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA L40S-48C")
    assert flops.peak_of(torch.device("cuda", 0), bf16=True) == 362e12
    assert 1e8 < flops.peak_of(torch.device("cpu"), bf16=False) < 1e13
