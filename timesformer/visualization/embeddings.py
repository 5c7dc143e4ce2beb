"""The features of a split as a map on which similar videos lie close (paper, figure 8)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from timesformer.checkpoints.atomic import writing
from timesformer.errors import UserError
from timesformer.visualization.features import (
    NEIGHBOURS,
    UNKNOWN,
    Features,
    features_of,
    neighbour_accuracy,
    predictions,
)
from timesformer.visualization.files import named, short
from timesformer.writers.names import for_matplotlib, for_plotly, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from timesformer.inference.predictor import Predictor

SEED = 0
FEWEST = 4
MOST_IN_LEGEND = 30  # classes
LONGEST_NAME = 32  # there
MANY = 3000  # points, from which on a page draws them on the graphics card


@dataclass(frozen=True)
class Plane:
    """Videos as points float (n, 2), and what there is to say of all, and of each.

    `labels` and `predictions` are int64 (n,), `names` those of the classes.
    """

    lines: Sequence[str]
    points: npt.NDArray[np.floating[Any]]
    videos: Sequence[str]
    labels: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]
    names: Sequence[str]

    @property
    def present(self) -> list[int]:
        """The classes of the videos, the unknown one last."""
        labels: list[int] = np.unique(self.labels).tolist()
        return sorted(labels, key=lambda label: (label == UNKNOWN, label))

    def where(self, label: int, is_right: bool) -> list[int]:
        """The videos of a class that the head says right, or wrong; nothing unknown is wrong."""
        said_right = (self.predictions == self.labels) | (self.labels == UNKNOWN)
        shown = (self.labels == label) & (said_right == is_right)
        return [int(index) for index in np.flatnonzero(shown)]

    def name_of(self, label: int) -> str:
        return "unknown" if label == UNKNOWN else self.names[label]


def show_embeddings(
    predictor: Predictor,
    out: str | Path,
    *,
    split: str = "test",
    method: str = "tsne",
    features_file: str | None = None,
) -> list[Path]:
    """Write `out`.png and `out`.html, and the features, unless they were given, as `out`.npz.

    Raises:
        UserError: no features (see `features_of`), too few videos, or umap-learn is missing.
    """
    picture, page, kept = named(out, ".png", ".html", ".npz")
    project = METHODS[method][1]()  # before the long work: what is missing is said at once
    features = features_of(predictor, split, features_file, kept)
    if len(features) < FEWEST:
        raise UserError(f"A map takes {FEWEST} videos or more, and there are {len(features)}.")
    said = predictions(features, predictor.trained)
    what = Path(features_file).name if features_file else split
    plane = Plane(
        headline(features, said, method, what, short(predictor.trained.source)),
        project(features.directions),
        features.videos,
        features.labels,
        said,
        predictor.trained.class_names,
    )
    with writing(picture) as file:
        draw(plane).savefig(file, format="png", dpi=110)
    with writing(page) as file:
        file.write(as_page(plane).encode())
    return [picture, page, *([] if features_file else [kept])]


Projection = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating[Any]]]
"""From directions float32 (n, D) to points (n, 2), the same every time."""


def tsne() -> Projection:
    from sklearn.manifold import TSNE  # seconds

    def project(directions: npt.NDArray[np.float32]) -> npt.NDArray[np.floating[Any]]:
        perplexity = min(30.0, (len(directions) - 1) / 3)
        return TSNE(perplexity=perplexity, init="pca", random_state=SEED).fit_transform(directions)

    return project


def umap() -> Projection:
    try:
        with warnings.catch_warnings():  # of a part that needs TensorFlow
            warnings.simplefilter("ignore", ImportWarning)
            from umap import UMAP  # half a minute, the first time
    except ImportError as error:
        raise UserError(
            f"--method umap needs umap-learn ({error}): pip install 'timesformer[umap]', or use "
            "--method tsne."
        ) from error

    def project(directions: npt.NDArray[np.float32]) -> npt.NDArray[np.floating[Any]]:
        neighbours = min(15, len(directions) - 1)
        # Few points have too few eigenvectors for the usual start.
        init = "spectral" if len(directions) > 15 else "random"
        reducer = UMAP(n_neighbors=neighbours, init=init, random_state=SEED, n_jobs=1)
        return reducer.fit_transform(directions)

    return project


METHODS = {"tsne": ("t-SNE", tsne), "umap": ("UMAP", umap)}


def headline(
    features: Features, said: npt.NDArray[np.int64], method: str, what: str, source: str
) -> list[str]:
    """What is shown, and how well classes are told apart, two lines."""
    known = features.labels != UNKNOWN
    lines = [f"{METHODS[method][0]} of the features of {len(features)} videos, {what}", source]
    if known.any():
        head = 100 * (said == features.labels)[known].mean()
        near = 100 * neighbour_accuracy(features)
        lines[1] += (
            f": {NEIGHBOURS} nearest neighbours {near:.1f} % (leave-one-out), the head {head:.1f} %"
        )
    return lines


def draw(plane: Plane) -> Figure:
    """As a figure of matplotlib: what the head gets wrong is a cross."""
    from matplotlib.figure import Figure  # half a second

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.subplots()
    size = 24 if len(plane.points) < 1000 else 6
    for label, colour in colours(plane).items():
        for is_right, marker in ((True, "o"), (False, "x")):
            x, y = plane.points[plane.where(label, is_right)].T
            name = for_matplotlib(shortened(plane.name_of(label), LONGEST_NAME))
            shown = name if is_right else None
            axes.scatter(x, y, s=size, color=colour, marker=marker, label=shown, linewidths=1)
    axes.set_xticks([])
    axes.set_yticks([])
    title = "\n".join(map(for_matplotlib, plane.lines))
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")  # above the legend too, which is wide
    axes.set_xlabel("a cross: the head says another class; axes have no meaning", fontsize=9)
    if len(plane.present) <= MOST_IN_LEGEND:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=9)
    return figure


def as_page(plane: Plane) -> str:
    """The same as a page that holds all it needs; a point tells its video."""
    import plotly.graph_objects as go
    from plotly.io import to_html

    kind = go.Scatter if len(plane.points) < MANY else go.Scattergl
    figure = go.Figure()
    for label, colour in colours(plane).items():
        shown = plane.where(label, True) + plane.where(label, False)
        said = plane.predictions[shown].tolist()
        name = for_plotly(plane.name_of(label))
        words = [
            [for_plotly(plane.videos[index]), name, for_plotly(plane.name_of(k))]
            for index, k in zip(shown, said, strict=True)
        ]
        symbols = ["circle" if label in (k, UNKNOWN) else "x" for k in said]
        figure.add_trace(
            kind(
                x=plane.points[shown, 0],
                y=plane.points[shown, 1],
                mode="markers",
                name=name,
                customdata=words,
                marker={"color": colour, "symbol": symbols, "size": 7},
                hovertemplate="%{customdata[0]}<br>class %{customdata[1]}<br>"
                "the head says %{customdata[2]}<extra></extra>",
            )
        )
    figure.update_layout(
        title={"text": "<br>".join(map(for_plotly, plane.lines)), "font": {"size": 14}},
        template="plotly_white",
        xaxis={"visible": False},
        yaxis={"visible": False, "scaleanchor": "x"},
        hoverlabel={"align": "left"},
    )
    options = {"displaylogo": False, "responsive": True}
    return to_html(figure, include_plotlyjs=True, config=options, default_height="95vh")


def colours(plane: Plane) -> dict[int, str]:
    """A colour for each class that is there: far apart where they are few."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    number = len(plane.present)
    few = next((name for name in ("tab10", "tab20") if number <= int(name[3:])), None)
    places = np.arange(number) if few else np.linspace(0, 1, number)
    shades = colormaps[few or "gist_rainbow"](places)
    table = dict(zip(plane.present, map(to_hex, shades), strict=True))
    return table | {UNKNOWN: "#b5b5b5"} if UNKNOWN in table else table
