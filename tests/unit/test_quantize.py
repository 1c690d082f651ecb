"""The graph in 8-bit integers: the same from the same weights, nearly the same strings, and the difference measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from charwgan import cli
from model.alphabet import UNKNOWN, Alphabet
from model.artifact import Artifact
from model.engines import INT8_GRAPH, Int8Sampler
from model.sampler import Sampler
from model.text import Generator
from training.card import model_card
from training.export import generator_graph
from training.quantize import CALIBRATION_SEED, SAMPLES, compare, quantize, samples_of

ALPHABET = Alphabet("abcdefghijklmnopqrstuvwxyz", 8)


@pytest.fixture(scope="module")
def graph() -> bytes:
    torch.manual_seed(1)
    generator = Generator(length=8, size=ALPHABET.size, width=8, depth=2, kernel=3, latent=16)
    torch.nn.init.normal_(generator.output.weight, std=2.0)
    return generator_graph(generator.eval())


@pytest.fixture(scope="module")
def quantized(graph: bytes) -> bytes:
    return quantize(graph, 16)


def layers(graph: bytes) -> dict[str, tuple[str, str]]:
    """Of each layer with weights: what it is, and the type of its weights."""
    model = onnx.load_from_string(graph)
    types = {weights.name: onnx.TensorProto.DataType.Name(weights.data_type) for weights in model.graph.initializer}
    # Weights in integers come to a layer by a node that makes numbers of them.
    source = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    return {
        node.input[1].removesuffix("_DequantizeLinear_Output"): (
            node.op_type,
            types[source.get(node.input[1], node.input[1])],
        )
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm")
    }


def test_the_blocks_are_integers_and_the_first_and_last_layer_are_not(graph: bytes, quantized: bytes) -> None:
    assert {types for _, types in layers(graph).values()} == {"FLOAT"}
    assert layers(quantized) == {
        "generator.expand.weight": ("Gemm", "FLOAT"),
        "generator.blocks.0.branch.1.weight": ("Conv", "INT8"),
        "generator.blocks.0.branch.3.weight": ("Conv", "INT8"),
        "generator.blocks.1.branch.1.weight": ("Conv", "INT8"),
        "generator.blocks.1.branch.3.weight": ("Conv", "INT8"),
        "generator.output.weight": ("Conv", "FLOAT"),
    }


def test_weights_have_seven_bits_so_that_no_processor_overflows(quantized: bytes) -> None:
    weights = [
        onnx.numpy_helper.to_array(each)
        for each in onnx.load_from_string(quantized).graph.initializer
        if each.data_type == onnx.TensorProto.INT8 and each.name.endswith("weight_quantized")
    ]
    assert len(weights) == 4
    assert all(abs(each.astype(int)).max() <= 64 for each in weights)


def test_the_same_weights_give_the_same_graph(graph: bytes, quantized: bytes) -> None:
    assert quantize(graph, 16) == quantized


def test_quantisation_is_silent(
    graph: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        quantize(graph, 16)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_no_string_of_a_user_is_one_of_the_calibration() -> None:
    assert CALIBRATION_SEED > 2**53


def test_the_same_graph_changes_no_string(graph: bytes) -> None:
    measured = compare(graph, graph, ALPHABET, 16, n=300)
    assert (measured["changed"], measured["js4"]) == (0, 0)
    assert measured["unique"]["fp32"] == measured["unique"]["int8"] > 0.5


def test_another_generator_changes_nearly_all_strings(graph: bytes) -> None:
    torch.manual_seed(2)
    generator = Generator(length=8, size=ALPHABET.size, width=8, depth=2, kernel=3, latent=16)
    torch.nn.init.normal_(generator.output.weight, std=2.0)
    measured = compare(graph, generator_graph(generator.eval()), ALPHABET, 16, n=300)
    assert measured["changed"] > 0.95
    assert measured["js4"] > 0.9


def test_most_symbols_stay_as_they_are(graph: bytes, quantized: bytes) -> None:
    measured = compare(graph, quantized, ALPHABET, 16, n=600, seed=3)
    assert (measured["samples"], measured["seed"]) == (600, 3)
    assert 0 < measured["changed"] < 0.4
    assert measured["js4"] < 0.1


def test_strings_shorter_than_four_have_no_js_4() -> None:
    short = Alphabet("abc", 3)
    torch.manual_seed(1)
    plain = generator_graph(Generator(length=3, size=5, width=4, depth=1, kernel=3, latent=8).eval())
    assert compare(plain, quantize(plain, 8), short, 8, n=50)["js4"] is None


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, corpus_file: Path) -> Path:
    """A run of three rounds."""
    path = tmp_path_factory.mktemp("runs") / "names"
    sizes = {"data.max_length": 8, "model.width": 8, "model.depth": 1, "model.latent": 16, "batch_size": 16}
    keys = [f"--set={key}={value}" for key, value in sizes.items()]
    told = ["--run", str(path), "--preset", "tiny", "--device", "cpu", "--max-rounds", "3", *keys]
    done = CliRunner().invoke(cli, ["train", str(corpus_file), *told])
    assert done.exit_code == 0, done.output
    return path


def test_export_adds_the_graph_and_what_it_changes(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "names"
    done = CliRunner().invoke(cli, ["export", str(run), "--out", str(out), "--int8", "--int8-samples", "700"])
    assert done.exit_code == 0, done.output
    artifact = Artifact.load(out)
    assert INT8_GRAPH in artifact.digests
    latents = Sampler(artifact).latents(0, 0, 700)
    pairs = list(zip(Sampler(artifact).texts(latents), Int8Sampler(artifact).texts(latents), strict=True))
    measured = artifact.config["int8"]
    assert measured["samples"] == 700
    assert measured["changed"] == np.mean([a != b for a, b in pairs])
    assert measured["unique"] == {"fp32": len({a for a, _ in pairs}) / 700, "int8": len({b for _, b in pairs}) / 700}
    assert f"{measured['changed']:.2%} of 700 strings of seed 0 are others" in (out / "README.md").read_text()


def test_export_makes_no_such_graph_unless_asked(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "names"
    assert CliRunner().invoke(cli, ["export", str(run), "--out", str(out)]).exit_code == 0
    artifact = Artifact.load(out)
    assert INT8_GRAPH not in artifact.digests
    assert "int8" not in artifact.config
    assert "8-bit" not in (out / "README.md").read_text()


def test_a_model_that_is_replaced_keeps_such_a_graph_unless_told_otherwise(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "names"

    def export(*options: str) -> tuple[dict[str, Any], str]:
        done = CliRunner().invoke(cli, ["export", str(run), "--out", str(out), *options])
        assert done.exit_code == 0, done.output
        return dict(Artifact.load(out).config), done.stderr

    first, said = export("--int8", "--int8-samples", "70")
    assert said == ""
    again, said = export("--replace")
    assert (again, INT8_GRAPH in Artifact.load(out).digests) == (first, True)
    assert "gets one again: --no-int8 leaves it out" in said
    without, said = export("--replace", "--no-int8")
    assert ("int8" in without, INT8_GRAPH in Artifact.load(out).digests, said) == (False, False, "")


@pytest.mark.parametrize("config", ["{", "[]", "{}", '{"int8": 5}', '{"int8": {"samples": "many"}}'])
def test_the_graph_of_a_damaged_model_is_made_again_too(tmp_path: Path, config: str) -> None:
    assert samples_of(tmp_path) is None
    (tmp_path / INT8_GRAPH).touch()
    (tmp_path / "config.json").write_text(config)
    assert samples_of(tmp_path) == SAMPLES


def test_a_number_of_samples_without_int8_is_refused(run: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["export", str(run), "--out", str(tmp_path / "names"), "--int8-samples", "7"])
    assert done.exit_code == 2
    assert "--int8-samples needs --int8" in done.output
    assert not (tmp_path / "names").exists()


def test_the_card_leaves_out_what_was_not_measured(tiny_model: Path) -> None:
    config = json.loads((tiny_model / "config.json").read_text())
    measured = {"samples": 50, "seed": 0, "changed": 0.02, "unique": {"fp32": 1.0, "int8": 0.98}, "js4": None}
    card = model_card("names", config | {"int8": measured}, {})
    assert "2.00% of 50 strings of seed 0 are others,\n98.00% of them distinct (in fp32 100.00%).\n" in card


def test_the_unknown_symbol_is_never_counted_as_a_string(graph: bytes, quantized: bytes) -> None:
    from training.quantize import _ids

    assert not any((_ids(each, ALPHABET, 16, 500, 0) == UNKNOWN).any() for each in (graph, quantized))
