package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/deskline/deskline/internal/ldaptest"
	"github.com/deskline/deskline/internal/redistest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"deskline": main})
}

func TestScripts(t *testing.T) {
	redis, directory := redistest.Start(t), ldaptest.Start(t, ldaptest.Config{})
	directory.Load(directoryLDIF)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			for _, v := range os.Environ() {
				if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "DESKLINE_") {
					env.Setenv(name, "") // counts as not set
				}
			}
			// The race detector waits for a second at each exit otherwise.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("REDIS", redis.URL())
			env.Setenv("LDAP", directory.URL())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":    await,
			"poll":     poll,
			"exitcode": exitCode,
			"csv":      writeCSV,
			"freeport": freePort,
		},
	})
}

// directoryLDIF has a group within a group, which has anna.
const directoryLDIF = `dn: uid=anna,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: anna
cn: Anna
sn: A
mail: anna@example.com

dn: uid=ben,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: ben
cn: Ben
sn: B

dn: cn=agents,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: agents
member: uid=anna,ou=people,dc=example,dc=com

dn: cn=chat,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: chat
member: cn=agents,ou=groups,dc=example,dc=com

dn: cn=others,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: others
member: uid=ben,ou=people,dc=example,dc=com
`

// await FILE PATTERN waits until the file has a line that matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE PATTERN")
	}
	eventually(ts, args[1], func() string {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil {
			return err.Error()
		}
		return string(text)
	})
}

// poll PATTERN PROGRAM ARGS… runs a program until a line of its output matches.
func poll(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: poll PATTERN PROGRAM ARGS…")
	}
	eventually(ts, args[0], func() string {
		ts.Check(ts.Exec(args[1], args[2:]...))
		return ts.ReadFile("stdout")
	})
}

// eventually waits until a line of the text that read returns matches.
func eventually(ts *testscript.TestScript, pattern string, read func() string) {
	want := regexp.MustCompile("(?m)" + pattern)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for {
		text := read()
		if want.MatchString(text) {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			ts.Fatalf("no %s: %s", pattern, text)
		}
	}
}

// exitcode CODE PROGRAM ARGS… runs a program that has to end with the code; its
// output goes to the files stdout and stderr.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode CODE PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	ts.Check(os.WriteFile(ts.MkAbs("stdout"), []byte(ts.ReadFile("stdout")), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("stderr"), []byte(ts.ReadFile("stderr")), 0o600))
	if got != want {
		ts.Fatalf("exit code %d, want %d; %s", got, want, ts.ReadFile("stderr"))
	}
}

// freeport NAME… puts the numbers of free ports into variables, and into the
// files that have them as @NAME@.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: freeport NAME…")
	}
	var pairs []string
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close() // until all are found, so that they differ
		_, port, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		ts.Setenv(name, port)
		pairs = append(pairs, "@"+name+"@", port)
	}
	files, err := filepath.Glob(ts.MkAbs("*.yaml"))
	ts.Check(err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		ts.Check(err)
		ts.Check(os.WriteFile(file, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600))
	}
}

// csv FILE COUNT writes accounts to import.
func writeCSV(ts *testscript.TestScript, _ bool, args []string) {
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	var b strings.Builder
	for i := range count {
		b.WriteString("user" + strconv.Itoa(i) + ",secret" + strconv.Itoa(i) + ",User " + strconv.Itoa(i) + ",,team\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}
