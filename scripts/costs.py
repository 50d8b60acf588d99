"""What Buildspace costs a month at 10, 1,000 and 100,000 sites: the model behind docs/going-to-production.md.

`python -m scripts.costs` prints the tables of that page. A test compares them.
"""

from __future__ import annotations

import dataclasses
import math

HOURS = 730
"""Of a month."""


@dataclasses.dataclass(frozen=True, slots=True)
class Prices:
    """Dollars: list prices of us-east-1 as of 2025, without discounts, credits, free tiers and taxes."""

    fargate_vcpu_hour: float = 0.04048
    fargate_gb_hour: float = 0.004445
    s3_gb_month: float = 0.023
    s3_thousand_puts: float = 0.005
    s3_thousand_gets: float = 0.0004
    transfer_gb: float = 0.09
    load_balancer_hour: float = 0.0225
    nat_hour: float = 0.045
    nat_gb: float = 0.045
    disk_gb_month: float = 0.08


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """What one site does in a month."""

    builds: int = 10
    minutes_a_build: float = 2.0
    lines_a_build: int = 1_000
    files: int = 200
    megabytes: float = 20.0
    changed_share: float = 0.1
    """The share of its files that changes with each build; ten replaced releases are kept."""
    requests: int = 20_000
    kilobytes_a_request: float = 30.0
    download_megabytes_a_build: float = 150.0
    """Repository and packages."""


@dataclasses.dataclass(frozen=True, slots=True)
class Setup:
    """What runs all the time. Prices are dollars an hour of the named machine types."""

    sites: int
    gateways: int
    gateway_vcpus: float
    gateway_gb: float
    database: str
    database_hour: float
    logs: str
    logs_hour: float
    transport: str
    transport_hour: float
    nat_gateways: int
    machine: str = "–"
    machine_hour: float = 0.0
    machine_disk_gb: int = 0
    """One machine that does everything with the embedded engines, if that is enough."""


BUILDER_VCPUS, BUILDER_GB = 2.0, 4.0
MISSES = 0.1
"""The share of visitors' requests that leads to a call of S3."""
SWEEP_LISTS, SWEEP_GETS = 3, 11
"""Once a day each site is swept: S3 lists its blobs and releases, page by page, and hands out each release."""
BYTES_A_LINE = 61
KEPT_MONTHS = 1.0

SETUPS = (
    Setup(
        10,
        1,
        0.5,
        1,
        "db.t4g.micro",
        0.016,
        "in PostgreSQL",
        0.0,
        "builders' API",
        0.0,
        1,
        "t4g.medium",
        0.0336,
        40,
    ),
    Setup(
        1_000,
        2,
        1,
        2,
        "db.t4g.medium",
        0.065,
        "ClickHouse on a t4g.medium",
        0.0336,
        "builders' API",
        0.0,
        1,
        "t4g.xlarge",
        0.1344,
        200,
    ),
    Setup(
        100_000,
        6,
        2,
        4,
        "db.m6g.xlarge, two zones",
        0.636,
        "ClickHouse on 2 m6g.xlarge",
        0.308,
        "Kafka on 3 t4g.large",
        0.2016,
        2,
    ),
)


