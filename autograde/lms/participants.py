"""Who is who in a learning management system: the lists of participants that Moodle and Canvas export, as they come."""

import csv
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

from ..lessons.lesson import CourseError

# Columns of Moodle's grading worksheet and list of participants, and of Canvas's gradebook, by what they hold; the first that has
# something in it is what a student is called here.
NAMED = (
    "SIS Login ID",
    "Username",
    "ID number",
    "SIS User ID",
    "Email address",
    "ID",
    "Student",
    "student_id",
    "student",
    "id",
)
NUMBERED = ("Identifier", "ID", "Participant")  # the number by which the names of handed-in files tell one from another
FULL = ("Full name", "Student", "Name", "name")
FIRST, LAST = ("First name", "FirstName", "first_name"), ("Last name", "LastName", "Surname", "last_name")
MAIL = ("Email address", "Email", "email")
HANDED_IN = ("Last modified (submission)",)
NO_STUDENT = ("points possible", "student, test", "test student")


@dataclass(frozen=True)
class Participant:
    """A row of a list: names that may be the student's here, the best first; the number in file names, and what people call them."""

    row: int
    names: list[str]
    number: str
    full_name: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    handed_in: str = ""

    def spellings(self) -> set[str]:
        """How Canvas and Moodle write the name in a file's name: "lovelaceada", "Ada Lovelace"."""
        first, last = self.first_name, self.last_name
        if not first and "," in self.full_name:
            last, first = (part.strip() for part in self.full_name.split(",", 1))
        elif not first and " " in self.full_name:
            first, last = self.full_name.rsplit(" ", 1)
        return {plain(self.full_name), plain(f"{first} {last}"), plain(f"{last} {first}")} - {""}


@dataclass(frozen=True)
class Participants:
    """A list as it was read: its head, all of its rows, and who is in it."""

    path: Path
    head: list[str]
    rows: list[list[str]]
    people: list[Participant] = field(repr=False)
    delimiter: str = ","


def plain(text: str) -> str:
    """A name without what file names lose: "Ada O'Hara" -> "adaohara"."""
    return re.sub(r"[\W_]+", "", text.casefold())


def read_participants(path: Path) -> Participants:
    """Read a CSV that Moodle, Canvas or somebody by hand has written. Raises CourseError for what is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CourseError(f"{path} is not a CSV in UTF-8: export it again as CSV") from None
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        table = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if any(row)]
    except csv.Error as error:
        raise CourseError(f"{path} is not a CSV: {error}") from None
    if not table:
        raise CourseError(f"{path} is empty")
    head = [cell.strip() for cell in table[0]]
    if not set(head) & {*NAMED, *NUMBERED, *FULL, *MAIL}:
        raise CourseError(f"{path} has no column that names anybody (known: {', '.join(dict.fromkeys((*NAMED, *FULL)))})")
    people = []
    for i, row in enumerate(table[1:]):
        values = dict(zip(head, (cell.strip() for cell in row), strict=False))

        def first(columns: tuple[str, ...], values: dict[str, str] = values) -> str:
            return next((values[column] for column in columns if values.get(column)), "")

        full = first(FULL) or f"{first(FIRST)} {first(LAST)}".strip()
        names = list(dict.fromkeys(values[column] for column in NAMED if values.get(column) and column != "Student"))
        names += [full.replace("/", " ")] if full else []
        number = re.sub(r"^\D+", "", first(NUMBERED))
        names += [f"participant {number}"] if number and not names else []  # marked blind: nobody is to know more
        if not names or full.casefold().startswith(NO_STUDENT):
            continue
        person = Participant(i, names, number, full, first(FIRST), first(LAST), first(MAIL), first(HANDED_IN))
        people.append(person)
    return Participants(path, head, table[1:], people, delimiter)


def fits(who: str, person: Participant) -> bool:
    """Whether a file's name may be this person's: a group may stand before it, and where one marks blind nothing is known."""
    return not person.full_name or any(plain(who).endswith(spelling) for spelling in person.spellings())


def called(person: Participant, known: set[str]) -> str:
    """What a student is called in this course: a name that it knows already, or else the list's best."""
    by_case = {name.casefold(): name for name in known}
    return next((by_case[name.casefold()] for name in person.names if name.casefold() in by_case), person.names[0])
