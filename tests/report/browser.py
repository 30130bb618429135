"""A page opened in a real browser, and what it did: requests, errors, what a reader sees."""

import contextlib
import time

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}


class Visit:
    """An open page: `page` is Playwright's; `problems`, what the console and uncaught errors said; `requests`, all."""

    def __init__(self, context, path):
        self.page = context.new_page()
        self.problems, self.requests = [], []
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        began = time.perf_counter()
        self.page.goto(path.as_uri())
        charts = self.page.locator(".chart").count()
        if charts:
            self.page.locator(".chart svg").nth(charts - 1).wait_for(state="attached")
        self.seconds = time.perf_counter() - began
        self.path = path

    def is_clean(self):
        """Nothing was said on the console, and nothing but the file itself was asked for."""
        return self.problems == [] and self.requests == [self.path.as_uri()]

    def drawn(self, title):
        """The SVG of the chart under a heading, as text: what changes when the drawing does."""
        figure = self.page.locator("figure").filter(has=self.page.get_by_role("heading", name=title, exact=True))
        return figure.locator(".chart svg").first.inner_html()

    def move(self, slider, place):
        """Set a slider as a hand would, and let the charts follow."""
        self.page.locator(f"#{slider}").fill(str(place))
        self.page.wait_for_timeout(300)

    def fits(self):
        """Whether the page is as wide as the screen, so that nobody scrolls sideways."""
        return self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@contextlib.contextmanager
def visit(chromium, path, **look):
    """Open a page; `look`: DESKTOP, PHONE, color_scheme="dark"."""
    context = chromium.new_context(**(look or DESKTOP))
    try:
        yield Visit(context, path)
    finally:
        context.close()
