package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/jid"
)

func TestImport(t *testing.T) {
	tests := []struct {
		name, csv string
		want      string // users then in the store
		wrong     []string
	}{
		{"empty", "", "alice bob", nil},
		{"header alone", "user,password\n", "alice bob", nil},
		{"no header", "carol,pw\ndave,pw2,Dave D,dave@example.com,sales;support\n", "alice bob carol dave", nil},
		{"header", "user,password,name,email,groups\ncarol,pw,,,\n", "alice bob carol", nil},
		{"other order, byte order mark", "\ufeffPassword, Groups ,USER\npw,a,carol\n", "alice bob carol", nil},
		{"bare JIDs, quotes", "carol@example.com,\"p,\"\"w\"\r\n\r\n\"Dave\",x", "alice bob carol dave", nil},
		{"unknown column", "user,password,phone\n", "", []string{`line 1: column "phone" is unknown`}},
		{"column twice", "user,password,user\n", "", []string{`line 1: column "user" is there twice`}},
		{
			"wrong lines", "carol,pw\n,pw\nbob\nd ave,pw\ncarol,x\nerin,x,E,nobody\nfrank,x,,,,,more\nalice@other.com,x\n", "",
			[]string{
				"line 2: user is missing", "line 3: password cannot be used: it is empty", `line 4: user "d ave"`,
				"line 5: user carol is on line 1 already", `line 6: email "nobody"`, "line 7: 7 fields", `line 8: user "alice@other.com"`,
			},
		},
		{"existing accounts", "carol,pw\nbob,pw\nalice,pw", "", []string{"line 2: account exists: bob@", "line 3: account exists: alice@"}},
		{"open quote", "carol,pw\n\"dave,pw\n", "", []string{"line "}},
		{"control character", "carol,pw,\"C\aD\"\n", "", []string{"line 1: name"}},
		{"not UTF-8", "carol,\xff\n", "", []string{"line 1: password is not UTF-8"}},
		{"very wrong", strings.Repeat(",x\n", 50), "", append(slices20("user is missing"), "… and perhaps more")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, store := newService(t, auth.Config{})
			n, err := s.Import(t.Context(), strings.NewReader(tt.csv), "example.com", auth.ImportOptions{})
			if tt.wrong == nil {
				if err != nil || store.users() != tt.want || n != len(store.accounts)-2 {
					t.Fatalf("%d imported, now %s, %v", n, store.users(), err)
				}
				return
			}
			if _, ok := errors.AsType[*auth.ImportError](err); !ok || n != 0 || store.users() != "alice bob" {
				t.Fatalf("%d imported, now %s, %v", n, store.users(), err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.wrong) {
				t.Fatalf("errors:\n%v", err)
			}
			for i, want := range tt.wrong {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("error %q, want %q", lines[i], want)
				}
			}
		})
	}
}

func slices20(text string) []string {
	var lines []string
	for i := range 20 {
		lines = append(lines, fmt.Sprintf("line %d: %s", i+1, text))
	}
	return lines
}

func TestImportedAccount(t *testing.T) {
	s, store := newService(t, auth.Config{})
	in := "carol,pw,Carol C,carol@example.com,sales; support;sales;\n"
	var progress []string
	o := auth.ImportOptions{Workers: 3, Progress: func(done, total int) { progress = append(progress, fmt.Sprint(done, "/", total)) }}
	if _, err := s.Import(t.Context(), strings.NewReader(in), "example.com", o); err != nil {
		t.Fatal(err)
	}
	a := store.accounts[jid.MustParse("carol@example.com")]
	if a.Name != "Carol C" || a.Email != "carol@example.com" || strings.Join(a.Groups, ",") != "sales,support" || a.Created.IsZero() {
		t.Fatalf("%+v", a)
	}
	if got := plain(t.Context(), s, safe, "", "carol", "pw"); got != "" {
		t.Fatal(got)
	}
	if got := strings.Join(progress, " "); got != "1/1" {
		t.Fatalf("progress %s", got)
	}
}

func TestImportCancelled(t *testing.T) {
	s, store := newService(t, auth.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	var in strings.Builder
	for i := range 500 {
		fmt.Fprintf(&in, "user%d,pw\n", i)
	}
	o := auth.ImportOptions{Progress: func(int, int) { cancel() }}
	if _, err := s.Import(ctx, strings.NewReader(in.String()), "example.com", o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if store.users() != "alice bob" {
		t.Fatal("something was imported")
	}
}

func FuzzImport(f *testing.F) {
	f.Add("user,password\ncarol,pw\n")
	f.Add("\"a\nb\",c,d\n,,,,,\n")
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > 4096 {
			return
		}
		store := newMemory()
		s := auth.New(store, auth.Config{Iterations: 1, Mechanisms: []string{"SCRAM-SHA-1"}})
		n, err := s.Import(t.Context(), strings.NewReader(in), "example.com", auth.ImportOptions{Workers: 1})
		if err != nil && len(store.accounts) > 0 || err == nil && n != len(store.accounts) {
			t.Fatalf("%d accounts, %d said, %v", len(store.accounts), n, err)
		}
	})
}

func BenchmarkImport_100(b *testing.B) {
	var in strings.Builder
	for i := range 100 {
		fmt.Fprintf(&in, "user%d,password%d\n", i, i)
	}
	b.ReportAllocs()
	for b.Loop() {
		s := auth.New(newMemory(), auth.Config{})
		if _, err := s.Import(b.Context(), strings.NewReader(in.String()), "example.com", auth.ImportOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
