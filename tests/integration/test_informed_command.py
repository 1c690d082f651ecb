"""AC-GAN on text by the command line: strings of a label, judged by a critic that is told none."""

from __future__ import annotations

import json
from pathlib import Path

from command import Run

from model.artifact import Artifact
from model.sampler import Sampler
from model.torch_engine import TorchSampler

SMALL = ("--preset=tiny", "--device=cpu", "--set=model.width=8", "--set=model.depth=1", "--set=model.latent=8")


def test_strings_are_of_the_label_that_is_asked_for_and_scored_without_one(run: Run, tmp_path: Path) -> None:
    rows = [f"{letter * (2 + i % 5)},{letter}\n" for i in range(60) for letter in "abb"]
    (tmp_path / "t.csv").write_text("text,kind\n" + "".join(rows), encoding="utf-8")
    asked = ("--set=data.column=text", "--set=data.label=kind", "--variant=ac-gan", "--set=label_weight=2")
    code, _, err = run("train", "t.csv", "--run", "r", *SMALL, *asked, "--max-rounds=30")
    assert code == 0, err
    assert run("export", "r", "--out", "m")[0] == 0
    expected = {"names": ["a", "b"], "shares": [1 / 3, 2 / 3], "judged": False}
    for path in (tmp_path / "r" / "data.json", tmp_path / "m" / "config.json"):
        labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
        assert {**labels, "shares": [round(share, 1) for share in labels["shares"]]} == {
            **expected,
            "shares": [0.3, 0.7],
        }
    code, out, _ = run("generate", "--model", "m", "-n", "100", "--seed", "0")
    assert (code, out) == (0, (tmp_path / "r" / "samples" / "00000030.txt").read_text(encoding="utf-8"))
    artifact = Artifact.load(tmp_path / "m")
    sampler = Sampler(artifact, 1)
    drawn = sampler.latents(0, 0, 50)
    each = {label: sampler.texts(sampler.latents(0, 0, 50, label)) for label in ("a", "b")}
    labels = artifact.labels.names_of(drawn)
    assert sampler.texts(drawn) == [each[label][i] for i, label in enumerate(labels)]
    assert TorchSampler(artifact, 1, "cpu").texts(drawn) == sampler.texts(drawn)
    (tmp_path / "scored.txt").write_text("aa\nbbb\n", encoding="utf-8")
    code, out, err = run("score", "scored.txt", "--model", "m")
    assert code == 0, err
    assert len(out.splitlines()) == 2
    assert "are drawn by their shares. The critic judges the strings of all alike." in artifact.card
