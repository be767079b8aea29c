"""Print the tests that pytest's reports (--junit-xml, of the family xunit1) call skipped, one a line, as pytest takes them."""

import sys
from xml.etree import ElementTree

for report in sys.argv[1:]:
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("skipped") is not None:
            print(f"{case.get('file')}::{case.get('name')}")
