"""Keys of the section `search` that mean the same for several methods."""

from typing import Annotated

from pydantic import Field

Proposed = Annotated[
    int,
    Field(
        ge=0,
        description="Number of further candidates, for kind `halving`, that a predictor proposes after the first "
        "results. 0: none.",
    ),
]
Racing = Annotated[
    bool,
    Field(
        description="Stop measuring a candidate once it is hopelessly behind the worst of the elite. It needs a "
        "metric of single images, such as psnr.",
    ),
]
LatencyNetworks = Annotated[
    int,
    Field(
        ge=4,
        description="Number of whole networks timed to fit the table that predicts latency; half as many more check "
        "it.",
    ),
]
Selection = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="Probability that an offspring is a copy of its parent. `selection`, `crossover` and `mutation` "
        "must sum to 1.",
    ),
]
Crossover = Annotated[
    float,
    Field(ge=0, le=1, description="Probability that an offspring takes a segment of bits from a second parent."),
]
Mutation = Annotated[
    float,
    Field(ge=0, le=1, description="Probability that an offspring has a segment of its parent's bits flipped."),
]
