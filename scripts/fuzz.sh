#!/usr/bin/env bash
# Runs every fuzz target for some seconds: fuzz.sh SECONDS [FOLDER…]
#
# Each package is built once, instrumented, for all its targets. Findings are
# written to testdata/fuzz of the package, where go test runs them ever after.
set -uo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: fuzz.sh SECONDS [FOLDER…]}
shift
[ $# -gt 0 ] || set -- .

cache=$(go env GOCACHE)/fuzz/deskline
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
passed=0 failed=0

for folder in $(grep -rlE --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' "$@" | xargs -r -n1 dirname | sort -u); do
	targets=$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$folder"/*_test.go | awk '{print $2}' | sort)
	if ! go test -c -fuzz=Fuzz -o "$built/test" "./$folder"; then
		echo "FAIL $folder: does not build"
		failed=$((failed + 1))
		continue
	fi
	for target in $targets; do
		# Minimising takes a minute by default and would eat a short run.
		output=$(cd "$folder" && "$built/test" -test.run='^$' -test.fuzz="^$target\$" -test.fuzztime="${seconds}s" \
			-test.fuzzminimizetime=20x -test.fuzzcachedir="$cache/$folder" -test.timeout=1h 2>&1)
		code=$?
		execs=$(grep -oE 'execs: [0-9]+' <<<"$output" | tail -n 1)
		# The end of the time can overtake a worker that is starting, which is
		# reported as a failure without a failing input (golang/go#56238).
		if [ $code = 0 ] || { grep -q 'context deadline exceeded' <<<"$output" && ! grep -qE 'Failing input|panic:' <<<"$output"; }; then
			echo "ok   ${folder#./} $target ($execs)"
			passed=$((passed + 1))
		else
			echo "$output"
			echo "FAIL ${folder#./} $target"
			failed=$((failed + 1))
		fi
	done
done
echo "fuzz targets: $passed passed, $failed failed"
[ $failed = 0 ]
