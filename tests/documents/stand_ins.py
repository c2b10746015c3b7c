"""What the book's examples take from elsewhere: a travel agency and its ticket service, two estimators.

Local and small: files in place of services, numpy in place of scikit-learn and pandas.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


# -- travel (examples 7 and 9) ---------------------------------------------------------------------------------------


class Flight(NamedTuple):
    origin: str
    dest: str
    date: str


class Hotel(NamedTuple):
    city: str
    nights: tuple[str, ...]
    free: bool


class Receipt(NamedTuple):
    booked: bool
    flights: tuple[Flight, ...]
    hotels: tuple[Hotel, ...]


class TicketService:
    """Books at most one ticket per request; a folder holds a file for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def has_ticket(self, request_id: str) -> bool:
        return (self._folder / request_id).exists()

    def get_ticket(self, request_id: str) -> str:
        return (self._folder / request_id).read_text()

    def book_flight(self, request_id: str) -> str:
        """Raises FileExistsError for a request that has its ticket already."""
        ticket = f"ticket {len(list(self._folder.iterdir())) + 1}"
        with (self._folder / request_id).open("x") as file:
            file.write(ticket)
        return ticket

    def tickets(self) -> list[str]:
        return [file.read_text() for file in self._folder.iterdir()]


# -- estimators (example 12) -----------------------------------------------------------------------------------------


class Estimator(Protocol):
    """`is_classifier` says whether it predicts or transforms."""

    is_classifier: bool

    def fit(self, x: Numbers, y: Numbers) -> Any: ...


class Scaler:
    """Brings every column to mean 0 and deviation 1."""

    is_classifier = False
    mean: Numbers
    deviation: Numbers

    def fit(self, x: Numbers, y: Numbers) -> Scaler:
        self.mean, self.deviation = x.mean(axis=0), x.std(axis=0)
        return self

    def transform(self, x: Numbers) -> Numbers:
        return (x - self.mean) / self.deviation


class NearestCentre:
    """Labels 0 or 1, by the nearer of the two means."""

    is_classifier = True
    centres: Numbers

    def fit(self, x: Numbers, y: Numbers) -> NearestCentre:
        self.centres = np.stack([x[y[:, 0] == label].mean(axis=0) for label in (0, 1)])
        return self

    def predict(self, x: Numbers) -> Numbers:
        distances = np.linalg.norm(x[:, None, :] - self.centres[None, :, :], axis=2)
        return distances.argmin(axis=1)[:, None].astype(np.float64)
