"""The report in a real browser, from files and without a network: it is complete, sorts, filters and fits a phone."""

import csv
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.experiments.experiment import DatasetPair
from benchmarks.reporting import report
from benchmarks.reporting.report import contents, pages
from benchmarks.reporting.report.html import Markup, el, join
from benchmarks.reporting.report.run_page import run_page
from benchmarks.reporting.statistics import Interval, Verdict
from benchmarks.reporting.verdict import JudgedClaim, judge
from benchmarks.runs import staleness
from benchmarks.runs.exchange import export_runs
from benchmarks.runs.finished import FinishedRun, finished_runs
from benchmarks.runs.folder import RunFolder
from benchmarks.scheduling.states import find_in_records
from benchmarks.suites.claims import PAPER, Claim

VOID = {"meta", "link", "img"}


@pytest.fixture
def site(bench, finish, tmp_path, monkeypatch) -> Path:
    """A report of seven runs on two data sets, one of whose names is not to be trusted, where no data set was ever read."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    for seed in (0, 1):
        finish("mean", seed=seed)
        finish("qan+afa", seed=seed, sigma=0.5)
    finish("qan+afa", sigma=0.0)
    finish("mean", dataset="mars", ranks=[*range(1, 301)])
    finish("mean", dataset="<b onclick=alert(1)>x&y")
    answer = bench("report", "--to", tmp_path / "site")
    assert answer.status == 0, answer.err
    return tmp_path / "site"


class Balanced(HTMLParser):
    """Every element that begins also ends, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.targets += [value for key, value in attrs if key in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_text_is_escaped():
    assert str(el("p", '<&"', el("b", "1"), ["2", None], title='"<')) == '<p title="&quot;&lt;">&lt;&amp;"<b>1</b>2</p>'
    assert str(join(["<", Markup("<br>")])) == "&lt;<br>"
    assert str(el("form", hidden=True, class_="a", data_x=None)) == '<form hidden class="a"></form>'


def test_pages_are_valid_and_local(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) == 4 + 1 + 7  # and the page of the tables of all runs
    for file in pages:
        text = file.read_text()
        assert len(text) < 2e6
        assert "<b onclick" not in text
        read = Balanced()
        read.feed(text)
        assert read.open == []
        for target in read.targets:
            assert "//" not in target, f"{file.name} asks a network for {target}"
            path = re.sub(r"%([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), target.partition("#")[0])
            assert target.startswith("data:") or (file.parent / path).exists(), f"{file.name} leads to {target}"


def test_long_query_tables_are_cut(site):
    (page,) = (site / "runs").glob("mars-*.html")
    assert "The worst 200 of 300 queries" in page.read_text()
    assert page.read_text().count("<td>q") == 200


def test_best_is_bold_and_filters_know_baselines(finish, results):

    finish("mean", ranks=[1, 1, 2, 2])
    finish("qan+afa", ranks=[1, 1, 1, 2])
    section = contents.result_tables(finished_runs(results))[0]
    assert section.frame.baseline.tolist() == ["mean", "qan"]
    assert [str(cell) for cell in section.frame.R1] == ["50.0", "<b>75.0</b>"]


def test_suite_table_agrees_with_bench_table(bench, finish, tmp_path, monkeypatch):
    monkeypatch.setattr(staleness, "code_digest", lambda _: "c" * 64)  # of these records: they are current
    for method in ("mean", "qan", "mean+afa", "qan+afa"):
        for seed in (2, 3):
            finish(method, seed=seed)
        finish(method, recipe="control")
    finish("mean", seed=0)  # of a pilot: the longest run of seeds is shown
    assert bench("report", "--to", tmp_path / "site").status == 0
    index = (tmp_path / "site" / "tables.html").read_text()
    assert '<a href="tables-table4.html">table4</a>' in index
    assert "the terms of the loss one by one" in index
    assert "tables-matrix" not in index  # four of its thirty rows
    assert "tables-table2" not in index  # one row beside figures of another data set
    tables = (tmp_path / "site" / "tables-table4.html").read_text()
    assert "<h2>table4 on walkers, protocol official</h2>" in tables
    assert "<h2>table4 on walkers, protocol standard</h2>" in tables
    assert "<h2>table4 on walkers, recipe control, protocol official</h2>" in tables
    assert "protocol full" not in tables  # which these records do not have
    printed = bench("table", "table4", "--dataset", "walkers", "--first-seed", 2, "--seeds", 2, "--format", "csv").out
    for line in csv.reader(printed.splitlines()[1:]):
        row = tables.partition(f">{line[1]}</td>")[2].partition("</tr>")[0]
        shown = re.findall(r"<td[^>]*>(?:<b>)?([^<]*)", row)
        assert shown == line[2:-1]
    assert 'data-baseline="qan" data-protocol="standard"><td>QAN*' in tables


def test_suites_have_tables_whatever_settings_their_runs_share(committed):
    """All runs of the committed records were made with --set threads=1, those of table4 with --quick as well."""
    records = [run.record for run in committed]
    sections = contents.suite_tables(committed, find_in_records(records))
    made = {each.title: each for each in sections}
    assert {"table4", "cues", "sources", "distill"} <= {each.suite for each in sections}
    assert len([title for title in made if title.startswith("cues on cues:") and "official" in title]) == 10
    table = made["table4 on walkers, quick, threads=1, protocol official"].frame.set_index("method")
    wanted = [
        record.find_metrics("official", "before").percent("mAP")
        for record in records
        if record.experiment.datasets == ("walkers", "walkers") and record.experiment.method == "qan+afa"
        if {"epochs": 12, "lr_step": 9, "lambda": 0.1}.items() <= record.experiment.settings.items()
    ]
    assert len(wanted) == 10
    assert str(table.mAP["QAN* + AFA (qan+afa)"]).startswith(f"{np.mean(wanted):.1f} ± {np.std(wanted, ddof=1):.1f}")
    assert set(pages.all_tables(sections, [])) >= {f"tables-{name}.html" for name in ("table4", "cues", "sources")}


def test_changed_setting_of_one_baseline_makes_no_table(finish, results):
    finish("adfdta", **{"adfdta.sigma": 2.0})
    finish("mean")
    runs = finished_runs(results)
    assert not contents.suite_tables(runs, find_in_records([run.record for run in runs]))


def test_pages_of_3000_runs_stay_below_2_mb(finish, results):
    record = finish("mean+afa", ranks=[*range(1, 3001)])
    rows = pd.read_parquet(results / record.name / "queries.parquet").query("query < 'q030'")
    runs = []
    for number in range(3000):
        dataset, method = f"walkers@{number % 30}:demo", f"{'a-long-name' * 4}{number % 400}+afa"
        experiment = replace(record.experiment, seed=number % 5, dataset=dataset, test=dataset, method=method)
        runs.append(FinishedRun(replace(record, name=f"{number:05}" * 20, experiment=experiment), rows=rows))
    sections = contents.result_tables(runs)
    elsewhere = [replace(record.experiment, dataset=f"d{number}", test=f"d{number}") for number in range(30)]
    claims = judge([FinishedRun(replace(record, experiment=experiment), rows=rows) for experiment in elsewhere])
    wide = [replace(each, frame=pd.concat([each.frame, each.frame.add_suffix(" again")], axis=1)) for each in sections]
    made = [
        *pages.all_tables(wide, []).values(),
        pages.overview(runs, runs[:200], claims, sections, []),
        *pages.all_runs(runs).values(),
    ]
    made.append(run_page(FinishedRun(record, RunFolder(results / record.name)), None, []))
    made.append(pages.all_figures(contents.drawn_figures(runs[:200])))
    assert len(sections) == 60
    assert max(len(text.encode()) for text in made) < 2e6


def test_report_from_exported_records(bench, finish, results, tmp_path, monkeypatch):
    record = finish()
    export_runs([(RunFolder(results / record.name), record)], tmp_path / "runs.parquet")
    claim = Claim("AFA helps <mean>", "table4", (), PAPER)
    interval = Interval(0.01, 0.005, 0.015, "methods", ())
    judged = JudgedClaim(claim, DatasetPair("mars", "mars"), interval, Verdict.SUPPORTED, (), 3, 0.007)
    monkeypatch.setattr(report, "judge", lambda runs: [judged])
    assert bench("report", "--from", tmp_path / "runs.parquet", "--to", tmp_path / "site").status == 0
    overview = (tmp_path / "site" / "index.html").read_text()
    assert "AFA helps &lt;mean&gt;" in overview
    assert "✓ SUPPORTED" in overview


def test_verdict_agrees_with_bench_verdict(bench, finish, tmp_path):
    for seed in (0, 1, 2):
        finish("mean", seed=seed, ranks=[2] * 20)
        finish("mean+afa", seed=seed, ranks=[1] * 12 + [2] * 8)
    shared = tmp_path / "runs.parquet"
    assert bench("records", "export", shared).status == 0
    assert bench("report", "--to", tmp_path / "site", "--from", shared).status == 0
    printed = bench("verdict", "--format", "csv", "--from", shared).out
    words = bench("verdict", "--from", shared).out.partition("\n")[0]
    overview = (tmp_path / "site" / "index.html").read_text()
    assert f"<h1>Results at a glance</h1><p>{words}</p>" in overview
    assert overview.index('<img src="figures/forest.svg"') < overview.index("<h2>Verdict</h2>")
    assert (tmp_path / "site" / "figures" / "forest.svg").exists()
    assert "AFA helps mean" in printed
    for row in printed.splitlines()[1:]:
        _, claim, said, effect, *_ = next(csv.reader([row]))
        assert f">{claim}</td>" in overview
        assert f">{effect}</td>" in overview
        assert f" {said}</span>" in overview
    here = bench("verdict")  # where the code that made them is not
    assert (here.status, here.out) == (2, "")
    assert "all finished runs are stale" in here.err


def test_stale_runs_are_left_out_of_the_first_page(finish, results, tmp_path):
    runs = [FinishedRun(finish(name, seed), RunFolder(results)) for name in ("mean", "mean+afa") for seed in range(3)]
    text = pages.overview(runs, runs[:3], judge(runs[:3]), [], [])
    assert "3 stale runs left out of the verdict and of the figures." in text
    assert "stale" not in pages.overview(runs, runs, judge(runs), [], [])


@pytest.mark.parametrize("label", ["OSNet+", "a+b", "COSAM"])
def test_label_of_external_features_is_their_baseline(label):
    assert contents.baseline(label) == label
    assert contents.baseline("mean+afa-motion") == "mean"


def test_other_folder_is_refused(bench, finish, tmp_path):
    finish()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    assert "contains something other" in bench("report", "--to", tmp_path / "mine").err
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_full_disk_names_the_file(tmp_path):
    for name in ("page.html", "report.css", "report.js"):
        (tmp_path / name).symlink_to("/dev/full")
    for written, write in (
        (["page.html"], lambda: report._write(tmp_path / "page.html", "text")),
        (["report.css", "report.js"], lambda: report.write([], tmp_path, None, dict, lambda *_: None)),
    ):
        with pytest.raises(OSError, match="No space left on device; free some space") as error:
            write()
        assert error.value.filename in [str(tmp_path / name) for name in written]


# In the browser.


@pytest.fixture(scope="module")
def browse():
    """`browse(javascript=False)`, `browse(phone=True)`: headless Chromium."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip(
            "NOT TESTED IN A BROWSER: no chromium and chromedriver here (apt-get install chromium chromium-driver)"
        )
    webdriver = pytest.importorskip("selenium.webdriver", reason="NOT TESTED IN A BROWSER: pip install selenium")
    from selenium.webdriver.chrome.service import Service

    opened = []

    def start(phone=False, javascript=True):
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        if phone:
            metrics = {"width": 390, "height": 844, "pixelRatio": 2}
            options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
        if not javascript:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        opened.append(webdriver.Chrome(options=options, service=Service(driver)))
        return opened[-1]

    yield start
    for browser in opened:
        browser.quit()


def column(browser, selector: str, number: int) -> list[str]:
    cells = browser.find_elements("css selector", f"{selector} tbody tr td:nth-child({number})")
    return [cell.text for cell in cells if cell.is_displayed()]


def test_pages_load_and_fit_a_phone(site, browse):
    browser = browse(phone=True)
    for file in site.rglob("*.html"):
        browser.get(file.as_uri())
        browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
        wide, window = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert (wide, window) == (390, 390), f"{file.name} scrolls sideways"
        assert browser.execute_script("return [...document.images].every(each => each.loading || each.naturalWidth)")
        assert browser.get_log("browser") == [], file.name


def test_sorting_filters_and_keyboard(site, browse):
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.select import Select

    browser = browse()
    browser.get((site / "runs.html").as_uri())
    names = [head.text for head in browser.find_elements("css selector", "th")]
    number = names.index("mAP") + 1
    button = browser.find_elements("css selector", "th button")[number - 1]
    values = [float(text) for text in column(browser, "main", number)]
    button.click()
    assert [float(text) for text in column(browser, "main", number)] == sorted(values, reverse=True)
    button.send_keys(Keys.ENTER)  # by keyboard, and the other way
    assert [float(text) for text in column(browser, "main", number)] == sorted(values)
    assert button.find_element("xpath", "..").get_attribute("aria-sort") == "ascending"

    Select(browser.find_element("name", "baseline")).select_by_visible_text("qan")
    methods = column(browser, "main", names.index("method") + 1)
    assert methods == ["qan+afa"] * 3
    assert browser.find_element("css selector", "[role=status]").text == "3 rows"
    Select(browser.find_element("name", "data-set")).select_by_visible_text("mars")
    assert column(browser, "main", 1) == []
    Select(browser.find_element("name", "baseline")).select_by_visible_text("every baseline")
    assert column(browser, "main", names.index("data set") + 1) == ["mars"]

    browser.get((site / "tables-all-runs.html").as_uri())
    tables = browser.find_elements("css selector", "section.table")
    Select(browser.find_element("name", "protocol")).select_by_visible_text("standard")
    shown = [table.find_element("css selector", "h2").text for table in tables if table.is_displayed()]
    assert len(shown) == len(tables) / 2
    assert all(title.endswith("standard") for title in shown)

    browser.get((site / "index.html").as_uri())
    seen = []
    for _ in range(12):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        seen.append(browser.switch_to.active_element.text)
    assert seen[0] == "To the content"
    assert {"Tables", "Runs", "Figures"} <= set(seen)
    browser.find_element("link text", "Tables").send_keys(Keys.ENTER)
    assert browser.title.startswith("Tables")


def test_report_works_without_javascript(site, browse):
    browser = browse(javascript=False)
    browser.get((site / "runs.html").as_uri())
    assert browser.find_elements("css selector", "th button") == []  # so the script did not run
    assert len(column(browser, "main", 1)) == 7
    assert not browser.find_element("css selector", "form.filters").is_displayed()
    browser.find_element("css selector", "td a").click()
    assert "seed" in browser.find_element("tag name", "main").text.lower()
    assert len(browser.find_elements("css selector", ".chart svg path.curve")) == 2
    assert all(each.size["width"] > 50 for each in browser.find_elements("css selector", ".chart svg path.curve"))
