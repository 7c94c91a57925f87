"""What one of the many users of `python -m benchmarks.portal` does; run by locust, in an environment of its own."""

from __future__ import annotations

import os
import random
import re

from locust import HttpUser, between, task

QUESTIONS = (
    "FIND T1WeightedImage",
    "FIND T1WeightedImage WITH EchoTime > 0.0022 s",
    "FIND T1WeightedImage WITH Subject = sub-0042",
    "COUNT MRImage",
)


class Researcher(HttpUser):
    """Logs in, asks, turns pages, looks at records."""

    wait_time = between(1, 5)
    records: tuple[str, ...] = ()

    def on_start(self) -> None:
        """Log in."""
        page = self.client.get("/login").text
        token = re.search(r'name="csrf" value="(\w+)"', page)
        if token is None:
            raise RuntimeError("no form on the log-in page")
        form = {"csrf": token[1], "name": os.environ["PORTAL_USER"], "password": os.environ["PORTAL_PASSWORD"]}
        self.client.post("/login", data=form)

    @task(6)
    def ask(self) -> None:
        """Ask, and remember some of what is found."""
        question = random.choice(QUESTIONS)
        page = self.client.get("/", params={"query": question}, name="/?query=").text
        self.records = tuple(re.findall(r'href="(/record/\d+)"', page)[:20])

    @task(2)
    def turn(self) -> None:
        """Turn to a later page."""
        number = random.randint(2, 40)
        self.client.get("/", params={"query": QUESTIONS[0], "page": number}, name="/?page=")

    @task(2)
    def look(self) -> None:
        """Look at a record."""
        if self.records:
            self.client.get(random.choice(self.records), name="/record/")
