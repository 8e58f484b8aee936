package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/deskline/deskline/configs"
)

// askTime bounds a request to the admin port.
const askTime = 15 * time.Second

// request sends a request to the admin port of the running node and reads its
// answer into out.
func (c *cli) request(ctx context.Context, method, path string, in, out any) error {
	addr, err := c.adminAddr()
	if err != nil {
		return err
	}
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("ask the node: %w", err)
		}
		body = bytes.NewReader(data)
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+addr+path, body)
	if err != nil {
		return fmt.Errorf("ask the node: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	// Straight there, whatever proxy the environment names.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no node answers at %s (admin.listen): start it, or name another address with --admin", addr)
	case err != nil:
		return fmt.Errorf("ask the node: %w", err)
	}
	defer res.Body.Close() // read to its end
	return readAnswer(res, addr, out)
}

func readAnswer(res *http.Response, addr string, out any) error {
	data, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("answer of %s: %w", addr, err)
	}
	if res.StatusCode != http.StatusOK {
		var said struct{ Error string }
		if json.Unmarshal(data, &said) != nil || said.Error == "" {
			return fmt.Errorf("%s answers %s; is it the admin port of a node of this version?", addr, res.Status)
		}
		return errors.New(said.Error)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("answer of %s: %w; is it the admin port of a node of this version?", addr, err)
	}
	return nil
}

// adminAddr is where the admin port of the node is.
func (c *cli) adminAddr() (string, error) {
	addr := c.admin
	if addr == "" {
		cfg, err := configs.Load(c.file)
		if err != nil {
			return "", err
		}
		if addr = cfg.Admin.Listen; addr == configs.Off {
			return "", errors.New("admin.listen is off, so the node takes no orders: set it to 127.0.0.1:5281 and restart the node")
		}
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", usage("--admin: %q is no address such as 127.0.0.1:5281", addr)
	}
	if port == "0" {
		return "", errors.New("admin.listen has a free port each time: name the one that the log tells with --admin")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}
