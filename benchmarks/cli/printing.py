"""Finished runs on the screen, as several verbs print them."""

from baselines.errors import UserError


def digests_at_hand(found: list[dict]) -> dict[str, set[str]]:
    """The digests of the data at hand that the records speak of, as far as it was read here before."""
    from benchmarks.data.loading import known_digests

    experiments = [record["experiment"] for record in found]
    wanted = {
        pair for each in experiments for pair in ((each["dataset"], each["split"]), (each["test"], each["test_split"]))
    }
    known = {f"{name}/{split}": known_digests(name, split) for name, split in wanted}
    return {key: digests for key, digests in known.items() if digests}


def print_tables(
    found: list[dict], protocol: str | None = None, style: str = "terminal", feature: str = "before"
) -> None:
    """The tables of the records, under the protocol named or each data set's first."""
    from benchmarks.reporting.table import FEATURES, STYLES, page, tables

    if style not in STYLES:
        raise UserError(f"--format {style}: choose {', '.join(STYLES)}")
    if feature not in FEATURES:
        raise UserError(f"--feature {feature}: choose {', '.join(FEATURES)}")
    made = tables(found, protocol, digests_at_hand(found), feature)
    if not made:
        raise UserError(f"--protocol {protocol}: none of the runs has it")
    print(page(made, style))
