package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/deskline/deskline/xmpp/jid"
)

// maxPassword bounds what is read from standard input.
const maxPassword = 4096

func stdinFlag(cmd *cobra.Command, stdin *bool) {
	cmd.Flags().BoolVar(stdin, "password-stdin", false, "read the password from standard input")
}

// newPassword asks twice on the terminal, or reads standard input if so told.
// It is never an argument, which others on the machine could see.
func (c *cli) newPassword(stdin bool, user jid.JID) (string, error) {
	if stdin {
		return readPassword(c.in)
	}
	fd, ok := terminal(c.in)
	if !ok {
		return "", usage("there is no terminal to ask for the password, add --password-stdin")
	}
	first, err := c.ask(fd, fmt.Sprintf("New password of %s: ", user))
	if err != nil {
		return "", err
	}
	second, err := c.ask(fd, "Again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ, nothing was changed")
	}
	return first, nil
}

func (c *cli) ask(fd int, prompt string) (string, error) {
	fmt.Fprint(c.errOut, prompt)
	text, err := term.ReadPassword(fd)
	fmt.Fprintln(c.errOut)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	return string(text), nil
}

// readPassword reads a password with or without a line end.
func readPassword(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxPassword+1))
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case len(text) > maxPassword:
		return "", fmt.Errorf("the password is above %d bytes", maxPassword)
	case strings.ContainsAny(password, "\r\n"):
		return "", errors.New("the password has more than one line")
	case password == "":
		return "", errors.New("the password is empty")
	}
	return password, nil
}
