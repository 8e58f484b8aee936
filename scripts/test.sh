#!/usr/bin/env bash
# Runs every test, goes on after a failure, and says at the end how each part
# went. FUZZTIME is the seconds for each fuzz target (default 1).
set -uo pipefail
cd "$(dirname "$0")/.."

names=() results=()
passed=0 failed=0 skipped=0

# part NAME COMMAND… runs a part of the tests.
part() {
	local name=$1 start=$SECONDS
	shift
	echo
	echo "== $name"
	if "$@"; then
		results+=("passed in $((SECONDS - start)) s")
		passed=$((passed + 1))
	else
		results+=("FAILED in $((SECONDS - start)) s")
		failed=$((failed + 1))
	fi
	names+=("$name")
}

# skip NAME REASON tells of a part that cannot run here; CI has to run all.
skip() {
	echo
	echo "== $1: $2"
	names+=("$1")
	if [ -n "${CI:-}" ]; then
		results+=("FAILED: $2")
		failed=$((failed + 1))
	else
		results+=("skipped: $2")
		skipped=$((skipped + 1))
	fi
}

go_tests() {
	local race=-race
	if ! command -v gcc >/dev/null; then
		echo "no C compiler, so without the race detector"
		race=
	fi
	# go vet has a part of its own. Most of what the longest tests do is wait, so more of them go together than
	# there are processors.
	go test $race -vet=off -parallel 6 -timeout 10m ./...
}

# fuzzing is under way beside the Go tests, on what processor time those leave, for
# they wait a lot. fuzzed waits for it and tells how it went.
fuzzing() {
	fuzz_log=$(mktemp)
	nice -n 10 scripts/fuzz.sh "${FUZZTIME:-1}" >"$fuzz_log" 2>&1 &
	fuzz_pid=$!
	trap 'kill "$fuzz_pid" 2>/dev/null; rm -f "$fuzz_log"' EXIT
}

fuzzed() {
	local code=0
	wait "$fuzz_pid" || code=$?
	cat "$fuzz_log"
	return $code
}

# cluster_ledger is one round of the cluster's soak. Pauses may be longer than is
# promised, for the machine may be loaded.
cluster_ledger() {
	local race=-race
	command -v gcc >/dev/null || race=
	go build $race -o bin/soak-cluster ./bench/cluster || return 1
	timeout 300 bin/soak-cluster -slack 3
}

# presence_ledger is a short round of the soak of composed presence: a node is killed while
# telephones, calendars and people change. Things may take longer than is promised.
presence_ledger() {
	local race=-race
	command -v gcc >/dev/null || race=
	go build $race -o bin/soak-presence ./bench/presence || return 1
	timeout 200 bin/soak-presence -only 'node killed' -stay -seed 1 -users 16 -rate 10 -slack 2
}

# node_tests FOLDER runs the tests of a package of Node.js.
node_tests() {
	cd "$1" || return 1
	if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
		npm ci --no-audit --no-fund || return 1
		touch node_modules/.package-lock.json
	fi
	DESKLINE_BIN="$OLDPWD/bin/deskline" npm test
}

# node_part NAME FOLDER tests such a package.
node_part() {
	if ! command -v npm >/dev/null; then
		skip "$1" "npm is missing"
	elif [ ! -x bin/deskline ]; then
		skip "$1" "bin/deskline was not built"
	else
		part "$1" eval "(node_tests $2)"
	fi
}

scripts/install.sh
part "build" make --no-print-directory build
part "go vet" go vet ./...
fuzzing
part "go test" go_tests
part "fuzz targets, ${FUZZTIME:-1} s each" fuzzed
node_part "resolver" web/resolver
node_part "real clients" test/clients
if [ -d test/clients/node_modules/strophe.js ]; then
	part "cluster's ledger" cluster_ledger
else
	skip "cluster's ledger" "the clients are missing: npm ci in test/clients"
fi
part "presence's ledger" presence_ledger

echo
echo "== results"
for i in "${!names[@]}"; do
	printf '%-32s %s\n' "${names[$i]}" "${results[$i]}"
done
if [ $skipped -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
else
	echo "$passed passed, $failed failed"
fi
[ $failed = 0 ]
