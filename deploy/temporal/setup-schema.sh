#!/bin/sh
# Creates and upgrades Temporal's two databases; safe to run again.
set -eu
for name in temporal visibility; do
  database=temporal
  [ "$name" = visibility ] && database=temporal_visibility
  tool="temporal-sql-tool --plugin postgres12 --ep $POSTGRES_SEEDS -p $DB_PORT -u $POSTGRES_USER --db $database"
  $tool create || echo "$database is there already"
  $tool setup-schema -v 0.0 || echo "$database has its schema already"
  $tool update-schema -d "/etc/temporal/schema/postgresql/v12/$name/versioned"
done
