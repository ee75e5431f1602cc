"""The tables of Berrios & Deza 2022 as data, with their source.

These are 2022 leaderboard values over PRIVATE data under the formula of then, (r/c)². Runs on public data
cannot reproduce them: show them only beside own numbers, with `CAVEAT`.
"""

from dataclasses import dataclass

PAPER = (
    "Berrios & Deza 2022, Joint rotational invariance and adversarial training of a dual-stream "
    "Transformer yields state of the art Brain-Score for Area V4, arXiv 2203.06649"
)
CAVEAT = "published 2022, private data, old formula"


@dataclass(frozen=True)
class PublishedModel:
    """One row of the paper: area scores in [0, 1], (r/c)², higher is better.

    `competition_id` and `top1` (ImageNet, per cent) are None where the paper gives none; `printed_rho` is
    None where the paper prints none.
    """

    competition_id: int | None
    description: str
    top1: float | None
    average: float
    V1: float
    V2: float
    V4: float
    IT: float
    behavior: float
    printed_rho: float | None
    table: str

    @property
    def scores(self) -> dict[str, float]:
        """Score by area, shallow to deep, behaviour last."""
        return {area: getattr(self, area) for area in ("V1", "V2", "V4", "IT", "behavior")}


@dataclass(frozen=True)
class PublicTarget:
    """A score on public data, found as a comment in the authors' code: (r/c)² and its error."""

    competition_id: int | None
    identifier: str
    preprocessing: str
    score_2022: float
    score_2022_error: float


# Which of the paper's tables holds a row is inferred from what the row shows; 991 stands in both.
_MODELS, _RANKING = "models compared (Table 3)", "competition ranking (Table 1)"

# fmt: off
PUBLISHED = (
    #              id    description               top-1  avg    V1     V2     V4     IT   behavior  rho
    PublishedModel(None, "Pixels",                 None,  .053, .158, .003, .048, .035, .020, None, _MODELS),
    PublishedModel(None, "AlexNet",                63.3,  .424, .508, .353, .443, .447, .370, None, _MODELS),
    PublishedModel(None, "voneresnet-50-robust",   71.7,  .492, .531, .391, .471, .522, .545, None, _MODELS),
    PublishedModel(1057, "CrossViT-18†",           83.05, .442, .473, .274, .478, .484, .500, None, _MODELS),
    PublishedModel(1095, "CrossViT-18† + Rotation", 79.22, .458, .458, .288, .495, .503, .547, None, _MODELS),
    PublishedModel(1084, "CrossViT-18† + Adv",     64.60, .462, .497, .343, .508, .519, .441, None, _MODELS),
    PublishedModel(991,  "CrossViT-18† + Rotation + Adv", 73.53, .488, .493, .342, .514, .531, .562, 0.8,
                   f"{_MODELS}; {_RANKING}"),
    PublishedModel(1033, "competition rank 1",     None,  .515, .568, .360, .481, .514, .652, -0.2, _RANKING),
    PublishedModel(1044, "competition rank 3",     None,  .463, .509, .303, .482, .467, .554, -0.4, _RANKING),
    PublishedModel(896,  "competition rank 4",     None,  .456, .538, .336, .485, .459, .461, -0.4, _RANKING),
    PublishedModel(1031, "competition rank 5",     None,  .453, .539, .332, .475, .510, .410, -0.2, _RANKING),
)
# fmt: on

# Not printed in the paper: read in the authors' submission code.
PUBLIC_BENCHMARK = "MajajHong2015public.IT-pls"
PUBLIC_TARGETS = (
    PublicTarget(1057, "crossvit_18_dagger_408", "crop224", 0.5399, 0.001),
    PublicTarget(1057, "crossvit_18_dagger_408", "squash224", 0.5362, 0.001),
    PublicTarget(991, "crossvit_18_dagger_408_rotation_adv", "squash224", 0.549, 0.001),
    PublicTarget(1084, "crossvit_18_dagger_408_adv", "squash224", 0.532, 0.001),
    PublicTarget(1095, "crossvit_18_dagger_408_rotation", "squash224", 0.534, 0.001),
    PublicTarget(None, "crossvit_18_dagger_408_rotation_adv_color", "squash224", 0.541, 0.001),
)


def published_model(competition_id: int) -> PublishedModel | None:
    """The paper's row of a competition id, or None where the paper has none.

    Examples
    --------
    >>> published_model(991).V4
    0.514
    """
    return next((row for row in PUBLISHED if row.competition_id == competition_id), None)
