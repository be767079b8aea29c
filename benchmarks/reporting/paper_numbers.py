"""The numbers that the paper prints, read from results/paper/tableN.csv.

Each row is one printed number:

| column | meaning |
| ------ | ------- |
| method | as the paper spells it, without the reference's number; in Table 1 the data set |
| source | where the method was published; in Tables 2 and 3 alone |
| train, test | the data sets' names in this harness: trained on, evaluated on; empty in Table 1 |
| metric | R1, R5, R10, R20 and mAP in percent; in Table 1 counts, of which `frames` is the mean number in a sequence |
| value  | the number; empty where the paper prints a dash |
| note   | what to know before relying on the number; mostly empty |

Fig. 3 prints no values.

systems.csv has figures of published systems from elsewhere, so that a reader sees how far they differ:

| column | meaning |
| ------ | ------- |
| system | as in Table 2; else as it calls itself |
| dataset | where it was trained and evaluated; mevid and evreid are not data sets of this harness |
| protocol | as in docs/protocols.md, or in words; empty where it is not known |
| source | where the figure was found |
| mark   | released `code` or its logs; the system's own `paper`; `secondary`, by others; `recall`, not checked; `inferred` |
| frames | of a tracklet at test; empty where it is not known |
| chosen | by which figure on the test set the epoch was chosen; `last`: by none; empty where it is not known |
| note   | how the figure differs from others |
"""

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parents[2] / "results" / "paper"


def read(table: str) -> pd.DataFrame:
    """One file in its order, which is the paper's: `value` a float (NaN where the paper prints a dash), the others text.

    Args:
        table: "table1" to "table5", or "systems".

    Raises:
        FileNotFoundError: the paper has no such table.
    """
    rows = pd.read_csv(FOLDER / f"{table}.csv", dtype=str, keep_default_na=False)
    return rows.assign(value=pd.to_numeric(rows.value).astype(float))


def at(table: str, datasets: tuple[str, str]) -> pd.DataFrame:
    """The rows of a table on one pair of data sets (trained on, tested on); none if the table does not have the pair."""
    rows = read(table)
    return rows[(rows.train == datasets[0]) & (rows.test == datasets[1])]
