// Command deskline runs a node of the Deskline chat and presence server and
// looks after its accounts and configuration.
//
//	deskline serve -c /etc/deskline/deskline.yaml
//
// Exit codes: 0 fine, 1 failed, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// cli is what the commands share.
type cli struct {
	in          io.Reader
	out, errOut io.Writer
	file        string // -c
	json        bool
	admin       string // address of the admin port, "" = from the configuration
}

// usageError is a mistake in how the command was called.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSilent is a failure that the output has told already.
var errSilent = errors.New("failed")

// run carries out a command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	c := &cli{in: in, out: out, errOut: errOut}
	root := c.root()
	root.SetArgs(args)
	called, err := root.ExecuteContextC(ctx)
	switch bad := (usageError{}); {
	case err == nil:
		return 0
	case errors.As(err, &bad) || strings.HasPrefix(err.Error(), "unknown command"):
		// cobra's own error for an unknown command has no type.
		fmt.Fprintf(errOut, "deskline: %v\nSee %s --help\n", err, called.CommandPath())
		return 2
	case !errors.Is(err, errSilent):
		fmt.Fprintf(errOut, "deskline: %v\n", err)
	}
	return 1
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "deskline",
		Short:         "The chat and presence server for contact centres",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          group,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.errOut)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(c.serve(), c.check(), c.config(), c.user(), c.group(), c.store(), c.cluster(), c.cert(), c.version())
	return root
}

// group is the action of a command that only has others below it.
func group(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
		cmd.SuggestionsMinimumDistance = 2
		if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
			text += ", did you mean " + strings.Join(similar, " or ") + "?"
		}
		return usage("%s", text)
	}
	_ = cmd.Help() // writes to errOut or out; neither can be helped
	return usage("a command is missing")
}

// exactly refuses other numbers of arguments and names those expected.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage("%s is missing", names[len(args)])
		case len(args) > len(names):
			return usage("%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

// withFile adds -c.
func (c *cli) withFile(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&c.file, "config", "c", "", "configuration file (without: the demo node in ./data)")
	return cmd
}

// withJSON adds --json.
func (c *cli) withJSON(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON")
	return cmd
}

// terminal returns the file descriptor if v is a terminal.
func terminal(v any) (int, bool) {
	f, ok := v.(*os.File)
	if !ok {
		return 0, false
	}
	fd := int(f.Fd())
	return fd, term.IsTerminal(fd)
}