def monthly(setup: Setup, site: Site | None = None, prices: Prices | None = None) -> dict[str, float]:
    """Dollars a month, item by item."""
    site, prices = site or Site(), prices or Prices()
    builds, requests = setup.sites * site.builds, setup.sites * site.requests
    sweeps = setup.sites * HOURS / 24
    puts = builds * (site.files * site.changed_share + 1) + sweeps * SWEEP_LISTS
    gets = requests * MISSES + builds * site.files + sweeps * SWEEP_GETS
    stored_gb = setup.sites * site.megabytes * (1 + 10 * site.changed_share) / 1000
    log_gb = builds * site.lines_a_build * BYTES_A_LINE * KEPT_MONTHS / 1e9
    return {
        "builds": builds * site.minutes_a_build / 60 * _fargate(prices, BUILDER_VCPUS, BUILDER_GB),
        "gateways": HOURS * setup.gateways * _fargate(prices, setup.gateway_vcpus, setup.gateway_gb),
        "PostgreSQL": HOURS * setup.database_hour,
        "logs": HOURS * setup.logs_hour + log_gb * prices.disk_gb_month,
        "log transport": HOURS * setup.transport_hour,
        "S3": stored_gb * prices.s3_gb_month
        + puts / 1000 * prices.s3_thousand_puts
        + gets / 1000 * prices.s3_thousand_gets,
        "network": HOURS * (prices.load_balancer_hour + setup.nat_gateways * prices.nat_hour)
        + builds * site.download_megabytes_a_build / 1000 * prices.nat_gb,
        "traffic to visitors": requests * site.kilobytes_a_request / 1e6 * prices.transfer_gb,
    }


def needed_concurrency(setup: Setup, site: Site | None = None) -> int:
    """Concurrent builds, if those of a month are spread over its 220 working hours."""
    site = site or Site()
    return math.ceil(setup.sites * site.builds * site.minutes_a_build / 60 / 220)


def table() -> str:
    """Markdown."""
    columns = [monthly(setup) for setup in SETUPS]
    rows = [
        ["dollars a month", *(f"{setup.sites:,} sites" for setup in SETUPS)],
        ["---", *("---:" for _ in SETUPS)],
        *([item, *(f"{column[item]:,.0f}" for column in columns)] for item in columns[0]),
        ["**together**", *(f"**{sum(column.values()):,.0f}**" for column in columns)],
        ["a site", *(f"{sum(column.values()) / setup.sites:,.2f}" for column, setup in _pairs(columns))],
        ["builds at once", *(f"{needed_concurrency(setup):,}" for setup in SETUPS)],
        ["gateways run as", *(_sized(setup) for setup in SETUPS)],
        ["PostgreSQL runs as", *(setup.database for setup in SETUPS)],
        ["logs are", *(setup.logs for setup in SETUPS)],
        ["lines travel by", *(setup.transport for setup in SETUPS)],
        ["**or all on one machine**", *(_on_one_machine(setup) for setup in SETUPS)],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def assumptions() -> str:
    """Markdown: every number that the table uses."""
    values = {**dataclasses.asdict(Site()), **dataclasses.asdict(Prices())}
    values |= {"builder_vcpus": BUILDER_VCPUS, "builder_gb": BUILDER_GB, "share_of_requests_that_ask_s3": MISSES}
    values |= {"lists_a_sweep": SWEEP_LISTS, "gets_a_sweep": SWEEP_GETS, "sweeps_a_day": 1}
    values |= {"bytes_a_log_line_in_clickhouse": BYTES_A_LINE, "months_that_logs_are_kept": KEPT_MONTHS}
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in values.items()) + ".\n"


def _fargate(prices: Prices, vcpus: float, gigabytes: float) -> float:
    return vcpus * prices.fargate_vcpu_hour + gigabytes * prices.fargate_gb_hour


def _pairs(columns: list[dict[str, float]]) -> list[tuple[dict[str, float], Setup]]:
    return list(zip(columns, SETUPS, strict=True))


def _sized(setup: Setup) -> str:
    return f"{setup.gateways} of {setup.gateway_vcpus:g} vCPU, {setup.gateway_gb:g} GB"


def _on_one_machine(setup: Setup) -> str:
    if not setup.machine_hour:
        return setup.machine
    prices = Prices()
    dollars = HOURS * setup.machine_hour + setup.machine_disk_gb * prices.disk_gb_month
    traffic = monthly(setup)["traffic to visitors"]
    return f"**{dollars + traffic:,.0f}** ({setup.machine}, {setup.machine_disk_gb} GB)"


if __name__ == "__main__":
    print(table())  # noqa: T201
    print(assumptions())  # noqa: T201
