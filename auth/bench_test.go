package auth_test

import (
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/xmpp/sasl"
)

func BenchmarkPlainLogin_First(b *testing.B)    { benchmarkPlain(b, -1) }
func BenchmarkPlainLogin_Verified(b *testing.B) { benchmarkPlain(b, time.Hour) }

func benchmarkPlain(b *testing.B, ttl time.Duration) {
	store := newMemory()
	s := auth.New(store, auth.Config{VerifiedTTL: ttl})
	if err := s.Create(b.Context(), auth.Account{JID: alice}, password); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if c := plain(b.Context(), s, safe, "", "alice", password); c != "" {
			b.Fatal(c)
		}
	}
}

func BenchmarkDerive(b *testing.B) {
	s := auth.New(newMemory(), auth.Config{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Derive(password); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSCRAMLogin_SHA1(b *testing.B)   { benchmarkSCRAM(b, sasl.ScramSHA1, scram.SHA1) }
func BenchmarkSCRAMLogin_SHA256(b *testing.B) { benchmarkSCRAM(b, sasl.ScramSHA256, scram.SHA256) }

// benchmarkSCRAM leaves the client's derivation out: it remembers its keys.
func benchmarkSCRAM(b *testing.B, mech string, gen scram.HashGeneratorFcn) {
	s := auth.New(newMemory(), auth.Config{})
	if err := s.Create(b.Context(), auth.Account{JID: alice}, password); err != nil {
		b.Fatal(err)
	}
	client, err := gen.NewClient("alice", password, "")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		conv := client.NewConversation()
		ex, err := s.Begin(b.Context(), mech, "example.com", unsafe)
		if err != nil {
			b.Fatal(err)
		}
		msg, done := "", false
		for !done {
			b.StopTimer()
			if msg, err = conv.Step(msg); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			var challenge []byte
			if challenge, done, err = ex.Step(b.Context(), []byte(msg)); err != nil {
				b.Fatal(err)
			}
			msg = string(challenge)
		}
	}
}
