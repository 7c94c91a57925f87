"""What is generated: subjects, visits and the series of a visit, in a large and a small edition."""

from __future__ import annotations

from dataclasses import dataclass

from sample_data import DEFAULT_SEED
from sample_data.people import PERSONS, SITE, VISITS, Person, Site, Visit
from sample_data.phantom import Head
from sample_data.protocols import FULL, SMALL, Protocol, enhanced, native


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One subject: the person, the head and the visits."""

    person: Person
    head: Head
    visits: tuple[Visit, ...]


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """All that decides the generated study.

    Attributes
    ----------
    native, enhanced:
        The series of a visit without and with contrast agent, in the order of acquisition.
    noise:
        Standard deviation of the noise per channel of every image, in stored units.
    """

    site: Site
    subjects: tuple[Subject, ...]
    native: tuple[Protocol, ...]
    enhanced: tuple[Protocol, ...]
    seed: int = DEFAULT_SEED
    noise: float = 12.0

    def protocols(self, visit: Visit) -> tuple[Protocol, ...]:
        """Give the series of a visit."""
        return self.enhanced if visit.contrast else self.native


_HEADS = (
    Head(scale=1.0, white_fraction=0.80, ventricle_scale=1.0, lesion_centre=(31.0, 30.0, 24.0), lesion_radius=13.5),
    Head(scale=0.95, white_fraction=0.785, ventricle_scale=0.9, lesion_centre=(-30.0, -28.0, 26.0), lesion_radius=12.0),
    Head(scale=0.97, white_fraction=0.775, ventricle_scale=1.25, lesion_centre=(32.0, -30.0, 24.0), lesion_radius=14.5),
)


def study_plan(*, small: bool = False, seed: int = DEFAULT_SEED) -> StudyPlan:
    """Give the plan of the study: 3 subjects x 2 visits, or with `small` 1 subject x 2 visits and tiny matrices."""
    subjects = tuple(
        Subject(person=person, head=head, visits=visits)
        for person, head, visits in zip(PERSONS, _HEADS, VISITS, strict=True)
    )
    size = SMALL if small else FULL
    return StudyPlan(
        site=SITE,
        subjects=subjects[:1] if small else subjects,
        native=native(size),
        enhanced=enhanced(size),
        seed=seed,
    )
