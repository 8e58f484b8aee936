// Command relay is the floor that the benchmark measures Deskline against: a
// bare net/http long-poll relay. It speaks the shape of BOSH (a session id, a
// request number, one held request) and passes messages of the same size, but
// it does no XMPP: no XML is parsed, nobody signs in, nothing is replayed,
// stamped, checked or kept. What it costs is what HTTP on this machine costs.
//
//	relay -listen 127.0.0.1:0
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on; port 0 takes a free one")
	flag.Parse()
	if err := run(*listen); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

func run(listen string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	fmt.Println("listening", ln.Addr())
	srv := &http.Server{Handler: newRelay(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 3 * time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.Serve(ln); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve: %w", err)
	}
	<-done
	return nil
}
