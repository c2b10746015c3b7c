"""The HTML page of reports: one file that needs nothing else. It asks named reports and draws; it works nothing out.

Drawing needs the extra `report`, which is imported when a page is made and not before.
"""

from wfstore.reports._extra import ReportExtraMissingError
from wfstore.reports._page import html

__all__ = ["ReportExtraMissingError", "html"]
