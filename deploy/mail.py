"""`make mail`: shows the mail that a system of `make up` has sent, newest last."""

import email
import sys
from email.policy import default

from rich.table import Table

from deploy.console import console as shown
from deploy.population import letters
from infra.settings import Settings

SHOWN = 50
console = shown()


def main() -> int:
    """Exits with 1 where there is none."""
    data_dir, to = Settings().data_dir, (sys.argv[1:] or [""])[0]
    read = [email.message_from_bytes(path.read_bytes(), policy=default) for path in letters(data_dir)]
    found = [letter for letter in read if not to or to in str(letter["To"])][-SHOWN:]
    if not found:
        console.print(f"no mail in {data_dir / 'mail'}: tell where you are reached with PUT /me/reach/email")
        return 1
    table = Table("when", "to", "subject", "says")
    for letter in found:
        body = letter.get_body(("plain",))
        text = str(body.get_content()).strip() if body is not None else ""
        table.add_row(str(letter["Date"] or ""), str(letter["To"]), str(letter["Subject"]), text)
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
