#!/bin/sh
# Run once by PostgreSQL's image, over a new volume: the account of Aparté, which owns its two databases and has no other
# privilege. Who rules the server has no password then, and gets in from inside its container alone.
set -eu

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="$POSTGRES_PASSWORD" \
	--username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
CREATE ROLE aparte LOGIN PASSWORD :'password';
CREATE DATABASE aparte OWNER aparte TEMPLATE template0;
CREATE DATABASE aparte_keys OWNER aparte TEMPLATE template0;
ALTER ROLE CURRENT_USER PASSWORD NULL;
SQL
