"""`make token`: prints one token under the local key, and nothing else."""

import argparse
import sys

from pydantic import TypeAdapter, ValidationError

from deploy import running
from domain.values import Opaque, Role, Slug
from infra import tokens
from infra.settings import Settings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=[role.value for role in Role if role is not Role.SYSTEM])
    parser.add_argument("subject", help="who it is, as in the staff directory: an id, never a name")
    parser.add_argument("team", nargs="?", default="", help="the team, or several with commas between")
    parser.add_argument("tenant", nargs="?", default="local")
    parser.add_argument("scope", nargs="?", default="", choices=["", "feed"], help="an integrator's: feed")
    given = parser.parse_args()
    teams = [team for team in given.team.split(",") if team]
    try:
        TypeAdapter(Opaque).validate_python(given.subject)
        TypeAdapter(list[Slug]).validate_python([*teams, given.tenant])
    except ValidationError:
        parser.error("subject takes letters, digits and _.@-; team and tenant take small letters, digits and -")
    settings = Settings()
    running.require_key(settings)
    token = tokens.issue(
        settings, given.subject, Role(given.role), teams, given.tenant or "local", scope=given.scope
    )
    sys.stdout.write(f"{token}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
