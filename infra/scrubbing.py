"""What was deleted leaves the files too, as far as a database lets go of it."""

import time

import structlog
from sqlalchemy import Engine, text

log = structlog.get_logger()
TRIES, SECONDS = 20, 0.25


def scrub(engine: Engine) -> bool:
    """Write out what was deleted; whether nothing of it is left in files of the database's own.

    SQLite overwrites deleted rows with zeros (`secure_delete`); its write-ahead log still has them until it is cut
    off, which waits for readers. PostgreSQL gives the room back by VACUUM and overwrites it as it is used again;
    its write-ahead log, and backups of either, are for whoever keeps them (docs/security.md).
    """
    if engine.dialect.name == "sqlite":
        return _cut_off(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout TO 0"))
        connection.execute(text("VACUUM"))
        connection.execute(text("RESET statement_timeout"))
    return True


def _cut_off(engine: Engine) -> bool:
    connection = engine.raw_connection()
    try:
        for _ in range(TRIES):
            busy, *_ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return True
            time.sleep(SECONDS)
    finally:
        connection.close()
    log.warning("write_ahead_log_kept", why="readers were at work; the next erasure or restart cuts it off")
    return False
