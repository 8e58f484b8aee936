package peer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/deskline/deskline/bench/load"
)

const ejabberdConfig = `# made for one benchmark run
hosts: [localhost]
loglevel: warning
auth_method: internal
auth_password_format: plain
disable_sasl_mechanisms: []
max_fsm_queue: 10000
cache_size: 200000
language: en
listen:
  - port: %d
    ip: "127.0.0.1"
    module: ejabberd_http
    backlog: 4096
    request_handlers:
      /http-bind: mod_bosh
shaper: {}
shaper_rules:
  max_user_sessions: infinity
acl: {}
access_rules:
  c2s: {allow: all}
modules:
  mod_bosh:
    max_inactivity: 2 minutes
  mod_disco: {}
  mod_offline: {}
  mod_roster: {}
`

// The accounts and rosters are written straight into the tables by the node
// itself. These are kept on disk only, which takes a minute to fill row by row,
// so they move to memory for it and back.
const ejabberdSeed = `{ok, _} = application:ensure_all_started(ejabberd),
{ok, [Users]} = file:consult("users.term"),
H = <<"localhost">>,
Move = fun(T, Type) -> {atomic, ok} = mnesia:change_table_copy_type(T, node(), Type) end,
[Move(T, disc_copies) || T <- [passwd, roster]],
mnesia:activity(ets, fun() -> lists:foreach(fun({U, Contacts}) ->
  mnesia:write({passwd, {U, H}, <<"` + Password + `">>}),
  lists:foreach(fun(C) ->
    J = {C, H, <<>>},
    mnesia:write({roster, {U, H, J}, {U, H}, J, C, both, none, [], <<>>, []})
  end, Contacts)
end, Users) end),
[Move(T, disc_only_copies) || T <- [passwd, roster]],
io:format("bench seeded~n").`

// ejabberdLib is the directory of the installed ejabberd application.
func ejabberdLib() string {
	for _, pattern := range []string{
		"/usr/lib/*/ejabberd-*", "/usr/lib/erlang/lib/ejabberd-*",
		"/usr/lib/ejabberd-*", "/opt/ejabberd-*/lib/ejabberd-*",
	} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return found[len(found)-1]
		}
	}
	return ""
}

// ejabberdPlan runs the node without distribution, so that no epmd is left
// behind, and without busy waiting of its schedulers.
func ejabberdPlan(_ context.Context, dir string, port int, o Options) (plan, error) {
	files := map[string][]byte{
		"ejabberd.yml": fmt.Appendf(nil, ejabberdConfig, port),
		"users.term":   ejabberdUsers(o),
		"inetrc":       []byte("{lookup,[\"file\",\"native\"]}.\n"),
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return plan{}, fmt.Errorf("write %s: %w", name, err)
		}
	}
	return plan{
		argv: []string{
			"erl", "-noinput", "+K", "true", "+P", "250000", "+Q", "131072",
			"+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none",
			"-mnesia", "dir", `"` + filepath.Join(dir, "mnesia") + `"`,
			"-sasl", "sasl_error_logger", "false", "-eval", ejabberdSeed,
		},
		env: []string{
			"ERL_LIBS=" + filepath.Dir(ejabberdLib()), "HOME=" + dir,
			"EJABBERD_CONFIG_PATH=" + filepath.Join(dir, "ejabberd.yml"),
			"EJABBERD_LOG_PATH=" + filepath.Join(dir, "ejabberd.log"),
			"ERL_MAX_PORTS=131072", "ERL_INETRC=" + filepath.Join(dir, "inetrc"),
			"ERL_CRASH_DUMP=/dev/null",
		},
		as: "ejabberd", url: "http://127.0.0.1:" + strconv.Itoa(port) + "/http-bind",
	}, nil
}

// ejabberdUsers is an Erlang term: a list of {User, Contacts}.
func ejabberdUsers(o Options) []byte {
	b := []byte("[")
	for i := range o.Users {
		if i > 0 {
			b = append(b, ",\n"...)
		}
		b = fmt.Appendf(b, "{<<\"%s%d\">>,[", Prefix, i)
		if o.Contacts > 0 {
			for k, c := range load.Contacts(i, o.Users, o.Contacts) {
				if k > 0 {
					b = append(b, ',')
				}
				b = fmt.Appendf(b, "<<\"%s%d\">>", Prefix, c)
			}
		}
		b = append(b, "]}"...)
	}
	return append(b, "].\n"...)
}
