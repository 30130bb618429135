"""The live page of a monitor, in a real browser, while a real training loop writes, is killed, and goes on."""

import signal
import subprocess
import sys

import pytest

from tests.report.live import first_file, opened, serving, until, until_it_says, version
from xinit.analysis import saved_monitors
from xinit.report import live_page

pytestmark = [pytest.mark.usefixtures("compile_quickly"), pytest.mark.heavy]

# Arguments: the folder, the first step, as from a checkpoint, and the last; a slow training, as large ones are.
LOOP = """
import sys, time
import jax, jax.numpy as jnp, numpy as np
import xinit

rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 12)).astype("float32"), rng.integers(0, 3, 64)
params = {name: jnp.asarray(rng.normal(size=shape) / 3, jnp.float32) for name, shape in
          {"first": (12, 16), "last": (16, 3)}.items()}
model = lambda params, x: jnp.tanh(x @ params["first"]) @ params["last"]
loss = lambda params: -jax.nn.log_softmax(model(params, x))[np.arange(64), y].mean()
update = jax.jit(lambda params: jax.tree.map(lambda w, g: w - 0.5 * g, params, jax.grad(loss)(params)))

first, last = map(int, sys.argv[2:])
for _ in range(first):
    params = update(params)
with xinit.Monitor(model, (x, y), sys.argv[1], variables=params, every=1) as monitor:
    for step in range(first, last):
        monitor(step, params)
        params = update(params)
        time.sleep(0.2)
"""
LOSS = "[...document.querySelectorAll('figure')].find((f) => f.innerText.startsWith('Loss')).querySelector('svg')"
POINTS = f"({LOSS} ? {LOSS}.querySelectorAll('.mark-symbol path').length : 0)"


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    monkeypatch.setattr(live_page, "REST", 0.0)


def loop(folder, first, last):
    command = [sys.executable, "-c", LOOP, str(folder), str(first), str(last)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def n_points(folder):
    return len(saved_monitors.load(folder).steps)


@pytest.mark.slow
def test_it_moves_while_a_loop_trains_and_after_it_was_killed(chromium, tmp_path):
    folder = tmp_path / "watched"
    with loop(folder, 0, 10_000) as process:
        try:
            first_file(tmp_path, f"watched/{saved_monitors.ROWS}", process)
            with serving(folder) as server, opened(chromium, server) as (page, problems):
                until(page, f"{POINTS} >= 2")
                before = page.evaluate(POINTS)
                until(page, f"{POINTS} > {before + 2}")
                process.send_signal(signal.SIGKILL)
                assert process.wait(20) == -signal.SIGKILL
                n = n_points(folder)
                until(page, f"{POINTS} === {n}")
                with open(folder / saved_monitors.ROWS, "ab") as file:  # killed in the midst of a row
                    file.write(b"part of a row")
                page.wait_for_timeout(2500)  # it has looked since
                assert page.evaluate(POINTS) == n
                assert "the training goes on, or was killed" in page.inner_text("main")
                assert version(server)["problem"] == ""

                with loop(folder, n - 2, n + 4) as again:
                    until(page, f"{POINTS} > {n}", 120)
                    until_it_says(page, "over")
                    assert again.wait(60) == 0, again.stderr.read()
                assert n_points(folder) == n + 4  # the two points after the checkpoint were made again
                until(page, f"{POINTS} === {n + 4}")
                assert f"{n + 4}, from 0 to {n + 3}" in page.inner_text("main")
                assert problems == []
        finally:
            process.kill()
