#!/bin/sh
# The application's own database and user, beside Temporal's.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -v password="$APP_DB_PASSWORD" <<'SQL'
CREATE USER caseloom PASSWORD :'password';
CREATE DATABASE caseloom OWNER caseloom;
SQL
