"""The lectures: the first as it is, with the solution put in, and with what is often handed in instead; the second."""

import contextlib
import json
import pathlib

import numpy as np
import pytest

pytestmark = pytest.mark.heavy
ROOT = pathlib.Path(__file__).resolve().parents[2]
LECTURE = ROOT / "experiments" / "lecture"
NOTEBOOK = LECTURE / "lecture.ipynb"
NOTEBOOKS = sorted(LECTURE.glob("*.ipynb"))
SMALL = "WIDTH, NETWORKS, TRAINED_WIDTH, STEPS = 48, 2, 16, 20"


def tagged(cells, tag):
    (found,) = [cell for cell in cells if tag in cell["metadata"].get("tags", [])]
    return found


def said(cell):
    """Everything a cell put out, as text."""
    return "\n".join(out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs)


class Lesson:
    """The notebook in one kernel, executed from the first cell to the last."""

    def __init__(self, client):
        self.client, self.cells = client, client.nb.cells
        self.stubs = tagged(self.cells, "exercise").source
        tagged(self.cells, "parameters").source = SMALL
        for cell in self.cells:
            self.execute(cell)
        self.code = [cell for cell in self.cells if cell.cell_type == "code"]
        self.as_it_is = said(tagged(self.cells, "verify"))

    def execute(self, cell):
        return self.client.execute_cell(cell, self.cells.index(cell))

    def value(self, expression):
        """Of a Python expression in the kernel."""
        from nbformat.v4 import new_code_cell

        self.cells.append(new_code_cell(f"import json\nprint(json.dumps({expression}))"))
        return json.loads(said(self.execute(self.cells[-1])))

    def hand_in(self, source):
        """What the grader says of an answer in place of the stubs."""
        tagged(self.cells, "exercise").source = source
        self.execute(tagged(self.cells, "exercise"))
        return said(self.execute(tagged(self.cells, "verify")))


@contextlib.contextmanager
def kernel(path, tmp_path_factory):
    """A client that executes a notebook, in an empty folder."""
    for package in ("nbformat", "nbclient", "ipykernel"):
        pytest.importorskip(package, reason=f"needs {package} to execute the notebook")
    import nbclient
    import nbformat

    notebook, where = nbformat.read(path, 4), {"metadata": {"path": str(tmp_path_factory.mktemp("lecture"))}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        for folder in ("IPYTHONDIR", "MPLCONFIGDIR"):  # a home may be read-only, of which both would complain
            patch.setenv(folder, str(tmp_path_factory.mktemp(folder)))
        client = nbclient.NotebookClient(notebook, timeout=120, resources=where)
        with client.setup_kernel():
            yield client


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    with kernel(NOTEBOOK, tmp_path_factory) as client:
        yield Lesson(client)


@pytest.mark.slow
def test_the_second_notebook_runs(tmp_path_factory):
    with kernel(LECTURE / "modern.ipynb", tmp_path_factory) as client:
        cells = client.nb.cells
        tagged(cells, "parameters").source = "BRANCHES, WIDTH, STEPS = 4, 8, 20"
        for i, cell in enumerate(cells):
            client.execute_cell(cell, i)
        assert [out for cell in cells for out in cell.get("outputs", []) if out.get("name") == "stderr"] == []
        assert "verdict" in said(next(cell for cell in cells if cell.id == "train"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_the_outputs_of_one_run(path):
    text = path.read_text()
    code = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [out for cell in code for out in cell["outputs"]]
    assert not any(out["output_type"] == "error" or out.get("name") == "stderr" for out in outputs)
    assert sum("image/png" in out.get("data", {}) for out in outputs) >= 4
    assert json.dumps(json.loads(text), indent=1, ensure_ascii=False, sort_keys=True) + "\n" == text  # as Jupyter saves


def test_the_exercise_is_kept_without_the_solution():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert "".join(tagged(cells, "exercise")["source"]).count("raise NotImplementedError") == 2


@pytest.mark.slow
def test_every_cell_runs_as_it_is_and_none_complains(lesson):
    assert all(cell.execution_count for cell in lesson.code)
    assert [out for cell in lesson.code for out in cell.outputs if out.get("name") == "stderr"] == []
    assert lesson.as_it_is.count("not yet") == 2


def test_it_shows_figures_6_to_8_and_the_layers_of_both_networks(lesson):
    pictures = {cell.id: sum("image/png" in out.get("data", {}) for out in cell.outputs) for cell in lesson.code}
    assert {name: n for name, n in pictures.items() if n} == {
        "figure6": 1,
        "figure7": 1,
        "figure8": 1,
        "layers": 2,
        "zigzag": 1,
        "relu": 1,
    }


def test_theory_stands_beside_what_networks_show(lesson):
    """The notebook's own prediction is that of its tables, and the small networks of the test are near it."""
    ours, tables = "theory['xavier'].values['act_second'] ** 0.5", "lesson.beside(found, 'activation')['normalised']"
    assert lesson.value(f"bool(np.allclose({ours}, {tables}.predicted))")
    for quantity in ("activation", "gradient", "weight_gradient"):
        table = f"lesson.beside(found, '{quantity}')"
        ratios = lesson.value(f"[list({table}[label].measured / {table}[label].predicted) for label in lesson.SCHEMES]")
        assert np.array(ratios).shape == (2, 5)
        assert np.all(np.abs(np.log(ratios)) < 0.4), quantity


def test_the_solution_is_right(lesson):
    words = lesson.hand_in((LECTURE / "solution.py").read_text())
    assert "1. The initialiser is right." in words
    assert "2. The signal at layer 30: 0.131 is right." in words


def uniform(bound):
    return f"jax.random.uniform(key, shape, dtype, -{bound}, {bound})"


@pytest.mark.parametrize(
    ("weights", "signal", "expected"),
    [
        (uniform("(3 / shape[0]) ** 0.5"), "1.0", ["Var W is 1/n_in, fan-in (LeCun)", "This is eq. 5"]),
        (uniform("(2 / sum(shape)) ** 0.5"), "0.131**2", ["a third of 2/(n_in + n_out)", "This is the mean square"]),
        (
            "jax.random.normal(key, shape, dtype) * (2 / sum(shape)) ** 0.5",
            "0.5",
            ["FAIL: bounds, distribution", "less"],
        ),
        ("jax.random.uniform(key, shape) * (6 / sum(shape)) ** 0.5", "0.05", ["none is negative", "show more"]),
        ("missing", "None", ["could not be called: NameError", "could not be called: TypeError"]),
    ],
)
def test_what_is_wrong_is_said(lesson, weights, signal, expected):
    words = lesson.hand_in(f"my_xavier = lambda key, shape, dtype: {weights}\nmy_signal = lambda layer: {signal}")
    assert "right." not in words.replace("not right.", "")
    for one in expected:
        assert one in words


def test_after_a_wrong_answer_the_stubs_are_stubs_again(lesson):
    assert lesson.hand_in(lesson.stubs) == lesson.as_it_is
