#!/bin/bash
# Run by the image once, when the primary's folder is new.
set -euo pipefail

psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 \
    --set writer_password="$WRITER_PASSWORD" --set reader_password="$READER_PASSWORD" \
    --set replication_password="$REPLICATION_PASSWORD" --file /roles.sql
echo "host replication replicator all scram-sha-256" >>"$PGDATA/pg_hba.conf"
# From the next start on, a commit is acknowledged when the standby has it.
psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --command "ALTER SYSTEM SET synchronous_standby_names = 'db2'"
