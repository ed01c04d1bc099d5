"""A plan and a refusal import no network: one process does both, and says which of these packages it holds."""

import json
import os
import subprocess
import sys

from sfumato.models.hardware.policy import find_rates

HEAVY = ("torch", "diffusers", "transformers", "safetensors", "scipy", "skimage", "uvicorn", "fastapi", "sqlalchemy")
PROGRAM = f"""
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from sfumato.cli import main
codes = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["sfumato", *words]
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            codes.append(end.code)
print(json.dumps([codes, [name for name in {HEAVY} if name in sys.modules]]))
"""
WORDS = (
    (["plan", "a red house"], 0),
    (["plan", "a red house", "--size", "1024x512", "--focus", "auto"], 0),
    (["plan", "a red house", "--size", "512x512", "--method", "gobig"], 0),
    (["plan", "a red house", "--size", "512x512", "--method", "multidiffusion"], 0),
    (["render", "a red house", "--size", "1024x512", "--budget-gb", "0.01", "--out", "never.png"], 3),
    (["render", "a red house", "--sampler", "nobody's", "--out", "never.png"], 2),
    (["render", "a red house", "--init", "never.png", "--out", "never2.png"], 2),
    (["upscale", "never.png", "--out", "never2.png"], 2),
    (["serve", "--port", "99999"], 2),
    (["serve", "--host", "0.0.0.0"], 2),
)


def test_a_plan_and_a_refusal_import_no_networks(tmp_path):
    # What a machine can do is measured once, with torch; here it is remembered.
    find_rates()
    asked = json.dumps([[*words, *(["--device", "cpu"] * (words[0] != "serve"))] for words, _ in WORDS])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, asked],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes, held = json.loads(done.stdout)
    assert codes == [code for _, code in WORDS]
    assert not held
